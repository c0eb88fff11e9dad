package apttest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// An Apt is the real apt-get on a root directory of its own, with nothing installed. Nothing of the machine's
// is read or touched.
type Apt struct {
	Root string
	Env  []string // more of the environment: no proxy is taken from the test's own
}

// keyrings is where sources have their keys. apt takes the path as it is, below no root.
const keyrings = "/usr/share/keyrings/"

// NewApt makes a root with these files: path → content. In sources, what is in /usr/share/keyrings is that of
// the root.
func NewApt(tb testing.TB, arch string, files map[string]string) *Apt {
	tb.Helper()
	root, err := os.MkdirTemp("", "apt") // not tb's, which may have a comma: apt takes that for the end of a path
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { os.RemoveAll(root) })
	a := &Apt{Root: root}
	for _, dir := range []string{"etc/apt/apt.conf.d", "etc/apt/auth.conf.d", "etc/apt/preferences.d", "etc/apt/sources.list.d", "etc/apt/trusted.gpg.d",
		"var/lib/apt/lists/partial", "var/cache/apt/archives/partial", "var/log/apt", "var/lib/dpkg"} {
		if err := os.MkdirAll(filepath.Join(a.Root, dir), 0o755); err != nil {
			tb.Fatal(err)
		}
	}
	a.Write(tb, "var/lib/dpkg/status", "")
	a.Write(tb, "apt.conf", fmt.Sprintf(`Dir "%s";
APT::Architecture "%s";
APT::Architectures { "%[2]s"; };
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "0";
`, a.Root, arch))
	for name, text := range files {
		a.Write(tb, name, text)
	}
	return a
}

// Write puts a file into the root.
func (a *Apt) Write(tb testing.TB, name, text string) {
	tb.Helper()
	if strings.HasPrefix(name, "etc/apt/sources.list") {
		text = strings.ReplaceAll(text, keyrings, a.Root+keyrings)
	}
	path := filepath.Join(a.Root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		tb.Fatal(err)
	}
}

// Run runs apt-get and returns what it prints.
func (a *Apt) Run(args ...string) (string, error) { return a.Command("apt-get", args...) }

// Command runs a program of apt as Run does.
func (a *Apt) Command(name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); !strings.HasSuffix(strings.ToLower(name), "_proxy") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(append(cmd.Env, "APT_CONFIG="+filepath.Join(a.Root, "apt.conf"), "LC_ALL=C"), a.Env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}
