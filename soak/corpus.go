package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// A subject is an image that people could have: a server, or a tool.
type subject struct {
	name     string
	packages []string
	variant  string            // of from; "" for the Essential set
	files    map[string]string // path → content, as the recipe adds them
	more     string            // lines of the recipe besides
	command  []string          // what its unit or init script starts, in the foreground
	ports    []string          // that it listens on, as 80 or 53/udp
	stop     string            // signal; "" for SIGTERM
	exits    []int             // that are a good end, besides 0 and that of a signal that asks for it
	wait     time.Duration     // until it answers; 0 for a minute
	ask      ask               // a server
	tool     []string          // what to run where it is no server …
	says     string            // … and what that prints, a regular expression
	note     string            // for the page: what is out of the ordinary
}

// recipe is the recipe of a subject.
func (sub subject) recipe() string {
	var w strings.Builder
	variant := sub.variant
	if variant == "" {
		variant = "essential"
	}
	fmt.Fprintf(&w, "name: %s\nfrom: {debian: %s, variant: %s}\npackages: %s\n", sub.name, osRelease("VERSION_CODENAME"), variant, yaml(sub.packages))
	if len(sub.files) > 0 {
		w.WriteString("files:\n")
		for _, p := range slices.Sorted(maps.Keys(sub.files)) {
			fmt.Fprintf(&w, "  - {path: %s, content: %s}\n", p, yaml(sub.files[p]))
		}
	}
	if len(sub.command) > 0 {
		fmt.Fprintf(&w, "command: %s\n", yaml(sub.command))
	}
	if len(sub.ports) > 0 {
		w.WriteString("ports:\n")
		for _, p := range sub.ports {
			fmt.Fprintf(&w, "  p%s: %s\n", strings.ReplaceAll(p, "/", ""), p)
		}
	}
	if sub.stop != "" {
		fmt.Fprintf(&w, "stop_signal: %s\n", sub.stop)
	}
	w.WriteString(sub.more)
	w.WriteString("owner: soak\nexpires: 90d\n")
	return w.String()
}

// yaml is a text or a list of texts as a recipe has it: JSON, with nothing in it taken for a parameter.
func yaml(v any) string {
	var w bytes.Buffer
	enc := json.NewEncoder(&w)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err) // texts
	}
	return strings.ReplaceAll(strings.TrimSpace(w.String()), "${", "$${")
}

// A baked is one bake of a subject.
type baked struct {
	How     string  `json:"how"`
	Seconds float64 `json:"seconds"`
	Digest  string  `json:"digest"`
}

// A corpusFound is what was found of a subject.
type corpusFound struct {
	Recipe   string   `json:"recipe"`
	Packages int      `json:"packages"` // installed
	Layers   int      `json:"layers"`
	Stored   int64    `json:"stored"`   // bytes of the layers, compressed
	Unpacked int64    `json:"unpacked"` // bytes of the files
	Bakes    []baked  `json:"bakes"`    // the second is the one from nothing, as it comes
	Same     bool     `json:"same"`
	Differ   []string `json:"differ,omitempty"` // what differs between the second and the third bake
	Cleaned  []string `json:"cleaned,omitempty"`
	Asked    string   `json:"asked"`
	Answer   string   `json:"answer,omitempty"`
	Answered bool     `json:"answered"`
	After    float64  `json:"after"`             // seconds from the start to the answer
	Exit     int      `json:"exit"`              // code
	Problem  string   `json:"problem,omitempty"` // what stopped it, or went wrong
}

func (f *corpusFound) ok() bool { return f.Same && f.Answered && f.Problem == "" }

// corpusCases makes a case of each subject.
func corpusCases(s *soak) ([]testCase, error) {
	var out []testCase
	for _, sub := range subjects() {
		out = append(out, s.corpusCase(sub))
	}
	return out, nil
}

func (s *soak) corpusCase(sub subject) testCase {
	definition := []any{sub.recipe(), sub.ask.what, sub.tool, sub.says, sub.exits}
	return testCase{sub.name, definition, func() (any, bool, error) {
		found, err := s.prove(sub)
		return found, found.ok(), err
	}}
}

