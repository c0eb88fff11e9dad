package host

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"brickyard/internal/store"

	"github.com/opencontainers/image-spec/specs-go/v1"
)

// progFile is the test program, built once.
var progFile string

func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case InitCommand:
			os.Exit(Init())
		case ReapCommand:
			os.Exit(Reap())
		case "test-run":
			os.Exit(testRun())
		}
	}
	os.Exit(testMain(m))
}

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "host-test-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	// The race detector has every process sleep for a second when it ends; ours start many.
	if err := os.Setenv("GORACE", "atexit_sleep_ms=0"); err != nil {
		panic(err)
	}
	progFile = filepath.Join(dir, "prog")
	cmd := exec.Command("go", "build", "-o", progFile, "./testdata/prog")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		panic(fmt.Sprintf("%v\n%s", err, out))
	}
	return m.Run()
}

// runSpec is what a process started as "test-run" is to do: it stands for brickyard run.
type runSpec struct {
	Home        string
	Image       Image
	Args        []string
	User        string
	TTY         bool
	Net         string
	Publish     []PortMap
	Volumes     []VolumeMap
	Memory      int64
	StopTimeout time.Duration
}

// testRun is Run in a process of its own, as a test gave it on descriptor 3.
func testRun() int {
	var spec runSpec
	if err := json.NewDecoder(os.NewFile(3, "spec")).Decode(&spec); err != nil {
		panic(err)
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, PassedOn()...)
	st, err := store.Open(spec.Home)
	if err != nil {
		panic(err)
	}
	code, err := Run(context.Background(), st, spec.Image, Options{
		Args: spec.Args, User: spec.User, TTY: spec.TTY, Publish: spec.Publish, StopTimeout: spec.StopTimeout,
		Net: spec.Net, Volumes: spec.Volumes, Memory: spec.Memory,
		Signals: signals, Path: os.Getenv("PATH"),
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "test-run:", err)
		return 1
	}
	return code
}

// A lab is a home and an image for one test.
type lab struct {
	t     *testing.T
	home  string
	store *store.Store
	image Image
}

func newLab(t *testing.T) *lab {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	if _, err := exec.LookPath("runc"); err != nil {
		t.Skip("needs runc")
	}
	l := &lab{t: t, home: t.TempDir()}
	l.image = Image{Name: "test:1", Root: l.makeRoot(), Config: v1.Image{
		Platform: v1.Platform{Architecture: runtime.GOARCH, OS: "linux"},
		Config:   v1.ImageConfig{Entrypoint: []string{"/bin/prog"}},
	}}
	var err error
	if l.store, err = store.Open(l.home); err != nil {
		t.Fatal(err)
	}
	return l
}

func (l *lab) makeRoot() string {
	l.t.Helper()
	root := filepath.Join(l.home, "image")
	for _, d := range []string{"bin", "etc", "tmp", "data/sub", "proc", "sys", "dev", "work"} {
		must(l.t, os.MkdirAll(filepath.Join(root, d), 0o755))
	}
	must(l.t, os.Chmod(root, 0o755))
	must(l.t, os.Chmod(root+"/tmp", 0o1777|os.ModeSticky))
	must(l.t, os.Link(progFile, root+"/bin/prog"))
	l.write("etc/passwd", "root:x:0:0::/root:/bin/sh\nbroken\nweb:x:900:901::/srv/web:/bin/sh\n")
	l.write("etc/group", "root:x:0:\nweb:x:901:\nlog:x:902:web,other\n:x\nadm:x:4:web\n")
	l.write("data/page", "from the image")
	l.write("data/sub/file", "deep")
	must(l.t, os.Chmod(root+"/data/page", 0o640))
	must(l.t, os.Chown(root+"/data/page", 900, 901))
	must(l.t, os.Chown(root+"/data", 900, 901))
	must(l.t, os.Symlink("/data/page", root+"/data/link"))
	must(l.t, os.Link(root+"/data/page", root+"/data/second"))
	return root
}

