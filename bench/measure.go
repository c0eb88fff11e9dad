package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A subject is one thing that is timed.
type subject struct {
	name   string
	before func() error    // not timed; may be nil
	argv   func() []string // timed
	env    []string        // added to ours
	after  func() error    // not timed; may be nil
	took   []time.Duration
}

// command is one that says what it printed when it fails.
func (b *bench) command(argv []string, env []string) (*exec.Cmd, *bytes.Buffer) {
	cmd := exec.CommandContext(b.ctx, argv[0], argv[1:]...)
	cmd.Dir = b.dir
	cmd.Env = append(os.Environ(), env...)
	var said bytes.Buffer
	cmd.Stderr = &said
	return cmd, &said
}

func failed(argv []string, err error, said *bytes.Buffer) error {
	return fmt.Errorf("%s: %w\n%s", strings.Join(argv, " "), err, said)
}

// output runs a command and returns its stdout without the last newline.
func (b *bench) output(argv ...string) (string, error) {
	cmd, said := b.command(argv, nil)
	out, err := cmd.Output()
	if err != nil {
		return "", failed(argv, err, said)
	}
	return strings.TrimSpace(string(out)), nil
}

// time runs a subject once. What others have written goes to disk first: nobody pays for it.
func (b *bench) time(s *subject) error {
	if s.before != nil {
		if err := s.before(); err != nil {
			return err
		}
	}
	syscall.Sync()
	argv := s.argv()
	cmd, said := b.command(argv, s.env)
	start := time.Now()
	err := cmd.Run()
	s.took = append(s.took, time.Since(start))
	if err != nil {
		return failed(argv, err, said)
	}
	if s.after != nil {
		return s.after()
	}
	return nil
}

func (b *bench) median(name string) time.Duration {
	i := slices.IndexFunc(b.spent, func(s *subject) bool { return s.name == name })
	return median(b.spent[i].took)
}

// median is the middle of an odd number of spans, the upper middle of an even one.
func median(d []time.Duration) time.Duration { return slices.Sorted(slices.Values(d))[len(d)/2] }

// watch runs a command and returns the peak memory of its largest process (resident, by the kernel's count) and
// of all its processes at once (proportional, looked at every few milliseconds), both in bytes.
func (b *bench) watch(argv []string) (largest, all int64, err error) {
	cmd, said := b.command(argv, nil)
	if err := cmd.Start(); err != nil {
		return 0, 0, err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for {
		select {
		case err := <-done:
			if err != nil {
				return 0, 0, failed(argv, err, said)
			}
			usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
			return usage.Maxrss << 10, all, nil
		case <-time.After(5 * time.Millisecond):
			all = max(all, memory(cmd.Process.Pid))
		}
	}
}

// memory is the proportional set size (proc(5), smaps_rollup) of a process and all that come from it, in
// bytes. What has just ended counts nothing.
func memory(pid int) int64 {
	proc := "/proc/" + strconv.Itoa(pid)
	var total int64
	rollup, _ := os.ReadFile(proc + "/smaps_rollup")
	for line := range strings.Lines(string(rollup)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "Pss:" {
			kib, _ := strconv.ParseInt(f[1], 10, 64)
			total = kib << 10
		}
	}
	tasks, _ := filepath.Glob(proc + "/task/*/children")
	for _, t := range tasks {
		children, _ := os.ReadFile(t)
		for f := range strings.FieldsSeq(string(children)) {
			if child, err := strconv.Atoi(f); err == nil {
				total += memory(child)
			}
		}
	}
	return total
}

// A tarSize is what a tar file holds and takes, in bytes.
type tarSize struct{ content, tar, gzip int64 }

func measureTar(name string) (tarSize, error) {
	f, err := os.Open(name)
	if err != nil {
		return tarSize{}, err
	}
	defer f.Close()
	var plain, packed counter
	zip, err := gzip.NewWriterLevel(&packed, 6)
	if err != nil {
		return tarSize{}, err
	}
	in := io.TeeReader(f, io.MultiWriter(&plain, zip))
	var s tarSize
	for r := tar.NewReader(in); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return tarSize{}, fmt.Errorf("%s: %w", name, err)
		}
		s.content += h.Size
	}
	_, err = io.Copy(io.Discard, in)
	if err := errors.Join(err, zip.Close()); err != nil {
		return tarSize{}, err
	}
	s.tar, s.gzip = int64(plain), int64(packed)
	return s, nil
}

// counter counts the bytes written to it.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// diskUsage is what the files below dir take on disk, each once however many names it has, in bytes.
func diskUsage(dir string) (int64, error) {
	seen := map[uint64]bool{}
	var total int64
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		st := fi.Sys().(*syscall.Stat_t)
		if !seen[st.Ino] {
			seen[st.Ino] = true
			total += st.Blocks * 512 // stat(2): always units of 512
		}
		return nil
	})
	return total, err
}
