package rootfs

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
)

// SandboxCommand is the first argument with which the program starts itself inside the sandbox. Whoever
// calls Sandbox.Run must, when started with it, call SandboxMain and nothing else.
const SandboxCommand = "sandbox-init"

// A Sandbox is where programs of the image run while it is baked: an overlay of Lowers and Upper as the
// root, in mount, PID, network, IPC and UTS namespaces of its own. There is no network but the loopback
// device, no daemon can stay, and when this process dies, by whatever signal, all of it is gone.
type Sandbox struct {
	Lowers []string // read only, the uppermost first; may be shared
	Upper  string   // takes all writes; empty directory below the store's, on a file system that overlays accept
	Work   string   // empty directory beside Upper
	Mount  string   // empty directory to mount on
	Epoch  int64    // SOURCE_DATE_EPOCH
}

// A Step is one program to run in a Sandbox.
type Step struct {
	Name    string            // for messages
	Argv    []string          // Argv[0] is looked for on the PATH inside
	Env     []string          // besides the fixed environment
	Binds   map[string]string // path outside → path inside, which must exist; read only, and only while this step runs
	Unless  string            // skip when this shell command succeeds
	Creates string            // skip when this path exists

	binds []boundTree // inside: Binds, opened
}

// A StepError means that a program of the image failed while it was baked.
type StepError struct {
	Step   string
	Exit   string // "exit status 3", "signal: killed", or why it did not start
	Output string // the last lines it printed, out and err together
}

func (e *StepError) Error() string {
	s := e.Step + ": " + e.Exit
	if e.Output != "" {
		s += "\n  | " + strings.ReplaceAll(strings.TrimRight(e.Output, "\n"), "\n", "\n  | ")
	}
	return s
}

// job is what the parent tells the child.
type job struct {
	Sandbox
	UserNS bool
	Steps  []Step
}

// result is what the child tells the parent, one a step that was not fine, then none.
type result struct {
	Step string `json:"step,omitempty"`
	Exit string `json:"exit,omitempty"`
	Done bool   `json:"done,omitempty"`
}

// environment is what every program sees: nothing of the machine's or the person's own. The two seeds
// keep Perl's and Python's hash order, which some scripts print, from changing from run to run.
func environment(epoch int64) []string {
	return []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root", "SHELL=/bin/sh", "TERM=dumb", "LC_ALL=C.UTF-8", "LANG=C.UTF-8", "TZ=UTC",
		"DEBIAN_FRONTEND=noninteractive", "DEBCONF_NONINTERACTIVE_SEEN=true",
		"PERL_HASH_SEED=0", "PERL_PERTURB_KEYS=0", "PYTHONHASHSEED=0",
		fmt.Sprintf("SOURCE_DATE_EPOCH=%d", epoch),
	}
}

// Run runs the steps in order, until one fails. What they print goes to out.
//
// Errors: *StepError; ctx.Err(); others when the sandbox itself can't be had.
func (sb Sandbox) Run(ctx context.Context, steps []Step, out io.Writer) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	spec, err := json.Marshal(job{Sandbox: sb, UserNS: inUserNS(), Steps: steps})
	if err != nil {
		return err
	}
	answer, tell, err := os.Pipe()
	if err != nil {
		return err
	}
	defer answer.Close()
	tail := &tailWriter{w: out}
	cmd := exec.CommandContext(ctx, self, SandboxCommand)
	cmd.Args[0] = os.Args[0]
	cmd.Env = []string{"GOMAXPROCS=1"}
	cmd.Stdin = strings.NewReader(string(spec))
	cmd.Stdout, cmd.Stderr = tail, tail
	cmd.ExtraFiles = []*os.File{tell}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS,
		Setsid:     true, // ^C at the terminal is for us to handle
		Pdeathsig:  syscall.SIGKILL,
	}
	// Pdeathsig is about the thread that forked: it must live as long as the child.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err = cmd.Start()
	tell.Close()
	if err != nil {
		return fmt.Errorf("sandbox: %w", err)
	}
	res, readErr := readResult(answer)
	waitErr := cmd.Wait()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case res.Exit != "":
		return &StepError{Step: res.Step, Exit: res.Exit, Output: tail.String()}
	case !res.Done:
		return fmt.Errorf("sandbox: %s (%w)", strings.TrimSpace(tail.String()), cmp.Or(waitErr, readErr))
	}
	return nil
}

func readResult(r io.Reader) (result, error) {
	var res result
	err := json.NewDecoder(r).Decode(&res)
	return res, err
}

// tailBytes is how much of what a step printed an error shows: about the last 40 lines.
const tailBytes = 4 << 10

// tailWriter passes bytes on and remembers the last of them.
type tailWriter struct {
	w    io.Writer
	tail []byte
}

func (t *tailWriter) Write(p []byte) (int, error) {
	t.tail = append(t.tail, p...)
	if n := len(t.tail) - tailBytes; n > 0 {
		t.tail = append(t.tail[:0], t.tail[n:]...)
	}
	return t.w.Write(p)
}

func (t *tailWriter) String() string {
	s := string(t.tail)
	if len(t.tail) == tailBytes {
		_, s, _ = strings.Cut(s, "\n")
	}
	return strings.ToValidUTF8(s, "?")
}

// inUserNS says whether this process is root only of a user namespace: whether its ids are mapped.
func inUserNS() bool {
	data, err := os.ReadFile("/proc/self/uid_map")
	return err == nil && strings.Join(strings.Fields(string(data)), " ") != "0 0 4294967295"
}
