package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// build makes the program, or takes the one that was named, and sums it. Nothing of the repository's state goes into
// it: a commit that changes no code changes no result.
func (s *soak) build() error {
	if s.options.program != "" {
		say("taking %s", s.options.program)
		data, err := os.ReadFile(s.options.program)
		if err != nil {
			return err
		}
		// A copy, as what is named may be built anew meanwhile. It may not be written to while it runs.
		if err := os.WriteFile(s.program+".new", data, 0o755); err != nil {
			return err
		}
		if err := os.Rename(s.program+".new", s.program); err != nil {
			return err
		}
	} else {
		say("building")
		cmd := exec.CommandContext(s.ctx, "go", "build", "-trimpath", "-buildvcs=false", "-o", s.program, "./cmd/brickyard")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("go build: %w\n%s", err, out)
		}
	}
	f, err := os.Open(s.program)
	if err != nil {
		return err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return err
	}
	s.sum = hex.EncodeToString(sum.Sum(nil))
	return nil
}

// A caller runs the program in some circumstances.
type caller struct {
	s    *soak
	home string
	dir  string   // working directory
	wrap []string // what the program is run by, as taskset -c 0
	env  []string // added to ours
}

// ownHome is a home of a part for this very program: what another one has unpacked and configured proves nothing of it.
func (s *soak) ownHome(part string) string { return filepath.Join(s.dir, part, "home-"+s.sum[:12]) }

// command is the program, to be started.
func (c caller) command(args ...string) *exec.Cmd {
	argv := append(append([]string{}, c.wrap...), c.s.program, "--home", c.home, "--quiet")
	argv = append(argv, args...)
	cmd := exec.CommandContext(c.s.ctx, argv[0], argv[1:]...)
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), c.env...)
	return cmd
}

// call runs the program to its end and returns its stdout without the last newline.
func (c caller) call(args ...string) (string, error) {
	cmd := c.command(args...)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("brickyard %s: %w\n%s", strings.Join(args, " "), err, &said)
	}
	return strings.TrimSpace(string(out)), nil
}

// pageHead is the beginning of the page.
const pageHead = "# The corpus\n\nWritten by `go run ./soak` (`make soak`), each part for itself; not to be edited.\n"

// circumstances say with what and where this run was.
func (s *soak) circumstances() string {
	version, err := exec.CommandContext(s.ctx, "git", "describe", "--tags", "--always", "--dirty").Output()
	if err != nil {
		version = []byte("unknown")
	}
	program := strings.TrimSpace(string(version))
	if s.options.program != "" {
		program = "built before, sha256 " + s.sum[:12]
	}
	return fmt.Sprintf("*%s, Brickyard %s, %s, %d cores, seed %d.*", time.Now().UTC().Format("2006-01-02 15:04 UTC"),
		program, osRelease("PRETTY_NAME"), runtime.NumCPU(), s.seed)
}

// osRelease is a field of the machine's os-release(5), "" if it has none.
func osRelease(field string) string {
	data, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), field+"="); ok {
			return strings.Trim(value, `"`)
		}
	}
	return ""
}

// remove takes directories away.
func remove(dirs ...string) error {
	for _, d := range dirs {
		if err := os.RemoveAll(d); err != nil {
			return err
		}
	}
	return nil
}

// linkBlobs puts the blobs with these sums of one home into another, which is made.
func linkBlobs(from, to string, sums []string) error {
	dir := filepath.Join(to, "blobs/sha256")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, sum := range sums {
		if err := os.Link(filepath.Join(from, "blobs/sha256", sum), filepath.Join(dir, sum)); err != nil {
			return err
		}
	}
	return nil
}
