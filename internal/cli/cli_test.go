package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"brickyard/internal/catalog/index"
	"brickyard/internal/catalog/indextest"
	"brickyard/internal/store"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

// testEnv is an Env that remembers what a command prints.
func testEnv() (env *Env, stdout, stderr *bytes.Buffer) {
	stdout, stderr = new(bytes.Buffer), new(bytes.Buffer)
	return &Env{
		Stdin: strings.NewReader(""), Stdout: stdout, Stderr: stderr,
		Getenv: func(string) string { return "" }, UID: os.Getuid(),
	}, stdout, stderr
}

// by runs brickyard with the catalogue in home.
func by(t *testing.T, home string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	env, out, err := testEnv()
	code = Main(t.Context(), env, append([]string{"--home", home}, args...))
	return out.String(), err.String(), code
}

// words are those of a command line; ” is an empty one.
func words(line string) []string {
	ws := strings.Fields(line)
	for i, w := range ws {
		if w == "''" {
			ws[i] = ""
		}
	}
	return ws
}

// webHome is a catalogue with the images of indextest.Web.
func webHome(t *testing.T) (home string, base, web, web11 index.Record) {
	t.Helper()
	home = t.TempDir()
	s, err := store.Open(home)
	if err != nil {
		t.Fatal(err)
	}
	base, web, web11, err = indextest.Web(s)
	if err != nil {
		t.Fatal(err)
	}
	return home, base, web, web11
}

// all calls f for each command that Brickyard itself brings.
func all(root *cobra.Command, f func(*cobra.Command)) {
	for _, c := range root.Commands() {
		if c.Name() != "completion" {
			f(c)
			all(c, f)
		}
	}
}

func TestHelpOfEveryCommand(t *testing.T) {
	env, _, _ := testEnv()
	all(rootCmd(env), func(c *cobra.Command) {
		if c.IsAdditionalHelpTopicCommand() || c.Hidden {
			return
		}
		switch {
		case c.Short == "" || c.Long == "":
			t.Errorf("%s: no Short or no Long", c.CommandPath())
		case !strings.HasPrefix(c.Example, "  "+c.CommandPath()):
			t.Errorf("%s: no example of it, indented by two: %q", c.CommandPath(), c.Example)
		case strings.HasSuffix(c.Short, "."), strings.ToLower(c.Short[:1]) != c.Short[:1]:
			t.Errorf("%s: Short %q is not a phrase", c.CommandPath(), c.Short)
		case c.GroupID == "" && c.Parent().ContainsGroup(groupAsk) && c.Name() != "version" && c.Name() != "help":
			t.Errorf("%s: in no group", c.CommandPath())
		}
		for line := range strings.Lines(c.Long + "\n" + c.Example) {
			if len([]rune(line)) > 110 {
				t.Errorf("%s: %q is too long a line", c.CommandPath(), line)
			}
		}
	})
}

func TestHelpHasOneLineOfUsage(t *testing.T) {
	env, _, _ := testEnv()
	all(rootCmd(env), func(c *cobra.Command) {
		args := append(strings.Fields(c.CommandPath())[1:], "--help")
		stdout, _, _ := by(t, t.TempDir(), args...)
		_, usage, ok := strings.Cut(stdout, "Usage:\n")
		usage, _, _ = strings.Cut(usage, "\n\n")
		if ok && strings.Count(usage, "\n") > 0 {
			t.Errorf("%s:\n%s", c.CommandPath(), usage)
		}
	})
	for command, want := range map[string]string{"": "  brickyard COMMAND", "completion ": "  brickyard completion COMMAND", "images ": "  brickyard images [FILTER…] [flags]"} {
		stdout, _, code := by(t, t.TempDir(), strings.Fields(command+"--help")...)
		if !strings.Contains(stdout, "\nUsage:\n"+want+"\n\n") || code != 0 {
			t.Errorf("%s--help: exit code %d\n%s", command, code, stdout)
		}
	}
}

