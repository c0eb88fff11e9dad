package resolve

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"brickyard/internal/bake/apt"
	"brickyard/internal/bake/apt/apttest"
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
type oracle struct{ dir string }

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
	for _, name := range []string{"status", "preferences"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return oracle{dir}
}

// trace is what apt says while it decides.
func (o oracle) trace(recommends bool, packages ...string) string {
	debug := []string{"-o", "Debug::pkgDepCache::Marker=1", "-o", "Debug::pkgDepCache::AutoInstall=1", "-o", "Debug::pkgProblemResolver=1",
		"-o", "Debug::pkgProblemResolver::ShowScores=1"}
	_, out, _ := o.run(recommends, append(debug, packages...)...)
	return out
}

func (o oracle) install(recommends bool, packages ...string) ([]string, error) {
	list, _, err := o.run(recommends, packages...)
	return list, err
}

func (o oracle) run(recommends bool, packages ...string) ([]string, string, error) {
	args := []string{"-s", "install", "-o", "APT::Install-Recommends=" + strconv.FormatBool(recommends),
		"-o", "Dir::State::status=" + o.dir + "/status", "-o", "Dir::State::extended_states=" + o.dir + "/state/extended",
		"-o", "Dir::Cache=" + o.dir + "/cache", "-o", "Dir::Cache::pkgcache=pkgcache.bin", "-o", "Dir::Cache::srcpkgcache=srcpkgcache.bin",
		"-o", "Dir::Etc::preferences=" + o.dir + "/preferences",
		"-o", "Dir::Etc::preferencesparts=/dev/null", "-o", "APT::AutoRemove::SuggestsImportant=false"}
	out, err := o.command("apt-get", append(args, packages...)...).CombinedOutput()
	if _, plan, ok := strings.Cut(string(out), "NEW packages will be installed:\n"); err != nil && ok {
		return newPackages(plan), string(out), nil // it knows what, but not in which order: there are loops
	}
	if err != nil {
		return nil, string(out), fmt.Errorf("%w: %s", err, out)
	}
	var list []string
	for line := range strings.Lines(string(out)) { // Inst NAME (VERSION …
		f := strings.Fields(line)
		if len(f) > 2 && f[0] == "Inst" {
			list = append(list, f[1]+" "+strings.Trim(f[2], "("))
		}
	}
	slices.Sort(list)
	return list, string(out), nil
}

// newPackages reads indented names.
func newPackages(plan string) []string {
	var list []string
	for line := range strings.Lines(plan) {
		if !strings.HasPrefix(line, " ") {
			break
		}
		list = append(list, strings.Fields(line)...)
	}
	slices.Sort(list)
	return list
}

// compare asks both and reports where they differ. It says whether there is an answer.
func compare(t *testing.T, u *apt.Universe, o oracle, r Request) bool {
	t.Helper()
	s := newSolver(u, r, nil)
	var args []string
	for _, n := range s.variant(r.Variant) {
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
	want, aptErr := o.install(r.Recommends, args...)
	result, err := Resolve(u, r)
	if (err != nil) != (aptErr != nil) {
		t.Errorf("%+v:\nours: %v\napt: %v", r, err, aptErr)
		if testing.Verbose() {
			t.Logf("apt says: %s", o.trace(r.Recommends, args...))
		}
		return false
	}
	if err != nil {
		t.Logf("both refuse: %v", err)
		return false
	}
	var got []string
	reasons := result.Reasons()
	for _, c := range result.Packages {
		got = append(got, c.Name+" "+c.Version)
		if len(reasons.Why(c.Name)) == 0 {
			t.Errorf("no reason for %s", c.Name)
		}
	}
	if len(want) > 0 && !strings.Contains(want[0], " ") { // apt told names only
		got = nil
		for _, c := range result.Packages {
			got = append(got, c.Name)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("%v %v recommends %v:\nonly ours: %v\nonly apt's: %v", r.Variant, args[max(0, len(args)-len(r.Ask)):], r.Recommends,
			without(got, want), without(want, got))
		if testing.Verbose() {
			t.Logf("apt says: %s", o.trace(r.Recommends, args...))
		}
	}
	return true
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
		t.Skip("no apt to compare with: ", err)
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

// TestLikeAptElsewhere is about another architecture than the machine's, from the archives that its apt names:
// BRICKYARD_SOAK=1, since it takes the network.
func TestLikeAptElsewhere(t *testing.T) {
	if os.Getenv("BRICKYARD_SOAK") == "" {
		t.Skip("needs the network: set BRICKYARD_SOAK=1")
	}
	a := apttest.NewApt(t, "arm64", nil)
	for _, name := range []string{"etc/apt/sources.list", "etc/apt/sources.list.d", "etc/apt/trusted.gpg.d", "usr/share/keyrings"} {
		if exists("/" + name) {
			dest := filepath.Join(a.Root, filepath.Dir(name))
			if err := os.MkdirAll(dest, 0o755); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command("cp", "-a", "/"+name, dest).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}
	}
	if out, err := a.Run("update"); err != nil {
		t.Fatalf("apt-get update: %v: %s", err, out)
	}
	o := newOracle(t)
	if err := os.Symlink(filepath.Join(a.Root, "apt.conf"), filepath.Join(o.dir, "apt.conf")); err != nil {
		t.Fatal(err)
	}
	u, err := aptUniverse(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []Request{
		{Variant: Minbase, Ask: asks("nginx-light")},
		{Variant: Essential, Ask: asks("postgresql", "python3"), Recommends: true},
		{Variant: None, Ask: asks("systemd", "linux-image-arm64", "u-boot-tools")},
	} {
		t.Run(fmt.Sprint(r.Variant, r.Ask, r.Recommends), func(t *testing.T) { compare(t, u, o, r) })
	}
}

// TestLikeAptRandom compares random sets: BRICKYARD_SOAK=number of them, BRICKYARD_SEED=first seed.
func TestLikeAptRandom(t *testing.T) {
	if os.Getenv("BRICKYARD_SOAK") == "" {
		t.Skip("takes minutes: set BRICKYARD_SOAK=1")
	}
	count, _ := strconv.Atoi(os.Getenv("BRICKYARD_SOAK"))
	seed, _ := strconv.ParseUint(os.Getenv("BRICKYARD_SEED"), 10, 64)
	u, err := hostUniverse()
	if err != nil {
		t.Fatal(err)
	}
	o := newOracle(t)
	var names []string
	for n := range u.Names() {
		if len(n.Versions) > 0 {
			names = append(names, n.Name)
		}
	}
	slices.Sort(names)
	answers := 0
	for i := range uint64(max(count, 60)) {
		rng := rand.New(rand.NewPCG(seed+i, 1))
		picked := make(map[string]bool)
		for range []int{1 + rng.IntN(6), 30}[rng.IntN(5)/4] { // so many don't go together, mostly
			picked[names[rng.IntN(len(names))]] = true
		}
		list := slices.Sorted(maps.Keys(picked))
		rng.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		r := Request{Variant: []Variant{None, Essential, Minbase}[rng.IntN(3)], Ask: asks(list...), Recommends: rng.IntN(4) == 0}
		if rng.IntN(8) == 0 {
			r.Exclude = []string{names[rng.IntN(len(names))]}
		}
		t.Run(fmt.Sprintf("seed %d", seed+i), func(t *testing.T) {
			if compare(t, u, o, r) {
				answers++
			}
		})
	}
	t.Logf("%d sets have an answer", answers)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
