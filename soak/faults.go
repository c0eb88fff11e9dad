package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// A faultsCase is a chunk of one of the tests that make things go wrong at random.
type faultsCase struct {
	Test   string `json:"test"`
	Run    string `json:"run"`   // of go test
	Times  int    `json:"times"` // that something is to go wrong
	Seed   uint64 `json:"seed"`
	Format int    `json:"format"` // of the tests: goes up when they look at more
}

// A faultsFound is what a test says of itself when all was well: see tally in cmd/brickyard.
type faultsFound struct {
	Test    string         `json:"test"`
	Times   int            `json:"times"`
	Stages  map[string]int `json:"stages"`
	Failed  int            `json:"failed"`
	Again   int            `json:"again"`
	After   int            `json:"after"`
	Problem string         `json:"problem,omitempty"` // what the test said otherwise
}

// faultsTests are the tests, in the order of the page: what goes wrong, the test, how many chunks of how many times.
var faultsTests = []struct {
	test, what, run string
	chunks, times   int
}{
	{"kill", "a bake is killed (SIGKILL)", "^TestDebian$/^killed$", 8, 25},
	{"disk", "the disk is full, or has no room for one more file", "^TestDebian$/^full_disks$", 4, 12},
	{"mirror", "the mirror fails", "^TestFaultyMirror$", 4, 25},
	{"parallel", "bakes of ten recipes at once, in one home", "^TestManyBakes$", 1, 200},
	{"scripts", "the same, with maintainer scripts and steps", "^TestDebian$/^many_at_once$", 1, 200},
}

func faultsCases(s *soak) ([]testCase, error) {
	build := sync.OnceValues(s.buildTests)
	var cases []testCase
	for _, ft := range faultsTests {
		for i := range ft.chunks {
			c := faultsCase{Test: ft.test, Run: ft.run, Times: ft.times, Seed: s.seed*1000 + uint64(i), Format: 2}
			cases = append(cases, testCase{id: fmt.Sprintf("%s-%02d", ft.test, i+1), definition: c, run: func() (any, bool, error) {
				program, err := build()
				if err != nil {
					return nil, false, err
				}
				f := s.runFaults(program, c)
				return f, f.Problem == "", nil
			}})
		}
	}
	return cases, nil
}

// buildTests makes the tests of cmd/brickyard a program.
func (s *soak) buildTests() (program string, err error) {
	program = filepath.Join(s.dir, "brickyard.test")
	if out, err := exec.CommandContext(s.ctx, "go", "test", "-c", "-o", program, "./cmd/brickyard").CombinedOutput(); err != nil {
		return "", fmt.Errorf("go test -c: %w\n%s", err, out)
	}
	return program, nil
}

var tallyLine = regexp.MustCompile(`(?m)^.*: tally (\{.*\})$`)

// runFaults runs a test and reads its tally.
func (s *soak) runFaults(program string, c faultsCase) *faultsFound {
	cmd := exec.CommandContext(s.ctx, program, "-test.v", "-test.timeout=1h", "-test.run="+c.Run)
	cmd.Dir = "cmd/brickyard"
	cmd.Env = append(os.Environ(), fmt.Sprint("BRICKYARD_FAULTS=", c.Times), fmt.Sprint("BRICKYARD_SEED=", c.Seed))
	out, err := cmd.CombinedOutput()
	f := &faultsFound{Test: c.Test}
	if m := tallyLine.FindSubmatch(out); m != nil {
		err = errors.Join(err, json.Unmarshal(m[1], f))
	}
	if err == nil && f.Times != c.Times {
		err = fmt.Errorf("%d times instead of %d", f.Times, c.Times)
	}
	if err != nil {
		const last = 6000
		f.Problem = fmt.Sprintf("BRICKYARD_FAULTS=%d BRICKYARD_SEED=%d -test.run=%s: %v\n%s", c.Times, c.Seed, c.Run, err, strings.ToValidUTF8(string(out[max(0, len(out)-last):]), "?"))
	}
	return f
}

// add takes in another chunk of the same test.
func (f *faultsFound) add(g faultsFound) {
	if f.Stages == nil {
		f.Stages = map[string]int{}
	}
	for stage, n := range g.Stages {
		f.Stages[stage] += n
	}
	f.Times += g.Times
	f.Failed += g.Failed
	f.Again += g.Again
	f.After += g.After
}

// where lists the stages, the most frequent first.
func (f *faultsFound) where() string {
	var out []string
	for _, stage := range slices.SortedFunc(maps.Keys(f.Stages), func(a, b string) int {
		return cmp.Or(cmp.Compare(f.Stages[b], f.Stages[a]), strings.Compare(a, b))
	}) {
		out = append(out, fmt.Sprintf("%s %d", stage, f.Stages[stage]))
	}
	return strings.Join(out, ", ")
}

func faultsReport(s *soak, outcomes []outcome) string {
	sums := map[string]*faultsFound{}
	var bad []string
	for _, o := range outcomes {
		var f faultsFound
		if err := json.Unmarshal(o.Found, &f); err != nil {
			f.Problem = err.Error()
		}
		if f.Problem != "" {
			bad = append(bad, o.ID)
			continue
		}
		if sums[f.Test] == nil {
			sums[f.Test] = &faultsFound{}
		}
		sums[f.Test].add(f)
	}
	var b strings.Builder
	b.WriteString(faultsHead)
	for _, ft := range faultsTests {
		if f := sums[ft.test]; f != nil {
			fmt.Fprintf(&b, "| %s | %d | %s | %d | %d | 0 | 0 | 0 |\n", ft.what, f.Times, f.where(), f.Failed, f.After)
		}
	}
	if f := sums["mirror"]; f != nil {
		fmt.Fprintf(&b, "\nThe mirrors got %d requests more than mirrors without faults would have.\n", f.Again)
	}
	if len(bad) > 0 {
		fmt.Fprintf(&b, "\nNot as they should be, and not in the table: %s.\n", strings.Join(bad, ", "))
	}
	return b.String()
}

const faultsHead = `## Faults

What goes wrong at random moments, and what became of it. The home holds another image from the beginning. After each fault, before
anything is mended: every blob has the digest in its name and every note is whole, by a check of the test's own; ` + "`brickyard catalog verify`" + `
finds nothing; the other image verifies and has its content. Then, given room and a mirror that works, the bake gives the
digest that it always gives (after every third kill: the others hit what the one before had left), and all is checked
again. Times count only when the fault hit a bake at work: one that ended before its moment was drawn anew.

The recipe is a Debian with dbus and ping, whose scripts run, and steps of its own; for mirrors and for the first bakes at once, packages
made for the test. Stages overlap: a moment counts for the first that was under way. "start" is before them all, "image" after them, while
the recipe's layer, manifest and notes are written, "record" when the image counts and may have no name yet. Moments are drawn for each stage, as
most of the time goes into two of them. A disk is short of bytes, or one time in four of inodes.

| what goes wrong | times | where | commands that failed by it, and said why | bakes afterwards | other digests | damage | lost |
|---|---:|---|---:|---:|---:|---:|---:|
`