func TestExitCodesAndHints(t *testing.T) {
	home, _, web, _ := webHome(t)
	for _, tt := range []struct {
		args   string
		code   int
		stderr string
	}{
		{"", 2, "Usage:\n"},
		{"imges", 2, "brickyard: brickyard has no command \"imges\"; did you mean images?\nhint: see: brickyard --help\n"},
		{"''", 2, "brickyard: brickyard has no command \"\"\nhint: see: brickyard --help\n"},
		{"--version", 2, "brickyard: unknown flag: --version\nhint: brickyard version\n"},
		{"images --json=maybe", 2, "brickyard: --json can't be \"maybe\"\nhint: see: brickyard images --help\n"},
		{"run --stop-timeout soon x", 2, "brickyard: --stop-timeout can't be \"soon\"\n"},
		{"images --nope", 2, "brickyard: unknown flag: --nope\nhint: see: brickyard images --help\n"},
		{"images size=3", 2, "brickyard: filter \"size=3\": know only owner, lifecycle, package, expired and tagged\nhint: see: brickyard images --help\n"},
		{"inspect", 2, "brickyard: got 0 arguments; usage: brickyard inspect IMAGE [flags]\nhint: see: brickyard inspect --help\n"},
		{"help nonsense", 2, "brickyard: no help on \"nonsense\"\nhint: see: brickyard --help\n"},
		{"inspect wbe", 1, "brickyard: no image wbe\nhint: see: brickyard images\n"},
		{"inspect web:2", 1, "brickyard: no image web:2\nhint: there is web:1.0, web:1.1\n"},
		{"owner web:1.0 /nowhere", 1, "brickyard: image web:1.0: find /nowhere: file does not exist\n"},
		{"cat web:1.0 /srv", 1, "brickyard: image web:1.0: /srv is a directory, not a file\n"},
		{"inspect ''", 1, "brickyard: an empty name is no image's\nhint: see: brickyard images\n"},
		{"images ''", 2, "brickyard: filter \"\": it says nothing\n"},
		{"images owner=", 2, "brickyard: filter \"owner=\": it says nothing\n"},
		{"files web:1.0 ''", 2, "brickyard: the path is empty; that of the root directory is /\n"},
		{"cat web:1.0 ''", 2, "brickyard: the path is empty"},
		{"owner web:1.0 ''", 2, "brickyard: the path is empty"},
		{"untag web:1.0 ''", 2, "brickyard: \"\" is not a name:tag"},
		{"untag web:1.0 web:3", 1, "brickyard: no image web:3\nhint: there is web:1.0, web:1.1\n"},
		{"lock ''", 2, "brickyard: the recipe's name is empty\nhint: see: brickyard lock --help\n"},
		{"bake .", 1, "brickyard: . is a directory\nhint: name the recipe in it, as recipe.yaml\n"},
		{"lock x --update ''", 2, "brickyard: no package has an empty name\n"},
		{"lock x --why=", 2, "brickyard: --why is empty\n"},
		{"bake x --keep=", 2, "brickyard: --keep is empty\n"},
		{"bake x --set y", 2, "brickyard: --set: \"y\" is not name=value\nhint: see: brickyard bake --help\n"},
		{"export web:1.0 --to=", 2, "brickyard: --to is empty\n"},
		{"inspect a\x1b[31m", 1, "brickyard: no image a\\x1b[31m\n"},
		{"--home=/dev/null images", 1, "brickyard: home: mkdir /dev/null: not a directory\nhint: --home names another directory\n"},
		{"tag web:1.0 web:1.1", 1, "brickyard: web:1.1 is the name of another image already, "},
		{"tag web:1.0 Web", 2, "brickyard: \"Web\" is not a name:tag: names are"},
		{"untag web:3", 1, "brickyard: no image web:3\nhint: there is web:1.0, web:1.1\n"},
		{"export web:1.0", 2, "brickyard: --to FILE is missing; - is stdout\nhint: see: brickyard export --help\n"},
		{"export web:1.0 --to x --format zip", 2, "brickyard: no format \"zip\": there are oci-archive, docker-archive, rootfs\n"},
		{"export web:1.0 --to x --name :", 2, "brickyard: \":\" is not a name:tag"},
		{"images", 0, ""},
		{"help exit-codes", 0, ""},
		{"inspect --help", 0, ""},
		{"inspect " + web.Image.Hex()[:6], 0, ""},
	} {
		t.Run(tt.args, func(t *testing.T) {
			_, stderr, code := by(t, home, words(tt.args)...)
			if code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			if !strings.Contains(stderr, tt.stderr) || tt.stderr == "" && stderr != "" {
				t.Errorf("stderr %q, want %q in it", stderr, tt.stderr)
			}
		})
	}
}