// prove bakes a subject three times, runs it and asks it.
func (s *soak) prove(sub subject) (*corpusFound, error) {
	work := filepath.Join(s.dir, "work", sub.name)
	if err := remove(work); err != nil {
		return nil, err
	}
	found := &corpusFound{Recipe: sub.recipe(), Asked: sub.asked()}
	err := s.bakeAndRun(sub, work, found)
	if errors.Is(err, errProof) {
		return found, err
	}
	if err != nil {
		found.Problem = err.Error()
	}
	return found, remove(work)
}

// errProof marks errors of the proof, which say nothing of the program.
var errProof = errors.New("this proof")

func (sub subject) asked() string {
	if len(sub.tool) > 0 {
		return strings.Join(sub.tool, " ")
	}
	return sub.ask.what
}

// bakeAndRun fills in what was found, until something goes wrong.
func (s *soak) bakeAndRun(sub subject, work string, found *corpusFound) error {
	recipe := filepath.Join(work, "recipe", "recipe.yaml")
	if err := writeFile(recipe, []byte(sub.recipe())); err != nil {
		return fmt.Errorf("%w: %w", errProof, err)
	}
	// The seed has packages, and what was baked before, so the first bake starts with part of the work done.
	seed := caller{s: s, home: filepath.Join(s.dir, "seed"), dir: filepath.Dir(recipe)}
	if _, err := seed.call("lock", recipe); err != nil {
		return err
	}
	lock, err := os.ReadFile(filepath.Join(work, "recipe", "recipe.lock"))
	if err != nil {
		return fmt.Errorf("%w: %w", errProof, err)
	}
	first, err := found.bake(seed, "in a home with other images", "bake", recipe)
	if err != nil {
		return err
	}
	sums, err := packageSums(seed, first)
	if err != nil {
		return err
	}
	plain := caller{s: s, home: filepath.Join(work, "home"), dir: filepath.Dir(recipe)}
	if err := linkBlobs(seed.home, plain.home, sums); err != nil {
		return fmt.Errorf("%w: %w", errProof, err)
	}
	digest, err := found.bake(plain, "from nothing", "bake", "--offline", recipe)
	if err != nil {
		return err
	}
	if err := found.measure(plain, digest); err != nil {
		return err
	}
	odd, how := s.otherwise(sub, work)
	if err := errors.Join(linkBlobs(seed.home, odd.home, sums),
		writeFile(filepath.Join(odd.dir, "recipe.yaml"), []byte(sub.recipe())), writeFile(filepath.Join(odd.dir, "recipe.lock"), lock)); err != nil {
		return fmt.Errorf("%w: %w", errProof, err)
	}
	other, err := found.bake(odd, how, "bake", "--offline", "recipe.yaml")
	if err != nil {
		return err
	}
	found.Same = first == digest && other == digest
	if other != digest {
		if found.Differ, err = differences(plain, odd, digest, other); err != nil {
			return err
		}
	}
	if len(sub.tool) > 0 {
		return found.runTool(plain, sub, digest)
	}
	return found.serve(plain, sub, digest, filepath.Join(work, "log"))
}

// bake bakes and notes it.
func (f *corpusFound) bake(c caller, how string, args ...string) (digest string, err error) {
	start := time.Now()
	digest, err = c.call(args...)
	f.Bakes = append(f.Bakes, baked{how, time.Since(start).Seconds(), digest})
	return digest, err
}

// inspected is the part of "inspect --json" that is of use here.
type inspected struct {
	Size   int64
	Record struct {
		Packages []struct{ SHA256 string }
		Layers   []struct{}
		Cleaned  []struct{ Path, Why string }
	}
}

func inspect(c caller, digest string) (in inspected, err error) {
	out, err := c.call("inspect", "--json", digest)
	if err != nil {
		return in, err
	}
	return in, json.Unmarshal([]byte(out), &in)
}