func (l *lab) write(name, content string) {
	l.t.Helper()
	must(l.t, os.WriteFile(filepath.Join(l.home, "image", name), []byte(content), 0o644))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

type result struct {
	code   int
	out    string
	stderr string
	err    error
}

// in is the lab for a subtest.
func (l *lab) in(t *testing.T) *lab {
	sub := *l
	sub.t = t
	return &sub
}

// run runs the program in an instance and checks that nothing is left.
func (l *lab) run(o Options, args ...string) result {
	l.t.Helper()
	var out, stderr bytes.Buffer
	o.Args = args
	o.Path = os.Getenv("PATH")
	o.Stdout, o.Stderr = &out, &stderr
	code, err := Run(l.t.Context(), l.store, l.image, o)
	l.nothingLeft()
	return result{code, out.String(), stderr.String(), err}
}

// nothingLeft checks that no directory, no control group, no process and no mount of the lab is there.
func (l *lab) nothingLeft() {
	l.t.Helper()
	tmp := filepath.Join(l.store.Dir(), "tmp")
	des, err := os.ReadDir(tmp)
	must(l.t, err)
	for _, de := range des {
		l.t.Errorf("left in tmp: %s", de.Name())
	}
	if dirs := cgroupDirs(cgroupPrefix(tmp) + "*"); len(dirs) > 0 {
		l.t.Errorf("left control groups: %q", dirs)
	}
	infos, err := filepath.Glob("/proc/[0-9]*/mountinfo")
	must(l.t, err)
	for _, f := range infos {
		data, err := os.ReadFile(f)
		if err == nil && strings.Contains(string(data), tmp) {
			l.t.Errorf("left mounts: %s", f)
		}
	}
	lower, err := os.ReadDir(l.image.Root)
	must(l.t, err)
	var names []string
	for _, de := range lower {
		names = append(names, de.Name())
	}
	if want := []string{"bin", "data", "dev", "etc", "proc", "sys", "tmp", "work"}; !slices.Equal(names, want) {
		l.t.Errorf("the image's root has now %q, want %q", names, want)
	}
}

// A client is a process that stands for brickyard run.
type client struct {
	*lab
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	out    *bufio.Reader
	stderr *bytes.Buffer
}

// start starts Run in a process of its own and waits until the program in the instance says "ready".
func (l *lab) start(spec runSpec, args ...string) *client {
	l.t.Helper()
	c := l.launch(spec, args...)
	c.expect("ready\n")
	return c
}

func (l *lab) launch(spec runSpec, args ...string) *client {
	l.t.Helper()
	c := l.prepare(spec, args...)
	must(l.t, c.cmd.Start())
	must(l.t, c.cmd.ExtraFiles[0].Close())
	return c
}

// prepare is launch without the start.
func (l *lab) prepare(spec runSpec, args ...string) *client {
	l.t.Helper()
	spec.Home, spec.Image, spec.Args = l.home, l.image, args
	data, err := json.Marshal(spec)
	must(l.t, err)
	r, w, err := os.Pipe()
	must(l.t, err)
	_, err = w.Write(data) // a pipe holds it
	must(l.t, errors.Join(err, w.Close()))
	c := &client{lab: l, cmd: exec.Command("/proc/self/exe", "test-run"), stderr: new(bytes.Buffer)}
	c.cmd.ExtraFiles = []*os.File{r}
	c.cmd.Stderr = c.stderr
	c.stdin, err = c.cmd.StdinPipe()
	must(l.t, err)
	out, err := c.cmd.StdoutPipe()
	must(l.t, err)
	c.out = bufio.NewReader(out)
	return c
}

// expect reads one line from the instance.
func (c *client) expect(want string) {
	c.t.Helper()
	got, err := c.out.ReadString('\n')
	if err != nil {
		c.cmd.Process.Kill()
		c.cmd.Wait()
		c.t.Fatalf("instance said %q, then %v; stderr: %s", got, err, c.stderr)
	}
	if got != want {
		c.t.Errorf("instance said %q, want %q", got, want)
	}
}

// wait waits for the end of the process and returns its exit code.
func (c *client) wait() int {
	c.t.Helper()
	if _, err := io.Copy(io.Discard, c.out); err != nil {
		c.t.Error(err)
	}
	if err := c.cmd.Wait(); err != nil {
		if _, ok := errors.AsType[*exec.ExitError](err); !ok {
			c.t.Error(err)
		}
	}
	c.nothingLeft()
	return exitCode(c.cmd.ProcessState.Sys().(syscall.WaitStatus))
}

// Exit codes are passed on as they are; stderr and stdout stay apart; nothing is left behind.
func TestExitCode(t *testing.T) {
	l := newLab(t)
	for _, tt := range []struct {
		args []string
		want int
	}{
		{[]string{"exit", "0"}, 0},
		{[]string{"exit", "1"}, 1},
		{[]string{"exit", "2"}, 2},
		{[]string{"exit", "126"}, 126},
		{[]string{"exit", "255"}, 255},
		{[]string{"nonsense"}, 9},
	} {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			if got := l.run(Options{}, tt.args...); got.code != tt.want || got.err != nil || got.out != "" {
				t.Errorf("got %+v, want code %d", got, tt.want)
			}
		})
	}
}

