package host

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"brickyard/internal/store"

	"golang.org/x/sys/unix"
)

func TestSignals(t *testing.T) {
	l := newLab(t)
	for _, tt := range []struct {
		name       string
		stopSignal string
		args       []string
		send       []syscall.Signal
		says       []string
		want       int
	}{
		{"interrupt is the stop signal", "", []string{"trap", "terminated"}, []syscall.Signal{syscall.SIGINT}, []string{"terminated"}, 7},
		{"terminate is the stop signal", "SIGQUIT", []string{"trap", "quit"}, []syscall.Signal{syscall.SIGTERM}, []string{"quit"}, 7},
		{"others are passed on", "", []string{"trap", "terminated"},
			[]syscall.Signal{syscall.SIGUSR1, syscall.SIGWINCH, 35, syscall.SIGTERM},
			[]string{"user defined signal 1", "window changed", "signal 35", "terminated"}, 7},
		{"the second interrupt kills", "", []string{"trap"}, []syscall.Signal{syscall.SIGINT, syscall.SIGINT}, []string{"terminated", ""}, 137},
		{"Ctrl-C ends what does not handle it", "", []string{"wait"}, []syscall.Signal{syscall.SIGINT}, []string{""}, 128 + 15},
		{"so do others", "", []string{"wait"}, []syscall.Signal{syscall.SIGUSR2}, []string{""}, 128 + 12},
		{"stop of a program that ignores it", "", []string{"stubborn"}, []syscall.Signal{syscall.SIGINT, syscall.SIGTERM}, []string{"", ""}, 137},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := l.in(t)
			l.image.Config.Config.StopSignal = tt.stopSignal
			c := l.start(runSpec{StopTimeout: time.Hour}, tt.args...)
			if tt.args[0] == "stubborn" {
				c.expect("ready\n")
				c.expect("ready\n")
			}
			for i, sig := range tt.send {
				must(t, c.cmd.Process.Signal(sig))
				if tt.says[i] != "" {
					c.expect(tt.says[i] + "\n")
				}
			}
			if got := c.wait(); got != tt.want {
				t.Errorf("exit code %d, want %d; stderr: %s", got, tt.want, c.stderr)
			}
		})
	}
}

// A program that ends by itself in a way that only the kernel knows.
func TestDiesByItself(t *testing.T) {
	l := newLab(t)
	c := l.start(runSpec{}, "wait")
	ours := descendants(t, c.cmd.Process.Pid)
	i := slices.IndexFunc(ours, func(p proc) bool { return slices.Equal(p.args, []string{"/bin/prog", "wait"}) })
	must(t, unix.PidfdSendSignal(ours[i].fd, unix.SIGKILL, nil, 0))
	if got := c.wait(); got != 137 {
		t.Errorf("exit code %d, want 137", got)
	}
}

func TestStopTimeout(t *testing.T) {
	l := newLab(t)
	c := l.start(runSpec{StopTimeout: time.Millisecond}, "stubborn")
	must(t, c.cmd.Process.Signal(syscall.SIGTERM))
	if got := c.wait(); got != 137 {
		t.Errorf("exit code %d, want 137; stderr: %s", got, c.stderr)
	}
}

// Whichever of our processes is killed, nothing is left: no process, no mount, no directory, no control
// group. When more than one is killed, the next command cleans up.
func TestKilled(t *testing.T) {
	l := newLab(t)
	for _, tt := range []struct {
		name  string
		kill  []string
		sweep bool // the rest is left to the next command
	}{
		{"run", []string{"test-run"}, false},
		{"init", []string{InitCommand}, false},
		{"reap, then run", []string{ReapCommand, "test-run"}, true},
		{"run and init", []string{"test-run", InitCommand}, false},
		{"init and reap", []string{InitCommand, ReapCommand}, false},
		{"reap", []string{ReapCommand}, false},
		{"all", []string{ReapCommand, "test-run", InitCommand}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := l.in(t)
			c := l.start(runSpec{Publish: []PortMap{{Container: 80, Proto: "tcp"}}}, "stubborn")
			ours := descendants(t, c.cmd.Process.Pid)
			if len(ours) < 6 { // ourselves, Init, Reap, and three in the instance
				t.Fatalf("processes: %v", ours)
			}
			for _, what := range tt.kill {
				i := slices.IndexFunc(ours, func(p proc) bool { return slices.Contains(p.args, what) })
				if i < 0 {
					t.Fatalf("no %s in %v", what, ours)
				}
				if err := unix.PidfdSendSignal(ours[i].fd, unix.SIGKILL, nil, 0); err != unix.ESRCH { // ended since the one before it did
					must(t, err)
				}
			}
			if slices.Equal(tt.kill, []string{ReapCommand}) {
				must(t, c.cmd.Process.Signal(syscall.SIGTERM))
				must(t, c.cmd.Process.Signal(syscall.SIGINT)) // two of the same could come as one
			}
			_ = c.cmd.Wait()
			for _, p := range ours {
				p.awaitEnd(t)
			}
			if tt.sweep {
				_, err := store.Open(l.home)
				must(t, err)
				sweepCgroups(filepath.Join(l.store.Dir(), "tmp"))
			}
			l.nothingLeft()
		})
	}
}

// A proc is a process that a test watches.
type proc struct {
	pid  int
	fd   int // pidfd
	args []string
}

func (p proc) String() string { return fmt.Sprint(p.pid, p.args) }

func (p proc) awaitEnd(t *testing.T) {
	t.Helper()
	defer unix.Close(p.fd)
	for {
		_, err := unix.Poll([]unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLIN}}, -1)
		if err == nil {
			return
		}
		if err != unix.EINTR {
			t.Fatal(err)
		}
	}
}

// descendants are a process and all below it.
func descendants(t *testing.T, root int) []proc {
	t.Helper()
	parents := map[int]int{}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	must(t, err)
	for _, f := range stats {
		data, err := os.ReadFile(f)
		if err != nil {
			continue // it has just ended
		}
		var pid, ppid int
		var state string
		_, rest, _ := strings.Cut(string(data), ") ")
		if _, err := fmt.Sscan(rest, &state, &ppid); err != nil {
			t.Fatal(err)
		}
		pid, err = strconv.Atoi(filepath.Base(filepath.Dir(f)))
		must(t, err)
		parents[pid] = ppid
	}
	var ps []proc
	for pid := range parents {
		for p := pid; p > 1; p = parents[p] {
			if p != root {
				continue
			}
			fd, err := unix.PidfdOpen(pid, 0)
			must(t, err)
			data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
			must(t, err)
			ps = append(ps, proc{pid, fd, strings.Split(string(bytes.TrimRight(data, "\x00")), "\x00")})
		}
	}
	return ps
}

func TestMindsSignal(t *testing.T) {
	const status = "Name:\tx\nSigQ:\t0/1\nSigPnd:\t0000000000000000\nSigBlk:\t0000000000000200\nSigIgn:\t0000000000001000\nSigCgt:\t0000000000004002\n"
	for sig, want := range map[syscall.Signal]bool{
		syscall.SIGUSR1: true,  // 10, blocked
		syscall.SIGPIPE: true,  // 13, ignored
		syscall.SIGTERM: true,  // 15, caught
		syscall.SIGINT:  true,  // 2, caught
		syscall.SIGQUIT: false, // 3
		syscall.SIGUSR2: false, // 12
	} {
		if got := mindsSignal(status, sig); got != want {
			t.Errorf("%v: got %v, want %v", sig, got, want)
		}
	}
}