func TestGlobalFlagsBeforeTheCommand(t *testing.T) {
	for in, want := range map[string]string{
		"":                    "",
		"run -v x":            "run -v x",
		"-v run -v x":         "--verbose run -v x",
		"-qv --json -v":       "--quiet --verbose --json --verbose",
		"--home -v -v images": "--home -v --verbose images",
		"--home=h -v run -q":  "--home=h --verbose run -q",
		"-h -vh -x - -- -v":   "-h -vh -x - -- -v",
		"--home":              "--home",
		"-v":                  "--verbose",
		"__complete -v run":   "__complete -v run",
	} {
		if got := strings.Join(longGlobals(strings.Fields(in)), " "); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestReport(t *testing.T) {
	done, cancel := context.WithCancel(context.Background())
	cancel()
	fail := func(path string, err error) error { return &os.PathError{Op: "write", Path: path, Err: err} }
	const room = "hint: make room where /h is, or name another home with --home; /h/indexes may be deleted, and /h/roots while nothing runs\n"
	for _, tt := range []struct {
		name   string
		ctx    context.Context
		err    error
		code   int
		stderr string
	}{
		{"nothing", t.Context(), nil, 0, ""},
		{"answer", t.Context(), exitCode(10), 10, ""},
		{"wrapped answer", t.Context(), fmt.Errorf("x: %w", exitCode(12)), 12, ""},
		{"error", t.Context(), errors.New("disk full"), 1, "brickyard: disk full\n"},
		{"error with a code", t.Context(), &exitError{13, errors.New("no key")}, 13, "brickyard: no key\n"},
		{"closed pipe", t.Context(), &os.PathError{Op: "write", Path: "|1", Err: syscall.EPIPE}, 1, ""},
		{"disk of the home", t.Context(), fail("/h/tmp/blob-1", syscall.ENOSPC), 1, "brickyard: write /h: no space left on device\n" + room},
		{"quota", t.Context(), fail("/h/blobs/x", syscall.EDQUOT), 1, "brickyard: write /h/blobs/x: disk quota exceeded\n" + room},
		{"disk elsewhere", t.Context(), fail("/out/x.tar", syscall.ENOSPC), 1, "brickyard: write /out/x.tar: no space left on device\nhint: make room where /out/x.tar is\n"},
		{"home that can't be written to", t.Context(), fail("/h/locks/tags", syscall.EROFS), 1, "brickyard: write /h/locks/tags: read-only file system\n" +
			"hint: name another home with --home, or have the file system of this one mounted to be written to\n"},
		{"another user's home", t.Context(), &os.LinkError{Op: "rename", Old: "/h/tmp/x", New: "/h/blobs/x", Err: syscall.EACCES}, 1, "brickyard: write /h/blobs/x: permission denied\n" +
			"hint: this home is another user's, or parts of it are: call as that user, or name a home of your own with --home\n"},
		{"beside the home", t.Context(), fail("/hh/x", syscall.EACCES), 1, "brickyard: write /hh/x: permission denied\n"},
		{"its own hint", t.Context(), &hintedError{fail("/h/x", syscall.ENOSPC), "buy a disk"}, 1, "brickyard: write /h/x: no space left on device\nhint: buy a disk\n"},
		{"interrupted", done, fmt.Errorf("fetch: %w", context.Canceled), 130, "brickyard: interrupted\n"},
		{"failed while interrupted", done, errors.New("dpkg: killed"), 130, "brickyard: interrupted: dpkg: killed\n"},
		{"done in spite of an interrupt", done, nil, 0, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			env, _, stderr := testEnv()
			env.home = "/h"
			if got := env.report(tt.ctx, tt.err); got != tt.code || stderr.String() != tt.stderr {
				t.Errorf("report = %d, %q, want %d, %q", got, stderr, tt.code, tt.stderr)
			}
		})
	}
}

func TestHome(t *testing.T) {
	for _, tt := range []struct {
		uid       int
		xdg, home string
		want      string // "": there is none
	}{
		{0, "/data", "/home/ann", "/var/lib/brickyard"},
		{1000, "/data", "/home/ann", "/data/brickyard"},
		{1000, "/data", "", "/data/brickyard"},
		{1000, "", "/home/ann", "/home/ann/.local/share/brickyard"},
		{1000, "relative", "/home/ann", "/home/ann/.local/share/brickyard"},
		{1000, "", "relative", ""},
		{1000, "./x", "", ""},
	} {
		env, _, stderr := testEnv()
		env.UID = tt.uid
		env.Getenv = func(name string) string {
			return map[string]string{"HOME": tt.home, "XDG_DATA_HOME": tt.xdg}[name]
		}
		if got := env.defaultHome(); got != tt.want {
			t.Errorf("uid %d, XDG_DATA_HOME %q, HOME %q: %s, want %s", tt.uid, tt.xdg, tt.home, got, tt.want)
		}
		if tt.want != "" {
			continue
		}
		t.Chdir(t.TempDir())
		code := Main(t.Context(), env, []string{"images"})
		want := fmt.Sprintf("brickyard: nowhere to keep the catalogue: HOME is %q, not an absolute path\nhint: name a directory with --home, or set HOME or XDG_DATA_HOME\n", tt.home)
		if code != 1 || stderr.String() != want {
			t.Errorf("HOME %q: exit code %d, %q, want %q", tt.home, code, stderr, want)
		}
		if des, err := os.ReadDir("."); err != nil || len(des) > 0 {
			t.Errorf("HOME %q: made %v here", tt.home, des)
		}
	}
}

func TestEmptyHome(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, command := range []string{"images", "inspect x", "tag x y", "untag x", "export x --to f", "run x"} {
		_, stderr, code := by(t, "", strings.Fields(command)...)
		if want := "brickyard: --home is empty\nhint: see: brickyard " + strings.Fields(command)[0] + " --help\n"; code != 2 || stderr != want {
			t.Errorf("%s: exit code %d, %q, want %q", command, code, stderr, want)
		}
	}
	if des, err := os.ReadDir("."); err != nil || len(des) > 0 {
		t.Errorf("made %v here", des)
	}
}

func TestColours(t *testing.T) {
	for _, tt := range []struct {
		tty  bool
		env  map[string]string
		want string
	}{
		{true, nil, "\x1b[31mx\x1b[0m"},
		{false, nil, "x"},
		{true, map[string]string{"NO_COLOR": "1"}, "x"},
		{true, map[string]string{"NO_COLOR": ""}, "\x1b[31mx\x1b[0m"},
		{true, map[string]string{"TERM": "dumb"}, "x"},
	} {
		env := &Env{Getenv: func(name string) string { return tt.env[name] }}
		if got := env.paint(tt.tty, red, "x"); got != tt.want {
			t.Errorf("terminal %v, %v: %q, want %q", tt.tty, tt.env, got, tt.want)
		}
	}
}

// TestJSONFields pins the fields that scripts rely on. They only grow.
func TestJSONFields(t *testing.T) {
	home, _, _, _ := webHome(t)
	for _, tt := range []struct {
		args string
		want string
	}{
		{"version", "go platform version"},
		{"images web", "[].arch [].baked [].by [].digest [].expired [].expires [].layers [].lifecycle [].name [].owner [].packages [].parent [].size [].tags"},
		{"files web:1.0 /srv/www/index.html", "[].digest [].gid [].mode [].path [].size [].time [].type [].uid"},
		{"files web:1.0 /dev/null", "[].gid [].major [].minor [].mode [].path [].size [].time [].type [].uid"},
		{"files web:1.0 /bin", "[].gid [].link [].mode [].path [].size [].time [].type [].uid"},
		{"files web:1.0 /srv/www/start.html", "[].digest [].gid [].hard [].mode [].path [].size [].time [].type [].uid"},
		{"owner web:1.0 /usr/bin/ls", "baked by image kind layer packages.[].arch packages.[].from packages.[].name packages.[].path packages.[].sha256 packages.[].source packages.[].source_version packages.[].version path real"},
		{"owner web:1.0 /srv/www/index.html", "baked by file image kind layer path place.line place.path place.what real text"},
		{"history base:1.0", "[].baked [].by [].digest [].file [].layers [].lock [].name [].packages.[].arch [].packages.[].name [].packages.[].new [].recipe [].tags"},
		{"diff web:1.0 web:1.1", "a.digest a.size b.digest b.size config.[].key config.[].new config.[].old" +
			" files.[].kind files.[].new.digest files.[].new.gid files.[].new.hard files.[].new.mode files.[].new.size files.[].new.time files.[].new.type files.[].new.uid files.[].new.xattrs.security.capability" +
			" files.[].old.digest files.[].old.gid files.[].old.hard files.[].old.mode files.[].old.size files.[].old.time files.[].old.type files.[].old.uid files.[].old.xattrs.security.capability files.[].path files.[].text" +
			" packages.[].arch packages.[].name packages.[].new packages.[].old"},
		{"verify base:1.0", "bytes digest files layers ok problems removed.[].bytes removed.[].files removed.[].kind removed.[].tree signature"},
		{"inspect web:1.0 --size", "bytes directories.[].bytes directories.[].files directories.[].name files packages.[].bytes packages.[].files packages.[].name"},
		{"export web:1.0 --to " + filepath.Join(t.TempDir(), "x.tar"), "archive digest file format size"},
		{"tag web:1.0 web", "at by image ref"},
		{"tag web:1.1 web --move", "at by image previous ref"},
		{"untag web:1.0", "[].at [].by [].image [].ref"},
	} {
		t.Run(tt.args, func(t *testing.T) {
			stdout, stderr, code := by(t, home, append(strings.Fields(tt.args), "--json", "-q")...)
			if code != 0 || stderr != "" {
				t.Fatalf("exit code %d, stderr %q", code, stderr)
			}
			var v any
			if err := json.Unmarshal([]byte(stdout), &v); err != nil {
				t.Fatal(err)
			}
			fields := map[string]bool{}
			collect(fields, "", v)
			if d := cmp.Diff(slices.Sorted(maps.Keys(fields)), strings.Fields(tt.want)); d != "" {
				t.Error(d)
			}
		})
	}
}

func collect(fields map[string]bool, at string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			collect(fields, strings.TrimPrefix(at+"."+k, "."), x)
		}
	case []any:
		for _, x := range v {
			if _, ok := x.(map[string]any); ok {
				collect(fields, strings.TrimPrefix(at+".[]", "."), x)
			} else {
				fields[at] = true
			}
		}
		if len(v) == 0 {
			fields[at] = true
		}
	default:
		fields[at] = true
	}
}

