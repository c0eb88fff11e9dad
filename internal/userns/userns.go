// Package userns lets an ordinary user be root of a user namespace (user_namespaces(7)): the program
// starts itself again inside one, where the user's own id is 0 and the ids that /etc/subuid and
// /etc/subgid give the user follow from 1 on.
package userns

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"os/user"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// InitCommand is the first argument with which the program starts itself in a new user namespace.
// Whoever calls Enter must, when started with it, call Init and nothing else.
const InitCommand = "userns-init"

// marker is the variable that tells the program, once inside, who it is outside, and parent the one that
// tells it the process that waits for it there.
const (
	marker = "BRICKYARD_USERNS_UID"
	parent = "BRICKYARD_USERNS_PARENT"
)

// minIDs is how many ids a Debian root file system needs: up to nobody, 65534.
const minIDs = 65535

// An UnavailableError means that this machine gives this user no user namespace with enough ids.
type UnavailableError struct {
	What string
	hint string
}

func (e *UnavailableError) Error() string { return "not root, and " + e.What }

// Hint says what an administrator has to do.
func (e *UnavailableError) Hint() string { return e.hint }

// OuterUID is the id of the user outside; ok says whether this process is inside a namespace of Enter's.
func OuterUID(getenv func(string) string) (uid int, ok bool) {
	uid, err := strconv.Atoi(getenv(marker))
	return uid, err == nil && os.Geteuid() == 0
}

// DieWithParent makes the kernel interrupt this process, which is inside a namespace of Enter's, when the one
// outside is no more. Becoming root inside has made it forget that Enter asked for that.
func DieWithParent(getenv func(string) string) error {
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(syscall.SIGTERM), 0, 0, 0); err != nil {
		return fmt.Errorf("user namespace: %w", err)
	}
	if pid := getenv(parent); pid != strconv.Itoa(os.Getppid()) {
		return fmt.Errorf("user namespace: the process that made it, %s, is gone", pid)
	}
	return nil
}

// Enter runs this program, with the same arguments, inside a new user namespace, and returns its
// exit code. The caller then exits with it.
//
// Errors: *UnavailableError.
func Enter(ctx context.Context, args []string) (code int, err error) {
	maps, err := newMaps()
	if err != nil {
		return 1, err
	}
	self, err := os.Executable()
	if err != nil {
		return 1, err
	}
	wait, release, err := os.Pipe()
	if err != nil {
		return 1, err
	}
	defer release.Close()
	cmd := exec.Command(self, append([]string{InitCommand}, args...)...)
	cmd.Args[0] = os.Args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{wait}
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", marker, os.Getuid()), fmt.Sprintf("%s=%d", parent, os.Getpid()))
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		Pdeathsig:  syscall.SIGTERM,
		// Until its ids are mapped the child is nobody, who loses all capabilities when a program starts.
		AmbientCaps: []uintptr{unix.CAP_SETUID, unix.CAP_SETGID},
	}
	runtime.LockOSThread() // Pdeathsig is about the thread that forked
	defer runtime.UnlockOSThread()
	err = cmd.Start()
	wait.Close()
	if err != nil {
		return 1, &UnavailableError{
			What: fmt.Sprintf("no user namespace can be made: %v", err),
			hint: "run as root, or allow user namespaces: sysctl user.max_user_namespaces kernel.unprivileged_userns_clone kernel.apparmor_restrict_unprivileged_userns",
		}
	}
	for _, m := range maps {
		if err := m.apply(cmd.Process.Pid); err != nil {
			cmd.Process.Kill()
			cmd.Wait()
			return 1, err
		}
	}
	if _, err := release.Write([]byte{1}); err != nil {
		return 1, errors.Join(err, cmd.Wait())
	}
	return forward(cmd)
}

// forward passes signals on to the child and returns its exit code.
func forward(cmd *exec.Cmd) (int, error) {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for s := range signals {
			if s == syscall.SIGTERM || !atTerminal() {
				cmd.Process.Signal(s)
			}
		}
	}()
	err := cmd.Wait()
	signal.Stop(signals)
	close(signals)
	<-done
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			return 128 + int(ws.Signal()), nil
		}
		return exit.ExitCode(), nil
	}
	return cmd.ProcessState.ExitCode(), err
}