// packageSums are the sha256 of all packages of an image.
func packageSums(c caller, digest string) ([]string, error) {
	in, err := inspect(c, digest)
	var sums []string
	for _, p := range in.Record.Packages {
		sums = append(sums, p.SHA256)
	}
	return sums, err
}

// measure fills in the sizes.
func (f *corpusFound) measure(c caller, digest string) error {
	in, err := inspect(c, digest)
	if err != nil {
		return err
	}
	f.Packages, f.Layers, f.Stored = len(in.Record.Packages), len(in.Record.Layers), in.Size
	for _, gone := range in.Record.Cleaned {
		f.Cleaned = append(f.Cleaned, gone.Path+": "+gone.Why)
	}
	files, err := list(c, digest)
	for _, e := range files {
		if e.Hard == "" {
			f.Unpacked += e.Size
		}
	}
	return err
}

// An entry is one path of an image as "files --json" says it.
type entry struct {
	Path, Type, Mode, Digest, Link, Hard string
	UID, GID, Major, Minor               uint32
	Size                                 int64
	Time                                 time.Time
	Xattrs                               map[string][]byte
}

// list is all that is in an image, by path.
func list(c caller, digest string) (map[string]entry, error) {
	out, err := c.call("files", "--json", "-R", digest)
	if err != nil {
		return nil, err
	}
	return parseList([]byte(out))
}

// parseList reads what "files --json" printed.
func parseList(data []byte) (map[string]entry, error) {
	var all []entry
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, err
	}
	files := map[string]entry{}
	for _, e := range all {
		files[e.Path] = e
	}
	return files, nil
}

// differences says where two images in two homes differ.
func differences(a, b caller, imageA, imageB string) ([]string, error) {
	one, err := list(a, imageA)
	if err != nil {
		return nil, err
	}
	two, err := list(b, imageB)
	return differing(one, two), err
}

// differing says where an image differs from the one from nothing: at most a hundred lines.
func differing(one, two map[string]entry) []string {
	var out []string
	for p, x := range one {
		y, ok := two[p]
		switch {
		case !ok:
			out = append(out, p+": only in the one from nothing")
		case x.Digest != y.Digest:
			out = append(out, fmt.Sprintf("%s: other content, %d and %d bytes", p, x.Size, y.Size))
		case !reflect.DeepEqual(x, y):
			out = append(out, fmt.Sprintf("%s: %+v and %+v", p, x, y))
		}
	}
	for p := range two {
		if _, ok := one[p]; !ok {
			out = append(out, p+": only in the other")
		}
	}
	if len(out) == 0 {
		return []string{"no file: how the image is put together"}
	}
	slices.Sort(out)
	return out[:min(len(out), 100)]
}

// otherwise draws other circumstances for a bake, which must not show in the image.
func (s *soak) otherwise(sub subject, work string) (c caller, how string) {
	h := fnv.New64a()
	h.Write([]byte(sub.name))
	r := rand.New(rand.NewPCG(s.seed, h.Sum64()))
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	zone, locale := pick("Pacific/Kiritimati", "America/St_Johns", "Asia/Kathmandu"), pick("tr_TR.UTF-8", "de_DE.UTF-8", "ja_JP.UTF-8", "POSIX")
	umask, home := pick("077", "000", "027"), pick(`a home: x,y=\z "é"`, "h", strings.Repeat("long/", 12)+"home")
	c = caller{
		s: s, home: filepath.Join(work, "other", home), dir: filepath.Join(work, "else where"),
		env:  []string{"TZ=" + zone, "LC_ALL=" + locale, "LANG=" + locale, "GOMAXPROCS=1", "HOME=/nonexistent", "USER=somebody", "DEBIAN_FRONTEND=dialog"},
		wrap: []string{"taskset", "-c", "0", "sh", "-c", "umask " + umask + `; exec "$@"`, "sh"},
	}
	return c, fmt.Sprintf("from nothing, on one core, umask %s, TZ=%s, LC_ALL=%s, in %q", umask, zone, locale, home)
}

