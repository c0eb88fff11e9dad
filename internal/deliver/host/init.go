package host

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// InitCommand is the hidden command that Init is run by.
const InitCommand = "run-init"

// What is in an instance's directory.
const (
	specFile    = "config.json"  // what the runtime is told; its name is the specification's
	lowerDir    = "lower"        // a link to the image's root
	upperDir    = "upper"        // what the instance writes
	workDir     = "work"         // overlayfs's own
	mergedDir   = "merged"       // where the overlay is mounted, in the instance's mount namespace only
	runtimeDir  = "runtime"      // the runtime's own notes
	runtimeLog  = "runtime.log"  // what the runtime has to say, a JSON object a line
	pidFile     = "pid"          // the main process, in the numbers of the PID namespace of Init
	consoleSock = "console.sock" // where the runtime sends the terminal
	controlFD   = 3              // the first of exec.Cmd.ExtraFiles
)

// An initOrder is what Init is to do.
type initOrder struct {
	Dir      string // the instance's
	ID       string
	Runtime  string   // path
	Args     []string // for the runtime, before the command
	Terminal bool
	UID      uint32 // of the main process
	UserNS   bool
	Network  bool // send the network namespace back
}

// An initReport is what Init tells: first that the instance has started, with its network namespace if
// that was asked for, then how it ended. Or what went wrong, and nothing more.
type initReport struct {
	Started bool   `json:",omitempty"`
	Ended   bool   `json:",omitempty"`
	Code    int    `json:",omitempty"`
	Err     string `json:",omitempty"`
	Hint    string `json:",omitempty"`
}

// Init is the first process of an instance's outer PID and mount namespaces: it mounts the image's root
// with a writable directory over it, has the runtime start the instance in there, passes signals on to it
// and reports how it ended. When Init ends, however that happens, the kernel kills all that is left in
// the PID namespace and drops the mounts. It returns an exit code.
func Init() int {
	ctl, err := openControl(controlFD)
	if err != nil {
		fmt.Fprintln(os.Stderr, "brickyard:", InitCommand, "is for brickyard itself:", err)
		return 1
	}
	signals := make(chan os.Signal, 64)
	signal.Notify(signals, PassedOn()...)
	signal.Ignore(syscall.SIGPIPE, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU)
	var order initOrder
	if _, err := ctl.receive(&order); err != nil {
		return 1 // whoever started us is gone
	}
	in := &initProcess{order: order, ctl: ctl, signals: signals}
	code, err := in.run()
	report := initReport{Ended: true, Code: code}
	if err != nil {
		report = initReport{Err: err.Error()}
		if h, ok := errors.AsType[*hintError](err); ok {
			report.Hint = h.hint
		}
	}
	if ctl.send(report, nil) != nil {
		return 1
	}
	return 0
}

type initProcess struct {
	order   initOrder
	ctl     *control
	signals chan os.Signal
	stdio   stdio
	killed  syscall.Signal // what ended the instance in all but name: see deliver
}

func (in *initProcess) run() (code int, err error) {
	if err := os.Chdir(in.order.Dir); err != nil {
		return 0, err
	}
	if err := in.mount(); err != nil {
		return 0, err
	}
	if err := in.stdio.open(in.order.Terminal, in.order.UID); err != nil {
		return 0, err
	}
	defer in.stdio.close()
	children, err := in.startRuntime()
	if err != nil {
		return 0, err
	}
	pid, err := in.created(children)
	if err != nil {
		return 0, err
	}
	if err := in.tell(pid); err != nil {
		return 0, err
	}
	status, err := in.wait(pid, children)
	if err != nil {
		return 0, err
	}
	in.stdio.drain()
	if in.killed != 0 && status.Signaled() && status.Signal() == syscall.SIGKILL {
		return 128 + int(in.killed), nil
	}
	return exitCode(status), nil
}

// exitCode is the code of a process as shells have it.
func exitCode(ws syscall.WaitStatus) int {
	if ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return ws.ExitStatus()
}

// mount makes the instance's root. The directory's own paths are relative, since the options of overlayfs
// give a meaning to commas and colons.
func (in *initProcess) mount() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return hinted("inside a container, /proc must not be masked: start that one with --security-opt systempaths=unconfined",
			"mount /proc: %w", err)
	}
	options := "lowerdir=" + lowerDir + ",upperdir=" + upperDir + ",workdir=" + workDir
	if in.order.UserNS {
		options += ",userxattr"
	}
	err := unix.Mount("overlay", mergedDir, "overlay", 0, options+",volatile")
	if err == unix.EINVAL { // kernels before 5.10 don't know volatile, which spares a sync at the end
		err = unix.Mount("overlay", mergedDir, "overlay", 0, options)
	}
	return in.explainOverlay(err)
}

func (in *initProcess) explainOverlay(err error) error {
	var st unix.Statfs_t
	switch {
	case err == nil:
		return nil
	case err == unix.ENODEV:
		return hinted("load it: modprobe overlay; or use a kernel that has CONFIG_OVERLAY_FS", "this kernel has no overlayfs")
	case in.order.UserNS && err == unix.EPERM:
		return hinted("run it as root, or use a kernel from 5.11 on", "this kernel lets no ordinary user mount overlayfs")
	case unix.Statfs(".", &st) == nil && st.Type == unix.OVERLAYFS_SUPER_MAGIC:
		return hinted("put the home on another file system: --home, or a volume when this is a container",
			"mount overlayfs: the home lies on an overlay itself: %w", err)
	}
	return fmt.Errorf("mount overlayfs on %s: %w", in.order.Dir, err)
}