// atTerminal says whether there is a terminal that sends its signals to the child, too. A second one would
// end the child without its cleaning up.
func atTerminal() bool {
	tty, err := os.Open("/dev/tty")
	if err != nil {
		return false
	}
	tty.Close()
	return true
}

// Init waits until the ids are mapped, becomes root inside, and starts the program over with args. It
// returns only when that fails.
func Init(args []string) error {
	gate := os.NewFile(3, "gate")
	if n, err := gate.Read(make([]byte, 1)); n != 1 {
		return fmt.Errorf("user namespace: %w", err)
	}
	gate.Close()
	if err := errors.Join(syscall.Setresgid(0, 0, 0), syscall.Setgroups([]int{0}), syscall.Setresuid(0, 0, 0)); err != nil {
		return fmt.Errorf("user namespace: %w", err)
	}
	return syscall.Exec("/proc/self/exe", append([]string{os.Args[0]}, args...), os.Environ())
}

// An idMap is one of the two maps of a user namespace.
type idMap struct {
	program      string // newuidmap or newgidmap, which may map what /etc/subuid and /etc/subgid allow
	own          int
	start, count int
}

func newMaps() ([]idMap, error) {
	u, err := user.Current()
	if err != nil {
		return nil, err
	}
	var maps []idMap
	for _, m := range []struct {
		program, file string
		own           int
	}{{"newuidmap", "/etc/subuid", os.Getuid()}, {"newgidmap", "/etc/subgid", os.Getgid()}} {
		if _, err := exec.LookPath(m.program); err != nil {
			return nil, &UnavailableError{What: m.program + " is not installed", hint: "run as root, or: apt-get install uidmap"}
		}
		f, err := os.Open(m.file)
		if err != nil {
			return nil, noIDs(u.Username, m.file)
		}
		start, count := readRange(f, u.Username, u.Uid)
		f.Close()
		if count < minIDs {
			return nil, noIDs(u.Username, m.file)
		}
		maps = append(maps, idMap{m.program, m.own, start, count})
	}
	return maps, nil
}

func noIDs(name, file string) error {
	first := freeIDs("/etc/subuid", "/etc/subgid")
	ids := fmt.Sprintf("%d-%d", first, first+minIDs)
	return &UnavailableError{
		What: fmt.Sprintf("%s gives %s no %d ids", file, name, minIDs),
		hint: "run as root, or let root do: usermod --add-subuids " + ids + " --add-subgids " + ids + " " + name,
	}
}

// freeIDs is the first id after all that the files, in the form of subuid(5), give to anybody; not below 100000, where
// useradd begins (login.defs(5), SUB_UID_MIN).
func freeIDs(files ...string) int {
	free := 100_000
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			continue // nobody has any
		}
		for line := range strings.Lines(string(data)) {
			f := strings.Split(strings.TrimSpace(line), ":")
			if len(f) != 3 {
				continue
			}
			start, err1 := strconv.Atoi(f[1])
			count, err2 := strconv.Atoi(f[2])
			if err1 == nil && err2 == nil {
				free = max(free, start+count)
			}
		}
	}
	return free
}

// readRange finds the largest range of ids that subuid(5) gives the user.
func readRange(r io.Reader, name, uid string) (start, count int) {
	sc := bufio.NewScanner(r)
	for sc.Scan() {
		f := strings.Split(strings.TrimSpace(sc.Text()), ":")
		if len(f) != 3 || f[0] != name && f[0] != uid {
			continue
		}
		s, err1 := strconv.Atoi(f[1])
		n, err2 := strconv.Atoi(f[2])
		if err1 == nil && err2 == nil && n > count {
			start, count = s, n
		}
	}
	return start, count
}

func (m idMap) apply(pid int) error {
	out, err := exec.Command(m.program, strconv.Itoa(pid), "0", strconv.Itoa(m.own), "1", "1", strconv.Itoa(m.start), strconv.Itoa(m.count)).CombinedOutput()
	if err != nil {
		return &UnavailableError{
			What: fmt.Sprintf("%s: %v: %s", m.program, err, strings.TrimSpace(string(out))),
			hint: "run as root, or: apt-get install uidmap",
		}
	}
	return nil
}