func TestInspectJSONHasRecordManifestAndConfig(t *testing.T) {
	home, _, web, _ := webHome(t)
	stdout, _, code := by(t, home, "inspect", "web:1.0", "--json")
	var got inspectJSON
	if err := json.Unmarshal([]byte(stdout), &got); err != nil || code != 0 {
		t.Fatal(err, code)
	}
	if d := cmp.Diff(got.Record, web); d != "" {
		t.Error(d)
	}
	if got.Digest != web.Image || !strings.Contains(string(got.Manifest), `"layers"`) || !strings.Contains(string(got.Config), `"diff_ids"`) {
		t.Errorf("got %+v", got)
	}
}

func TestVerifyExitsWith13(t *testing.T) {
	home, _, web, _ := webHome(t)
	if stdout, _, code := by(t, home, "verify", "web:1.0"); code != 0 || !strings.Contains(stdout, "signature  none (not checked)") {
		t.Errorf("before: exit code %d, %q", code, stdout)
	}
	blob := filepath.Join(home, "blobs/sha256", web.Layers[3].Digest.Hex())
	if err := os.Truncate(blob, 100); err != nil {
		t.Fatal(err)
	}
	stdout, _, code := by(t, home, "verify", "web:1.0")
	if code != 13 || !strings.Contains(stdout, "NOT as its digests promise: 2 problems") || !strings.Contains(stdout, "layer 3: the blob is") {
		t.Errorf("after: exit code %d, %q", code, stdout)
	}
}