// startRuntime has the runtime make the instance and go.
func (in *initProcess) startRuntime() (*children, error) {
	args := append([]string{in.order.Runtime, "--root", runtimeDir, "--log", runtimeLog, "--log-format", "json"}, in.order.Args...)
	args = append(args, "run", "--detach", "--bundle", in.order.Dir, "--pid-file", pidFile)
	if in.order.Terminal {
		args = append(args, "--console-socket", consoleSock)
	}
	pid, err := syscall.ForkExec(in.order.Runtime, append(args, in.order.ID), &syscall.ProcAttr{Files: in.stdio.child()})
	if err != nil {
		return nil, fmt.Errorf("runtime %s: %w", in.order.Runtime, err)
	}
	in.stdio.closeChild()
	c := &children{runtime: pid, exits: make(chan exit), ended: map[int]syscall.WaitStatus{}}
	go c.reap()
	return c, nil
}

// created waits for the runtime to be done and returns the number of the main process.
func (in *initProcess) created(c *children) (pid int, err error) {
	status, err := c.waitFor(c.runtime)
	if err != nil {
		return 0, err
	}
	if exitCode(status) != 0 {
		return 0, in.runtimeError(status)
	}
	data, err := os.ReadFile(pidFile)
	if err != nil {
		return 0, fmt.Errorf("runtime %s: %w", in.order.Runtime, err)
	}
	if pid, err = strconv.Atoi(strings.TrimSpace(string(data))); err != nil {
		return 0, fmt.Errorf("runtime %s: process number: %w", in.order.Runtime, err)
	}
	return pid, in.stdio.attach()
}

// runtimeError is what the runtime has to say about its failure.
func (in *initProcess) runtimeError(status syscall.WaitStatus) error {
	name := filepath.Base(in.order.Runtime)
	log, err := os.ReadFile(runtimeLog)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	said := ""
	for line := range bytes.Lines(log) {
		var entry struct{ Level, Msg string }
		if json.Unmarshal(line, &entry) == nil && (entry.Level == "error" || entry.Level == "fatal") {
			said = entry.Msg
		}
	}
	if said == "" {
		said = fmt.Sprintf("exit code %d", exitCode(status))
	}
	return fmt.Errorf("%s could not start the instance: %s", name, said)
}

// tell reports that the instance has started. An instance that has ended already has no network any more.
func (in *initProcess) tell(pid int) error {
	var netns *os.File
	if in.order.Network {
		if f, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid)); err == nil {
			netns = f
			defer f.Close()
		}
	}
	return in.ctl.send(initReport{Started: true}, netns)
}

// wait waits for the end of the main process and passes signals on to it.
func (in *initProcess) wait(pid int, c *children) (syscall.WaitStatus, error) {
	for {
		if status, ok := c.ended[pid]; ok {
			return status, nil
		}
		select {
		case e, ok := <-c.exits:
			if !ok {
				return 0, fmt.Errorf("process %d of the instance is lost", pid)
			}
			c.ended[e.pid] = e.status
		case sig := <-in.signals:
			in.deliver(pid, sig.(syscall.Signal))
		case sig := <-in.stdio.keys:
			if in.stdio.inForeground(pid) && in.heldBack(pid, sig) {
				in.deliver(pid, sig)
			}
		}
	}
}

// deliver passes a signal on to the main process. Being the first of its PID namespace, it would not even
// notice one that it has no handler for; but people expect that Ctrl-C ends sleep. So what the kernel
// holds back is carried out here.
func (in *initProcess) deliver(pid int, sig syscall.Signal) {
	if sig == syscall.SIGWINCH && in.order.Terminal {
		in.stdio.resize()
		return
	}
	if in.heldBack(pid, sig) {
		in.killed = sig
		sig = syscall.SIGKILL
	}
	_ = syscall.Kill(pid, sig) // ESRCH: it has just ended, which wait hears of
}

// heldBack says whether a signal would end the main process, were it not the first of its PID namespace.
func (in *initProcess) heldBack(pid int, sig syscall.Signal) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	return err == nil && endsByDefault(sig) && !mindsSignal(string(status), sig)
}

// children are all children of Init: the runtime, and every orphan in the PID namespace.
type children struct {
	runtime int
	exits   chan exit
	ended   map[int]syscall.WaitStatus
}

// An exit is how a child ended.
type exit struct {
	pid    int
	status syscall.WaitStatus
}

// reap takes in all children until there are none. It ends with the process at the latest: when the main
// process has ended, nobody listens any more.
func (c *children) reap() {
	defer close(c.exits)
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch err {
		case nil:
			c.exits <- exit{pid, status}
		case syscall.EINTR:
		default:
			return
		}
	}
}

// waitFor waits for the end of one child.
func (c *children) waitFor(pid int) (syscall.WaitStatus, error) {
	for e := range c.exits {
		c.ended[e.pid] = e.status
		if e.pid == pid {
			return e.status, nil
		}
	}
	return 0, fmt.Errorf("process %d is lost", pid)
}
