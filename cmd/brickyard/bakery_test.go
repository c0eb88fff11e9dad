package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"brickyard/internal/bake/apt/apttest"

	"golang.org/x/sys/unix"
)

// A bakery is a recipe's directory, a home, and how to run the program on them. Recipes take their packages
// from http://archive.example, which a server of the test answers for as the proxy.
type bakery struct {
	dir, home string
	server    *apttest.Server // nil: no archive answers
	internet  bool            // the machine's own proxy, if any, instead of server
	env       []string
	wrap      []string // what the program is run by, as: taskset -c 0
}

// newBakery makes a bakery of the files: path beside the recipe → content.
func newBakery(t *testing.T, server *apttest.Server, files map[string]string) *bakery {
	t.Helper()
	b := &bakery{dir: filepath.Join(t.TempDir(), "recipe"), home: filepath.Join(t.TempDir(), "home"), server: server}
	b.write(t, "archive.gpg", string(apttest.Keyring()))
	for name, content := range files {
		b.write(t, name, content)
	}
	return b
}

// write puts a file beside the recipe.
func (b *bakery) write(t *testing.T, name, content string) {
	t.Helper()
	p := filepath.Join(b.dir, name)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// read returns a file beside the recipe, "" when it isn't there.
func (b *bakery) read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(b.dir, name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return string(data)
}

// command is the program, to be started.
func (b *bakery) command(ctx context.Context, args ...string) *exec.Cmd {
	argv := slices.Concat(b.wrap, []string{"brickyard"})
	if b.home != "" {
		argv = append(argv, "--home", b.home)
	}
	argv = append(argv, args...)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = b.dir
	cmd.Env = os.Environ()
	switch {
	case b.server != nil:
		cmd.Env = append(cmd.Env, noApt(), "http_proxy="+b.server.URL)
	case !b.internet:
		const nobody = "http://127.0.0.1:9" // the discard port
		cmd.Env = append(cmd.Env, noApt(), "http_proxy="+nobody, "https_proxy="+nobody)
	}
	cmd.Env = append(cmd.Env, b.env...)
	return cmd
}

// noApt is an environment in which the proxies of this machine's apt don't count.
func noApt() string {
	dir, err := os.Getwd()
	if err != nil {
		panic(err)
	}
	return "APT_CONFIG=" + filepath.Join(dir, "testdata", "apt.conf")
}

// An outcome is what a command came to.
type outcome struct {
	stdout, stderr string
	code           int
}

// run runs the program to its end.
func (b *bakery) run(t *testing.T, args ...string) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := b.command(ctx, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		t.Fatal(err)
	}
	o := outcome{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
	if strings.Contains(o.stderr, "panic:") || strings.Contains(o.stderr, "goroutine ") {
		t.Errorf("%v panicked:\n%s", args, o.stderr)
	}
	return o
}

// must is run for what has to succeed; it returns stdout.
func (b *bakery) must(t *testing.T, args ...string) string {
	t.Helper()
	o := b.run(t, args...)
	if o.code != 0 {
		t.Fatalf("brickyard %s: exit code %d\n%s", strings.Join(args, " "), o.code, o.stderr)
	}
	return o.stdout
}

// bake bakes recipe.yaml and returns the digest.
func (b *bakery) bake(t *testing.T, args ...string) string {
	t.Helper()
	return digestOf(t, b.must(t, append([]string{"bake", "recipe.yaml"}, args...)...))
}

var digestLine = regexp.MustCompile(`(?m)^sha256:[0-9a-f]{64}\n\z`)

func digestOf(t *testing.T, stdout string) string {
	t.Helper()
	d := digestLine.FindString(stdout)
	if d == "" {
		t.Fatalf("the last line of stdout is no digest: %q", stdout)
	}
	return strings.TrimSpace(d)
}

// refuse runs the program, which must fail with the code, say all of says on stderr, and leave the catalogue
// and the lock as they were.
func (b *bakery) refuse(t *testing.T, code int, says []string, args ...string) outcome {
	t.Helper()
	lock, images := b.read(t, "recipe.lock"), b.images(t)
	o := b.run(t, args...)
	if o.code != code {
		t.Errorf("brickyard %s: exit code %d, want %d\n%s", strings.Join(args, " "), o.code, code, o.stderr)
	}
	for _, s := range says {
		if ok, err := regexp.MatchString(s, o.stderr); err != nil || !ok {
			t.Errorf("stderr does not match %q (%v):\n%s", s, err, o.stderr)
		}
	}
	if o.stdout != "" {
		t.Errorf("stdout of a failure: %q", o.stdout)
	}
	if got := b.read(t, "recipe.lock"); got != lock {
		t.Errorf("the lock was changed to\n%s", got)
	}
	if got := b.images(t); got != images {
		t.Errorf("the catalogue has\n%s\nand had\n%s", got, images)
	}
	b.tidy(t)
	return o
}

// images is what the catalogue lists, as JSON.
func (b *bakery) images(t *testing.T) string {
	t.Helper()
	return b.must(t, "images", "--json")
}

// tidy checks that nothing is left of work: directories, files half-written beside the recipe, mounts.
func (b *bakery) tidy(t *testing.T) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(b.home, "tmp", "*.dir*"))
	if err != nil {
		t.Fatal(err)
	}
	beside, err := filepath.Glob(filepath.Join(b.dir, ".*"))
	if err != nil {
		t.Fatal(err)
	}
	if left = append(left, beside...); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(mounts), b.home+"/") {
		t.Errorf("left mounted below %s:\n%s", b.home, mounts)
	}
}

// processes lists what the test has started, and what that has started, and is still there. It must be called before
// any of them can have lost its parent.
func processes(t *testing.T) []string {
	t.Helper()
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil { // orphans become ours
		t.Fatal(err)
	}
	parent, name := map[string]string{}, map[string]string{}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range stats {
		stat, _ := os.ReadFile(p) // it may have ended by now
		_, rest, _ := strings.Cut(string(stat), ") ")
		if f := strings.Fields(rest); len(f) > 1 && f[0] != "Z" {
			pid := filepath.Base(filepath.Dir(p))
			cmdline, _ := os.ReadFile(filepath.Dir(p) + "/cmdline")
			parent[pid], name[pid] = f[1], strings.ReplaceAll(string(cmdline), "\x00", " ")
		}
	}
	var found []string
	for pid := range parent {
		for p := parent[pid]; p != ""; p = parent[p] {
			if p == fmt.Sprint(os.Getpid()) {
				found = append(found, pid+" "+name[pid])
			}
		}
	}
	return found
}