func TestExportRefusesATerminal(t *testing.T) {
	home, _, _, _ := webHome(t)
	env, stdout, stderr := testEnv()
	env.OutTTY = true
	code := Main(t.Context(), env, []string{"--home", home, "export", "web:1.0", "--to", "-"})
	if code != 2 || stdout.Len() > 0 || !strings.Contains(stderr.String(), "nothing for a terminal") {
		t.Errorf("exit code %d, %d bytes, %q", code, stdout.Len(), stderr)
	}
}

func TestExportLeavesTheOldFileWhenItFails(t *testing.T) {
	home, _, web, _ := webHome(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "web.tar")
	if err := os.WriteFile(file, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	blob := filepath.Join(home, "blobs/sha256", web.Layers[4].Digest.Hex())
	if err := os.Truncate(blob, 100); err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"oci-archive", "docker-archive", "rootfs"} {
		_, stderr, code := by(t, home, "export", "web:1.0", "--to", file, "--format", format)
		if code != 1 || !strings.HasPrefix(stderr, "brickyard: export sha256:") {
			t.Errorf("%s: exit code %d, %q", format, code, stderr)
		}
	}
	des, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != "old" || len(des) != 1 {
		t.Errorf("the file has %q (%v), beside it there are %d", got, err, len(des)-1)
	}
}

