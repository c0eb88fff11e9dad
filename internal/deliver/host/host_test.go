package host

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
	Home    string
	Image   Image
	Options Options
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
	o := spec.Options
	o.Signals, o.Path = signals, os.Getenv("PATH")
	o.Stdin, o.Stdout, o.Stderr = os.Stdin, os.Stdout, os.Stderr
	o.OnPublish = func(p PortMap) { fmt.Fprintln(os.Stderr, "published", p) }
	code, err := Run(context.Background(), st, spec.Image, o)
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
func (l *lab) start(o Options, args ...string) *client {
	l.t.Helper()
	c := l.launch(o, args...)
	c.expect("ready\n")
	return c
}

func (l *lab) launch(o Options, args ...string) *client {
	l.t.Helper()
	o.Args = args
	spec, err := json.Marshal(runSpec{l.home, l.image, o})
	must(l.t, err)
	r, w, err := os.Pipe()
	must(l.t, err)
	defer r.Close()
	_, err = w.Write(spec)
	must(l.t, errors.Join(err, w.Close()))
	c := &client{lab: l, cmd: exec.Command("/proc/self/exe", "test-run"), stderr: new(bytes.Buffer)}
	c.cmd.ExtraFiles = []*os.File{r}
	c.cmd.Stderr = c.stderr
	c.stdin, err = c.cmd.StdinPipe()
	must(l.t, err)
	out, err := c.cmd.StdoutPipe()
	must(l.t, err)
	c.out = bufio.NewReader(out)
	must(l.t, c.cmd.Start())
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

func TestExitCode(t *testing.T) {
	l := newLab(t)
	for _, tt := range []struct {
		args []string
		want int
	}{
		{[]string{"exit", "0"}, 0},
		{[]string{"exit", "1"}, 1},
		{[]string{"exit", "42"}, 42},
		{[]string{"exit", "255"}, 255},
	} {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			if got := l.run(Options{}, tt.args...); got.code != tt.want || got.err != nil {
				t.Errorf("got %+v, want code %d", got, tt.want)
			}
		})
	}
}

var _ = time.Second
