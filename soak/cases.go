package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// A testCase is one thing to prove.
type testCase struct {
	id         string // of letters, digits, dots and dashes
	definition any    // all that the result depends on besides the program and the seed; is hashed as JSON
	// run returns what it found, which is kept as JSON, and whether that is as it should be. An error is one of the
	// proof itself, as a disk that is full: nothing is kept then, and the run ends.
	run func() (found any, ok bool, err error)
}

// An outcome is what is kept of a case, in DIR/results/PART/ID.json.
type outcome struct {
	ID      string          `json:"id"`
	Key     string          `json:"key"` // of the case, the seed and the program: what it was found with
	OK      bool            `json:"ok"`
	Seconds float64         `json:"seconds"`
	At      time.Time       `json:"at"`
	Found   json.RawMessage `json:"found"`
}

// runPart runs the cases of a part that are not done, and returns the names of those that are not as they should be.
func (s *soak) runPart(p part, only *regexp.Regexp) (failed []string, err error) {
	cases, err := p.cases(s)
	if err != nil {
		return nil, err
	}
	for i, c := range cases {
		if !only.MatchString(c.id) {
			continue
		}
		o, done := s.kept(p, c)
		if !done || s.again {
			if o, err = s.runCase(p, c); err != nil {
				if s.ctx.Err() != nil || errors.Is(err, errProof) {
					return nil, fmt.Errorf("%s: %w", c.id, err)
				}
				failed = append(failed, p.name+"/"+c.id)
				say("%s %d/%d  %-26s NOT OK: %v", p.name, i+1, len(cases), c.id, err)
				continue
			}
		}
		verdict := "ok"
		if !o.OK {
			failed = append(failed, p.name+"/"+c.id)
			verdict = "NOT OK: " + s.file(p, c)
		}
		say("%s %d/%d  %-26s %6.1f s  %s", p.name, i+1, len(cases), c.id, o.Seconds, verdict)
	}
	return failed, nil
}

// file is where the outcome of a case is kept.
func (s *soak) file(p part, c testCase) string {
	return filepath.Join(s.dir, "results", p.name, c.id+".json")
}

// key names all that the outcome of a case depends on.
func (s *soak) key(c testCase) string {
	data, err := json.Marshal(c.definition)
	if err != nil {
		panic(err) // a definition is plain data
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d %s", s.sum, s.seed, data))
	return hex.EncodeToString(sum[:])
}

// kept returns the outcome of a case, if it is of this program and was as it should be: what was not is tried again.
func (s *soak) kept(p part, c testCase) (outcome, bool) {
	o, err := s.outcome(p, c)
	return o, err == nil && o.OK
}

var errNotDone = errors.New("not done with this program")

// outcome reads what is kept of a case.
func (s *soak) outcome(p part, c testCase) (o outcome, err error) {
	data, err := os.ReadFile(s.file(p, c))
	if errors.Is(err, fs.ErrNotExist) {
		return o, errNotDone
	}
	if err != nil {
		return o, err
	}
	if err := json.Unmarshal(data, &o); err != nil {
		return o, fmt.Errorf("%s: %w", s.file(p, c), err)
	}
	if o.Key != s.key(c) {
		return o, errNotDone
	}
	return o, nil
}

// runCase runs a case and keeps the outcome.
func (s *soak) runCase(p part, c testCase) (outcome, error) {
	start := time.Now()
	found, ok, err := c.run()
	if err := s.ctx.Err(); err != nil {
		return outcome{}, err
	}
	if err != nil {
		return outcome{}, err
	}
	o := outcome{ID: c.id, Key: s.key(c), OK: ok, At: start.UTC(), Seconds: time.Since(start).Seconds()}
	if o.Found, err = json.Marshal(found); err != nil {
		return o, err
	}
	data, err := json.MarshalIndent(o, "", "  ")
	if err != nil {
		return o, err
	}
	return o, writeFile(s.file(p, c), data)
}

// writeFile writes a file whole or not at all, and the directories above it.
func writeFile(name string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(name+".new", data, 0o644); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}

// write writes the page: a section for each part. That of a part of which not every case is done with this program stays
// as it was.
func (s *soak) write() error {
	old, err := os.ReadFile(s.out)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var page strings.Builder
	page.WriteString(pageHead)
	for _, p := range parts() {
		section, err := s.section(p)
		if errors.Is(err, errNotDone) {
			say("%s: not every case is done: its section stays as it was", p.name)
			section, err = sectionOf(string(old), p.name), nil
		}
		if err != nil {
			return err
		}
		if section != "" {
			page.WriteString("\n" + mark(p.name) + section + "\n")
		}
	}
	return writeFile(s.out, []byte(page.String()))
}

// mark is the line before the section of a part.
func mark(part string) string { return "<!-- part: " + part + " -->\n" }

// sectionOf is the section of a part in a page, "" if it has none.
func sectionOf(page, part string) string {
	_, section, _ := strings.Cut(page, mark(part))
	section, _, _ = strings.Cut(section, "\n<!-- part: ")
	return strings.TrimSpace(section)
}

// section is what a part reports, with its circumstances after the heading. With -report, that may be of a part of the
// cases, and says so. Errors: errNotDone.
func (s *soak) section(p part) (string, error) {
	cases, err := p.cases(s)
	if err != nil {
		return "", err
	}
	var all []outcome
	for _, c := range cases {
		o, err := s.outcome(p, c)
		if s.options.report && errors.Is(err, errNotDone) {
			continue
		}
		if err != nil {
			return "", err
		}
		all = append(all, o)
	}
	if s.options.report && len(all) == 0 {
		return "", errNotDone
	}
	heading, rest, _ := strings.Cut(strings.TrimSpace(p.report(s, all)), "\n")
	if left := len(cases) - len(all); left > 0 {
		rest += fmt.Sprintf("\n\n%d of %d cases were not done by then, and are not in this section: `go run ./soak %s` goes on.", left, len(cases), p.name)
	}
	return heading + "\n\n" + s.circumstances() + "\n" + rest, nil
}
