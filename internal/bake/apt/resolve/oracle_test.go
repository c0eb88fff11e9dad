package resolve

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"brickyard/internal/bake/apt"
)

// hostUniverse is what this machine's apt knows from its last update, read from its lists without the network.
var hostUniverse = sync.OnceValues(func() (*apt.Universe, error) { return aptUniverse(oracle{}) })

// aptUniverse is what an apt knows from its last update.
func aptUniverse(o oracle) (*apt.Universe, error) {
	arch, err := o.command("apt-config", "dump", "--format=%v", "APT::Architecture").Output()
	if err != nil {
		return nil, err
	}
	out, err := o.command("apt-get", "indextargets", "Created-By: Packages", "--format", "$(FILENAME)|$(SUITE)|$(CODENAME)|$(ORIGIN)").Output()
	if err != nil {
		return nil, err
	}
	u := apt.NewUniverse(string(arch))
	for line := range strings.Lines(string(out)) {
		f := strings.Split(strings.TrimSpace(line), "|")
		text, err := exec.Command("/usr/lib/apt/apt-helper", "cat-file", f[0]).Output()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f[0], err)
		}
		rel := &apt.Release{Suite: f[1], Codename: f[2], Origin: f[3], Source: apt.Source{ID: "host/" + f[2], Suite: f[2]}}
		u.Releases = append(u.Releases, rel)
		if err := u.AddIndex(rel, bytes.NewReader(text)); err != nil {
			return nil, err
		}
	}
	if u.Len() == 0 {
		return nil, fmt.Errorf("apt has no lists: apt-get update")
	}
	return u, nil
}

// an oracle asks apt-get what it would install. It has an apt.conf in its directory, or is the machine's apt.
type oracle struct {
	dir         string
	preferences string // a file
}

// command is a program of apt.
func (o oracle) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	if conf := filepath.Join(o.dir, "apt.conf"); o.dir != "" && exists(conf) {
		cmd.Env = append(cmd.Env, "APT_CONFIG="+conf)
	}
	return cmd
}

