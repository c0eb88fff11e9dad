package cli

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"brickyard/internal/deliver/host"
)

// TestMain lets the test binary stand for brickyard where that starts itself.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == host.InitCommand || os.Args[1] == host.ReapCommand) {
		os.Exit(Main(context.Background(), OSEnv(), os.Args[1:]))
	}
	os.Exit(m.Run())
}

// A bench is a home with an image, "tiny:1", that holds the test program of package host and nothing else.
type bench struct {
	t    *testing.T
	home string
}

func newBench(t *testing.T) *bench {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	if _, err := exec.LookPath("runc"); err != nil {
		t.Skip("needs runc")
	}
	t.Setenv("GORACE", "atexit_sleep_ms=0") // for our processes: else each sleeps for a second when it ends
	dir := t.TempDir()
	cmd := exec.Command("go", "build", "-o", filepath.Join(dir, "prog"), "../deliver/host/testdata/prog")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	recipe := filepath.Join(dir, "recipe.yaml")
	text := `name: tiny
from: scratch
files: [{path: /bin/prog, source: prog, mode: "0755"}]
entrypoint: [/bin/prog]
command: [exit, "5"]
env: {FROM: recipe}
ports: {http: 80}
state: [/data]
owner: me
expires: 90d
`
	if err := os.WriteFile(recipe, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	b := &bench{t, filepath.Join(dir, "home")}
	for _, args := range [][]string{{"lock", recipe}, {"bake", recipe, "-t", "tiny:1"}} {
		if code, _, stderr := b.brickyard("", args...); code != exitDone {
			t.Fatalf("%q: %s", args, stderr)
		}
	}
	return b
}

func (b *bench) brickyard(stdin string, args ...string) (code int, stdout, stderr string) {
	b.t.Helper()
	var out, errOut bytes.Buffer
	env := &Env{Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: &errOut, Getenv: os.Getenv}
	code = Main(b.t.Context(), env, append([]string{"--home", b.home}, args...))
	return code, out.String(), errOut.String()
}

func TestRun(t *testing.T) {
	b := newBench(t)
	const volume = "hint: -v takes NAME|DIR:PATH[:ro] here; to see more of what is going on, say --verbose, or -v before run\n"
	runtimes := runtimesHint(t)
	const state = "state in /data is gone when this run ends; -v NAME:/data keeps it\n"
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, []byte("of the host"), 0o644); err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).Port
	for _, tt := range []struct {
		args           string
		stdin          string
		code           int
		stdout, stderr string
	}{
		{"tiny:1", "", 5, "", state},
		{"-q tiny:1 exit 2", "", 2, "", ""},
		{"-q tiny:1 cat", "came in", 0, "came in", ""},
		{"-q -v vol:/data tiny:1 write /data/x kept", "", 0, "", ""},
		{"-v vol:/data tiny:1 read /data/x", "", 0, "kept", ""},
		{"-q -v " + file + ":/f:ro tiny:1 read /f", "", 0, "of the host", ""},
		{"-q -e A=b --entrypoint prog tiny:1 env", "", 0, "HOME=/root\nFROM=recipe\nPATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nA=b\n", ""},
		{"-q tiny:1 exit 3 -v --volume", "", 3, "", ""},
		{"-q tiny:1 nonsense -q --help", "", 9, "", "prog: what is \"nonsense\"?\n"},
		{"-q --entrypoint= tiny:1 /bin/prog exit 4", "", 4, "", ""},
		{"-q --entrypoint= tiny:1", "", exitNotRun, "", "brickyard: image tiny:1 has no command\nhint: give one after the image, or set command: in the recipe\n"},
		{"-q --entrypoint nope tiny:1", "", 127, "", "brickyard: command \"nope\": not in the image\n" +
			"hint: looked for in /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"},
		{"-q --entrypoint /bin tiny:1", "", 126, "", "brickyard: command \"/bin\": /bin is a directory\n"},
		{fmt.Sprintf("-q -p %d:80 tiny:1", port), "", exitNotRun, "", fmt.Sprintf("brickyard: publish 127.0.0.1:%[1]d:80/tcp: port %[1]d of 127.0.0.1 is taken\n"+
			"hint: see who has it: ss -lnp 'sport = :%[1]d'; or take another port\n", port)},
		{"-p x tiny:1", "", 2, "", "brickyard: port \"x\": \"x\" is no port from 1 to 65535\nhint: [[IP:]HOST:]CONTAINER[/udp], as 8080:80, 0.0.0.0:8080:80 or [::1]:5353:53/udp\n"},
		{"--user= tiny:1", "", 2, "", "brickyard: --user is empty\nhint: see: brickyard run --help\n"},
		{"--memory= tiny:1", "", 2, "", "brickyard: --memory is empty\nhint: see: brickyard run --help\n"},
		{"-v x tiny:1", "", 2, "", "brickyard: volume \"x\": not NAME:PATH, NAME:PATH:ro or the same with an absolute path for the name\n" + volume},
		{"-v tiny:1", "", 2, "", "brickyard: got 0 arguments; usage: brickyard run [FLAGS] IMAGE [COMMAND [ARGUMENT…]]\n" + volume},
		{"-v tiny:1 exit 3", "", 2, "", "brickyard: volume \"tiny:1\": \"1\" is no absolute path below the instance's root\n" + volume},
		{"-it tiny:1 sh", "", 2, "", "brickyard: unknown shorthand flag: 'i' in -it\nhint: leave it out: what comes on stdin goes to the instance\n"},
		{"--rm tiny:1 sh", "", 2, "", "brickyard: unknown flag: --rm\nhint: leave it out: nothing is left of an instance when it ends\n"},
		{"--memory 1t tiny:1", "", 2, "", "brickyard: memory \"1t\": not a number of bytes, as 512m or 2g\nhint: see: brickyard run --help\n"},
		{"--runtime nope tiny:1", "", exitNotRun, "", "brickyard: no OCI runtime \"nope\" in PATH\n" + runtimes},
		{"--runtime ./nope tiny:1", "", exitNotRun, "", "brickyard: there is no OCI runtime ./nope\n" + runtimes},
		{"--runtime /etc/passwd tiny:1", "", exitNotRun, "", "brickyard: OCI runtime /etc/passwd: not a program that may be run\n" + runtimes},
	} {
		t.Run(tt.args, func(t *testing.T) {
			code, stdout, stderr := b.brickyard(tt.stdin, append([]string{"run"}, strings.Fields(tt.args)...)...)
			if code != tt.code || stdout != tt.stdout || stderr != tt.stderr {
				t.Errorf("got %d, %q, %q;\nwant %d, %q, %q", code, stdout, stderr, tt.code, tt.stdout, tt.stderr)
			}
		})
	}
	for _, global := range []string{"-v", "-q", "-qv", "-vq", "--verbose", "-v --json"} {
		args := append(strings.Fields(global), "run", "-v", "globals:/data", "tiny:1", "exit", "3")
		if code, _, stderr := b.brickyard("", args...); code != 3 || stderr != "" {
			t.Errorf("%q: got %d, %q", args, code, stderr)
		}
	}
	code, _, stderr := b.brickyard("", "run", "-P", "-v", "a:/data", "tiny:1")
	if !strings.HasPrefix(stderr, "published: 127.0.0.1:") || !strings.HasSuffix(stderr, ":80/tcp\n") || code != 5 {
		t.Errorf("-P: got %d, %q", code, stderr)
	}
	code, _, stderr = b.brickyard("", "run", "--keep", "-v", "a:/data", "tiny:1", "write", "/x", "kept")
	dir, ok := strings.CutPrefix(strings.TrimSpace(stderr), "kept: ")
	if data, err := os.ReadFile(filepath.Join(dir, "x")); code != 0 || !ok || string(data) != "kept" || err != nil {
		t.Errorf("--keep: got %d, %q, %q, %v", code, stderr, data, err)
	}
}

// runtimesHint is what is said to who names a runtime that is not there, on a machine with runc and perhaps others.
func runtimesHint(t *testing.T) string {
	t.Helper()
	var here []string
	for _, r := range []string{"runc", "crun", "youki", "runsc"} {
		if _, err := exec.LookPath(r); err == nil {
			here = append(here, r)
		}
	}
	return fmt.Sprintf("hint: this machine has %s: --runtime %s\n", strings.Join(here, ", "), here[0])
}

func TestParseMemory(t *testing.T) {
	for in, want := range map[string]int64{
		"": 0, "1": 1, "2k": 2048, "512m": 512 << 20, "3G": 3 << 30,
		"0": -1, "-1": -1, "m": -1, "1.5g": -1, "9223372036854775807": 9223372036854775807, "9007199254740993k": -1,
	} {
		got, err := parseMemory(in)
		if err != nil {
			got = -1
		}
		if got != want {
			t.Errorf("%q: got %d, %v; want %d", in, got, err, want)
		}
	}
}