// runTool runs a tool, which must print what it should.
func (f *corpusFound) runTool(c caller, sub subject, digest string) error {
	start := time.Now()
	out, err := c.call(append([]string{"run", digest}, sub.tool...)...)
	f.After = time.Since(start).Seconds()
	if err != nil {
		return err
	}
	if f.Answer, err = match(sub.says, out); err != nil {
		return err
	}
	f.Answered = true
	return left(c)
}

// serve runs a server, asks it until it answers, and stops it.
func (f *corpusFound) serve(c caller, sub subject, digest, log string) error {
	args := []string{"run", "--stop-timeout", "30s"}
	addresses := map[string]string{}
	for _, p := range sub.ports {
		number, err := free(p)
		if err != nil {
			return fmt.Errorf("%w: %w", errProof, err)
		}
		args = append(args, "-p", number+":"+p)
		addresses[p] = "127.0.0.1:" + number
	}
	out, err := os.Create(log)
	if err != nil {
		return fmt.Errorf("%w: %w", errProof, err)
	}
	defer out.Close()
	cmd := c.command(append(args, digest)...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Minute
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	f.Answer, err = insist(c.s.ctx, sub, func(port string) string { return addresses[port] }, ended)
	f.After, f.Answered = time.Since(start).Seconds(), err == nil
	if !errors.Is(err, errEnded) {
		err = errors.Join(err, stop(cmd, ended))
	}
	f.Exit = cmd.ProcessState.ExitCode()
	good := append([]int{0, 128 + int(syscall.SIGTERM), 128 + int(syscall.SIGINT)}, sub.exits...)
	if f.Answered && !slices.Contains(good, f.Exit) {
		err = errors.Join(err, fmt.Errorf("stopped, it ended with %d", f.Exit))
	}
	if err != nil {
		err = fmt.Errorf("%w\nIt said:\n%s", err, tail(log))
	}
	return errors.Join(err, left(c))
}

// insist asks until there is an answer, the server ends or the time is up.
func insist(ctx context.Context, sub subject, at func(string) string, ended <-chan error) (string, error) {
	wait := sub.wait
	if wait == 0 {
		wait = time.Minute
	}
	deadline := time.After(wait)
	for {
		answer, err := sub.ask.do(ctx, at)
		if err == nil {
			return answer, nil
		}
		select {
		case <-ended:
			return "", errors.Join(errEnded, err)
		case <-deadline:
			return "", fmt.Errorf("no answer after %s: %w", wait, err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// stop asks the instance to end, and waits until all is gone.
func stop(cmd *exec.Cmd, ended <-chan error) error {
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-ended: // its code is looked at
		return nil
	case <-time.After(time.Minute):
		return errors.Join(errors.New("it does not end a minute after it was asked to"), cmd.Process.Kill(), <-ended)
	}
}

// tail is the end of a log.
func tail(name string) string {
	data, err := os.ReadFile(name)
	if err != nil {
		return err.Error()
	}
	const last = 6000
	return strings.ToValidUTF8(string(data[max(0, len(data)-last):]), "?")
}

// left says what is left of an instance when it has ended: directories, mounts, processes in its mount namespace.
func left(c caller) error {
	dirs, err := filepath.Glob(filepath.Join(c.home, "tmp", "*.dir*"))
	if err != nil {
		return err
	}
	for _, d := range dirs {
		err = errors.Join(err, fmt.Errorf("left behind: %s", d))
	}
	infos, gerr := filepath.Glob("/proc/[0-9]*/mountinfo")
	for _, name := range infos {
		data, rerr := os.ReadFile(name)
		if rerr == nil && strings.Contains(string(data), c.home+"/") { // a process may have ended meanwhile
			err = errors.Join(err, fmt.Errorf("left mounted: below %s, by %s", c.home, name))
		}
	}
	return errors.Join(err, gerr)
}

// match returns what the expression matches in a text.
func match(want, text string) (string, error) {
	re, err := regexp.Compile(want)
	if err != nil {
		return "", err
	}
	got := re.FindString(text)
	if got == "" {
		return "", fmt.Errorf("it printed %.400q, want %s", text, want)
	}
	return got, nil
}