func newOracle(t testing.TB) oracle {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{"cache/archives/partial", "state"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "status"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	return oracle{dir: dir}
}

// trace is what apt says while it decides.
func (o oracle) trace(r Request, packages []string) string {
	_, out, _ := o.install(r, append([]string{"-o", "Debug::pkgDepCache::Marker=1", "-o", "Debug::pkgDepCache::AutoInstall=1",
		"-o", "Debug::pkgProblemResolver=1", "-o", "Debug::pkgProblemResolver::ShowScores=1"}, packages...))
	return out
}

// install returns "NAME VERSION" of what apt would install, sorted, and what it said. The error is that it refused.
func (o oracle) install(r Request, packages []string) (list []string, said string, err error) {
	args := []string{"-s", "-V", "install", "-o", "APT::Install-Recommends=" + strconv.FormatBool(r.Recommends),
		"-o", "Dir::State::status=" + o.dir + "/status", "-o", "Dir::State::extended_states=" + o.dir + "/state/extended",
		"-o", "Dir::Cache=" + o.dir + "/cache", "-o", "Dir::Cache::pkgcache=pkgcache.bin", "-o", "Dir::Cache::srcpkgcache=srcpkgcache.bin",
		"-o", "Dir::Etc::preferences=" + o.preferences, "-o", "Dir::Etc::preferencesparts=/dev/null", "-o", "APT::AutoRemove::SuggestsImportant=false"}
	cmd := o.command("apt-get", append(args, packages...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, "", err
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		return nil, "", err
	}
	plan, said, told := readPlan(out)
	if told { // the rest is in which order dpkg would be called, which takes apt longer than to decide
		cmd.Process.Kill()
		cmd.Wait()
		return plan, said, nil
	}
	if err = cmd.Wait(); err == nil {
		err = errors.New("apt-get told no plan")
	}
	return nil, said, fmt.Errorf("%w: %s", err, said)
}

// readPlan reads what apt-get says until it has told what is to be installed.
func readPlan(r io.Reader) (list []string, said string, told bool) {
	var all strings.Builder
	inPlan := false
	for lines := bufio.NewScanner(r); lines.Scan(); {
		line := lines.Text()
		all.WriteString(line + "\n")
		name, version, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch {
		case strings.HasSuffix(line, " not upgraded."): // 0 upgraded, 1 newly installed, 0 to remove and 0 not upgraded.
			slices.Sort(list)
			return list, all.String(), true
		case line == "The following NEW packages will be installed:":
			inPlan = true
		case !strings.HasPrefix(line, " "):
			inPlan = false
		case inPlan:
			list = append(list, name+" "+strings.Trim(version, "()"))
		}
	}
	return nil, all.String(), false
}

// preferences is pins as apt_preferences(5) has them.
func preferences(u *apt.Universe, pins []Pin) string {
	var b strings.Builder
	for _, p := range pins {
		what := "version " + p.Version
		switch {
		case p.Origin != "":
			what = "release o=" + p.Origin
		case slices.ContainsFunc(u.Releases, func(r *apt.Release) bool { return r.Codename == p.Release }):
			what = "release n=" + p.Release
		case p.Release != "":
			what = "release a=" + p.Release
		}
		fmt.Fprintf(&b, "Package: %s\nPin: %s\nPin-Priority: %d\n\n", p.Package, what, p.Priority)
	}
	return b.String()
}

// arguments is what apt-get install is told for a request.
func arguments(u *apt.Universe, r Request) []string {
	var args []string
	for _, n := range newSolver(u, r, nil).variant(r.Variant) {
		args = append(args, n.Name)
	}
	for _, a := range r.Ask {
		name := a.Name
		if a.Version != "" {
			name += "=" + a.Version
		}
		args = append(args, name)
	}
	for _, x := range r.Exclude {
		args = append(args, x+"-")
	}
	return args
}

// A verdict says how two answers compare.
type verdict int

const (
	different verdict = iota
	same              // the same packages in the same versions
	refused           // by both
)

// compare asks both and reports where they differ.
func compare(t *testing.T, u *apt.Universe, o oracle, r Request) verdict {
	t.Helper()
	o.preferences = filepath.Join(t.TempDir(), "preferences")
	if err := os.WriteFile(o.preferences, []byte(preferences(u, r.Pins)), 0o644); err != nil {
		t.Fatal(err)
	}
	args := arguments(u, r)
	want, _, aptErr := o.install(r, args)
	result, err := Resolve(u, r)
	if (err != nil) == (aptErr != nil) && err != nil {
		t.Logf("both refuse: %v", err)
		return refused
	}
	var got []string
	if err == nil {
		got = told(t, result)
	}
	if err == nil && aptErr == nil && slices.Equal(got, want) {
		return same
	}
	t.Errorf("%+v\nours: %v\napt: %v\nonly ours: %v\nonly apt's: %v", r, err, aptErr, without(got, want), without(want, got))
	if testing.Verbose() {
		t.Logf("apt says: %s", o.trace(r, args))
	}
	return different
}

// told is "NAME VERSION" of each package, for each of which there must be a reason.
func told(t *testing.T, result *Result) []string {
	t.Helper()
	var list []string
	reasons := result.Reasons()
	for _, c := range result.Packages {
		list = append(list, c.Name+" "+c.Version)
		if len(reasons.Why(c.Name)) == 0 {
			t.Errorf("no reason for %s", c.Name)
		}
	}
	slices.Sort(list)
	return list
}

func without(list, remove []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(remove, s) })
}

func asks(names ...string) []Ask {
	var list []Ask
	for _, n := range names {
		name, version, _ := strings.Cut(n, "=")
		list = append(list, Ask{Name: name, Version: version})
	}
	return list
}

func TestLikeApt(t *testing.T) {
	if testing.Short() {
		t.Skip("apt takes seconds for each set")
	}
	u, err := hostUniverse()
	if err != nil {
		t.Fatal(err)
	}
	o := newOracle(t)
	for _, r := range []Request{
		{Variant: Essential, Ask: asks("nginx-light")},
		{Variant: Minbase, Ask: asks("apache2")},
		{Variant: Essential, Ask: asks("postgresql")},
		{Variant: Essential, Ask: asks("mailutils")}, // default-mta | mail-transport-agent
		{Variant: None, Ask: asks("default-mta")},
		{Variant: Essential, Ask: asks("python3", "nodejs")},
		{Variant: Minbase, Ask: asks("systemd", "openssh-server")},
		{Variant: Essential, Ask: asks("mailutils"), Exclude: []string{"exim4-daemon-light"}},
	} {
		t.Run(fmt.Sprint(r.Variant, r.Ask, r.Recommends), func(t *testing.T) { compare(t, u, o, r) })
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