func TestEnvironment(t *testing.T) {
	l := newLab(t)
	l.image.Config.Config.Env = []string{"A=image", "B=image"}
	got := l.run(Options{Env: []string{"B=user", "C=a=b"}}, "env")
	want := "PATH=" + defaultPath + "\nHOME=/root\nA=image\nB=user\nC=a=b\n"
	if got.out != want {
		t.Errorf("got %q, want %q (%+v)", got.out, want, got)
	}
}

func TestUserAndPlace(t *testing.T) {
	l := newLab(t)
	l.image.Config.Config.User = "web"
	for _, tt := range []struct {
		name string
		o    Options
		want string
	}{
		{"the image's user has the groups of the image", Options{Hostname: "box"},
			"900 901 [4 901 902] / box\nCapEff:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n"},
		{"another user, by number", Options{User: "7:8", Hostname: "box", Workdir: "/work"},
			"7 8 [8] /work box\nCapEff:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n"},
		{"root has few capabilities", Options{User: "root", Hostname: "box"},
			"0 0 [0] / box\nCapEff:\t00000000a80425fb\nNoNewPrivs:\t1\nSeccomp:\t2\n"},
		{"without the filter", Options{User: "0:0", Hostname: "box", NoSeccomp: true},
			"0 0 [0] / box\nCapEff:\t00000000a80425fb\nNoNewPrivs:\t1\nSeccomp:\t0\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := l.run(tt.o, "id"); got.out != tt.want {
				t.Errorf("got %q, want %q (%+v)", got.out, tt.want, got)
			}
		})
	}
}

// What is written goes to the overlay, the image stays as it is (nothingLeft checks its root), and the
// next instance sees nothing of it.
func TestWrites(t *testing.T) {
	l := newLab(t)
	for _, f := range []string{"/new", "/bin/prog2", "/data/page", "/etc/hosts", "/etc/resolv.conf", "/dev/shm/x", "/tmp/x"} {
		if got := l.run(Options{}, "write", f, "changed"); got.code != 0 || got.err != nil {
			t.Errorf("write %s: %+v", f, got)
		}
	}
	if got := l.run(Options{}, "read", "/data/page"); got.out != "from the image" {
		t.Errorf("got %+v, want the image's content", got)
	}
	if got := l.run(Options{}, "read", "/new"); got.code != 9 {
		t.Errorf("got %+v, want no such file", got)
	}
	if got := l.run(Options{ReadOnly: true}, "write", "/data/page", "x"); got.code != 9 || !strings.Contains(got.stderr, "read-only") {
		t.Errorf("read-only: got %+v", got)
	}
	if got := l.run(Options{ReadOnly: true}, "write", "/dev/shm/x", "x"); got.code != 0 {
		t.Errorf("read-only, but for memory: got %+v", got)
	}
}