func TestExportToADevice(t *testing.T) {
	home, _, _, _ := webHome(t)
	if _, stderr, code := by(t, home, "export", "web:1.0", "--to", "/dev/null"); code != 0 {
		t.Errorf("exit code %d, %q", code, stderr)
	}
	if fi, err := os.Stat("/dev/null"); err != nil || fi.Mode().IsRegular() {
		t.Fatalf("/dev/null is %v, %v", fi, err)
	}
}

// What can't be printed makes a command fail, help included.
func TestStdoutFull(t *testing.T) {
	home, _, _, _ := webHome(t)
	for _, line := range []string{
		"--help", "help diff", "help exit-codes", "images", "images --json", "inspect web:1.0", "inspect web:1.0 --size", "files web:1.0", "cat web:1.0 /srv/www/index.html",
		"owner web:1.0 /srv", "history web:1.0", "diff web:1.0 web:1.1", "verify web:1.0", "export web:1.0 --to -", "version", "schema recipe", "completion bash",
		"tag web:1.0 web --json", "untag web", "untag web:1.1 --json",
	} {
		env, _, stderr := testEnv()
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		env.Stdout = full
		code := Main(t.Context(), env, append([]string{"--home", home}, strings.Fields(line)...))
		if want := "brickyard: write /dev/full: no space left on device\nhint: make room where /dev/full is\n"; code != 1 || !strings.HasSuffix(stderr.String(), want) {
			t.Errorf("%s: exit code %d, %q", line, code, stderr)
		}
		full.Close()
	}
}

func TestCompletion(t *testing.T) {
	home, _, _, _ := webHome(t)
	for _, tt := range []struct {
		args []string
		want []string
	}{
		{[]string{"inspect", ""}, []string{"base:1.0", "web:1.0", "web:1.1", ":4"}},
		{[]string{"inspect", "web:1.0", ""}, []string{":4"}},
		{[]string{"diff", "web:1.0", ""}, []string{"base:1.0", "web:1.0", "web:1.1", ":4"}},
		{[]string{"export", "web:1.0", "--format", ""}, []string{"docker-archive", "oci-archive", "rootfs", ":4"}},
		{[]string{"hist"}, []string{"history", ":4"}},
	} {
		stdout, _, _ := by(t, home, append([]string{"__complete"}, append(append([]string{}, "--home", home), tt.args...)...)...)
		var got []string
		for line := range strings.Lines(stdout) {
			name, _, _ := strings.Cut(strings.TrimSpace(line), "\t")
			got = append(got, name)
		}
		slices.Sort(got[:max(0, len(got)-1)])
		if !slices.Equal(got, tt.want) {
			t.Errorf("%q completes to %q, want %q", tt.args, got, tt.want)
		}
	}
}

func TestManPages(t *testing.T) {
	dir := t.TempDir()
	write := func(dir string) {
		if _, stderr, code := by(t, t.TempDir(), "gen-man", dir); code != 0 {
			t.Fatalf("exit code %d, %q", code, stderr)
		}
	}
	write(dir + "/a")
	write(dir + "/b")
	env, _, _ := testEnv()
	all(rootCmd(env), func(c *cobra.Command) {
		if !c.IsAvailableCommand() || c.Name() == "help" {
			return
		}
		name := strings.ReplaceAll(c.CommandPath(), " ", "-") + ".1"
		a, err := os.ReadFile(filepath.Join(dir, "a", name))
		b, _ := os.ReadFile(filepath.Join(dir, "b", name))
		if err != nil || !bytes.Contains(a, []byte(".SH EXAMPLE")) || !bytes.Equal(a, b) {
			t.Errorf("%s: %v, %d and %d bytes", name, err, len(a), len(b))
		}
	})
}

func TestCatalogReindex(t *testing.T) {
	home, _, _, _ := webHome(t)
	before, _, _ := by(t, home, "images", "--json")
	if stdout, stderr, code := by(t, home, "catalog", "reindex"); code != 0 || !strings.HasPrefix(stdout, "3 images in ") {
		t.Errorf("exit code %d, %q, %q", code, stdout, stderr)
	}
	if after, _, code := by(t, home, "images", "--json"); code != 0 || after != before {
		t.Errorf("exit code %d, images\n%s\nwant\n%s", code, after, before)
	}
}