func TestKeep(t *testing.T) {
	l := newLab(t)
	var dir string
	l.run(Options{Keep: filepath.Join(l.home, "kept"), OnKeep: func(d string) { dir = d }}, "write", "/data/page", "changed")
	got, err := os.ReadFile(filepath.Join(dir, "data/page"))
	if string(got) != "changed" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestNames(t *testing.T) {
	l := newLab(t)
	if got := l.run(Options{Hostname: "box"}, "read", "/etc/hosts"); !strings.Contains(got.out, "127.0.0.1 localhost box\n") {
		t.Errorf("hosts: got %+v", got)
	}
	if got := l.run(Options{}, "read", "/etc/resolv.conf"); strings.Contains(got.out, "nameserver") || got.out == "" {
		t.Errorf("resolv.conf: got %+v", got)
	}
	want, err := os.ReadFile("/etc/resolv.conf")
	must(t, err)
	if got := l.run(Options{Net: NetHost}, "read", "/etc/resolv.conf"); got.out != string(want) {
		t.Errorf("resolv.conf with the host's network: got %+v, want %q", got, want)
	}
	l.write("etc/hosts", "the image's own\n") // a file that is there is covered, and not changed
	l.run(Options{}, "write", "/etc/hosts", "changed")
	if data, err := os.ReadFile(filepath.Join(l.image.Root, "etc/hosts")); string(data) != "the image's own\n" {
		t.Errorf("the image's /etc/hosts is now %q, %v", data, err)
	}
}

// What would let an instance out is denied, even to its root.
func TestConfinement(t *testing.T) {
	l := newLab(t)
	const eperm = "operation not permitted\n"
	want := "unshare: " + eperm + "mount: " + eperm + "clone: fork/exec /proc/self/exe: " + eperm + "mknod: <nil>\n" +
		"open disk: open /disk: " + eperm + "sys: <nil>\n" + "proc: open /proc/sys/kernel/panic: read-only file system\n"
	if got := l.run(Options{}, "syscalls"); got.out != want {
		t.Errorf("got %q, want %q (%+v)", got.out, want, got)
	}
}

func TestLimits(t *testing.T) {
	l := newLab(t)
	file, want := "/sys/fs/cgroup/memory/memory.limit_in_bytes", "67108864\n"
	switch cgroups(false) {
	case noCgroups:
		_, err := newBundle(machine{caps: ^uint64(0)}, nil, l.image, Options{Memory: 1})
		if err == nil {
			t.Error("limits without control groups are not refused")
		}
		return
	case cgroupsV2:
		file = "/sys/fs/cgroup/memory.max"
	}
	if got := l.run(Options{Memory: 64 << 20, CPUs: 0.5}, "read", file); got.out != want {
		t.Errorf("got %+v, want %q", got, want)
	}
}

func TestStdin(t *testing.T) {
	l := newLab(t)
	for _, user := range []string{"0", "900"} { // with and without a pipe of ours between
		if got := l.run(Options{User: user, Stdin: strings.NewReader("what came in")}, "cat"); got.out != "what came in" || got.code != 0 {
			t.Errorf("user %s: got %+v", user, got)
		}
	}
}

// A file that the user has redirected output to stays the user's.
func TestOutputFileKeepsOwner(t *testing.T) {
	l := newLab(t)
	f, err := os.Create(filepath.Join(t.TempDir(), "log"))
	must(t, err)
	defer f.Close()
	code, err := Run(t.Context(), l.store, l.image, Options{Args: []string{"env"}, User: "900", Stdout: f, Stderr: os.Stderr, Path: os.Getenv("PATH")})
	if code != 0 || err != nil {
		t.Fatal(code, err)
	}
	fi, err := f.Stat()
	must(t, err)
	if uid := fi.Sys().(*syscall.Stat_t).Uid; uid != 0 || fi.Size() == 0 {
		t.Errorf("log belongs to %d and has %d bytes, want 0 and some", uid, fi.Size())
	}
}

// Bad input is refused with a reason, most with a hint, and nothing is left.
func TestRefused(t *testing.T) {
	l := newLab(t)
	l.write("bin/text", "just text")
	l.write("bin/script", "#!/bin/missing\n")
	l.write("bin/loader", "#!relative\n")
	must(t, os.Chmod(l.image.Root+"/bin/text", 0o755))
	must(t, os.Chmod(l.image.Root+"/bin/script", 0o755))
	must(t, os.Chmod(l.image.Root+"/bin/loader", 0o755))
	foreign, err := os.ReadFile(progFile)
	must(t, err)
	foreign[18], foreign[19] = 50, 0 // e_machine: EM_IA_64, which qemu runs no programs of either
	must(t, os.WriteFile(l.image.Root+"/bin/foreign", foreign, 0o755))
	run := func(cmd string) Options { return Options{Entrypoint: []string{cmd}} }
	foreignImage := l.image
	foreignImage.Config.Architecture = "ia64"
	noCommand := l.image
	noCommand.Config.Config.Entrypoint = nil
	badSignal := l.image
	badSignal.Config.Config.StopSignal = "SIGNONE"
	for _, tt := range []struct {
		name  string
		image Image
		o     Options
		want  string // in the error
		hint  bool
		code  int
	}{
		{"no such command", l.image, run("nope"), `command "nope": not in the image`, true, 127},
		{"no such path", l.image, run("/bin/nope"), `command "/bin/nope": not in the image`, false, 127},
		{"directory", l.image, run("/bin"), "is a directory", false, 126},
		{"not executable", l.image, run("/data/page"), "is not executable (mode 0640)", false, 126},
		{"not a program", l.image, run("text"), "neither a program nor a script", false, 126},
		{"no interpreter", l.image, run("script"), "needs /bin/missing, which is not in the image", false, 126},
		{"no absolute interpreter", l.image, run("loader"), "names no program after #!", false, 126},
		{"program for another machine", l.image, run("foreign"), "is a program for ", false, 126},
		{"image for another machine", foreignImage, Options{}, "image test:1 is for ia64", true, 0},
		{"no command", noCommand, Options{}, "image test:1 has no command", true, 0},
		{"user", l.image, Options{User: "nobody"}, `no user "nobody"`, true, 0},
		{"group", l.image, Options{User: "web:staff"}, `no group "staff"`, true, 0},
		{"directory missing", l.image, Options{Workdir: "/nope"}, "working directory /nope is not in the image", true, 0},
		{"directory is a file", l.image, Options{Workdir: "/data/page"}, "working directory /data/page is not a directory", false, 0},
		{"relative directory", l.image, Options{Workdir: "work"}, "not an absolute path", false, 0},
		{"no runtime", l.image, Options{Path: "/nowhere"}, `no OCI runtime "runc" in PATH`, true, 0},
		{"empty PATH", l.image, Options{Path: ""}, `no OCI runtime "runc" in PATH`, true, 0},
		{"other runtime", l.image, Options{Runtime: "walk"}, `no OCI runtime "walk"`, true, 0},
		{"runtime that fails", l.image, Options{Runtime: "false"}, "false could not start the instance: exit code 1", false, 0},
		{"volume missing", l.image, Options{Volumes: []VolumeMap{{Source: "/nope", Path: "/x"}}}, "volume at /x: stat /nope", true, 0},
		{"volume over a file", l.image, Options{Volumes: []VolumeMap{{Source: "new", Path: "/data/page"}}}, "/data/page is not a directory in the image", false, 0},
		{"network", l.image, Options{Net: "bridge"}, `network "bridge"`, false, 0},
		{"ports without a network", l.image, Options{Net: NetHost, Publish: []PortMap{{Container: 1, Proto: "tcp"}}}, "can't be published", true, 0},
		{"port twice", l.image, Options{Publish: []PortMap{{Host: 8080, Container: 1, Proto: "tcp"}, {Host: 8080, Container: 2, Proto: "tcp"}}},
			"publish 127.0.0.1:8080:2/tcp: port 8080 is given to 127.0.0.1:8080:1/tcp already", false, 0},
		{"long host name", l.image, Options{Hostname: strings.Repeat("h", 65)}, "not 1 to 64 letters", false, 0},
		{"host name of two lines", l.image, Options{Hostname: "a\n10.0.0.1 b"}, "not 1 to 64 letters", false, 0},
		{"little memory", l.image, Options{Memory: 1}, "a limit of memory of 1 bytes", false, 0},
		{"negative memory", l.image, Options{Memory: -1}, "a limit of memory", false, 0},
		{"no number of processors", l.image, Options{CPUs: math.NaN()}, "a limit of NaN processors", false, 0},
		{"hardly a processor", l.image, Options{CPUs: 1e-7}, "a limit of 1e-07 processors", false, 0},
		{"endless processors", l.image, Options{CPUs: math.Inf(1)}, "a limit of +Inf processors", false, 0},
		{"stop signal", badSignal, Options{}, `no signal is called "SIGNONE"`, false, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.o.Path == "" && tt.name != "empty PATH" {
				tt.o.Path = os.Getenv("PATH")
			}
			if tt.o.Entrypoint == nil && tt.name != "no command" {
				tt.o.Args = []string{"exit", "0"}
			}
			code, err := Run(t.Context(), l.store, tt.image, tt.o)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %d, %v; want %q", code, err, tt.want)
			}
			h, hinted := errors.AsType[interface {
				error
				Hint() string
			}](err)
			if hinted = hinted && h.Hint() != ""; hinted != tt.hint {
				t.Errorf("hint: got %v, want %v", hinted, tt.hint)
			}
			if c, ok := errors.AsType[*CommandError](err); ok != (tt.code != 0) || ok && c.ExitCode() != tt.code {
				t.Errorf("got %v, want code %d", c, tt.code)
			}
			l.nothingLeft()
		})
	}
}
