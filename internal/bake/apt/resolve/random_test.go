package resolve

import (
	"errors"
	"fmt"
	"io/fs"
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

// TestLikeAptRandom compares random sets from this machine's archive: BRICKYARD_SETS=number of them, BRICKYARD_SEED=first seed.
func TestLikeAptRandom(t *testing.T) {
	if testing.Short() {
		t.Skip("apt takes seconds for each set")
	}
	u, err := hostUniverse()
	if err != nil {
		t.Fatal(err)
	}
	compareSets(t, u, newOracle(t), 6)
}

// TestLikeAptElsewhere compares random sets from archives that are not this machine's: those that its apt names, for other releases
// and architectures. BRICKYARD_SOAK=1, since it takes the network; BRICKYARD_SETS and BRICKYARD_SEED as in TestLikeAptRandom.
func TestLikeAptElsewhere(t *testing.T) {
	if os.Getenv("BRICKYARD_SOAK") == "" {
		t.Skip("needs the network: set BRICKYARD_SOAK=1")
	}
	for _, release := range []string{"bookworm", "trixie"} {
		for _, arch := range []string{"amd64", "arm64"} {
			t.Run(release+"-"+arch, func(t *testing.T) {
				o := elsewhere(t, release, arch)
				u, err := aptUniverse(o)
				if err != nil {
					t.Fatal(err)
				}
				compareSets(t, u, o, 3)
			})
		}
	}
}

// elsewhere is an apt for a Debian release and an architecture, with the archives, logins, proxies and keys of this machine's.
// Signatures are checked as ever: Debian's keyring has the keys of the next release.
func elsewhere(t *testing.T, release, arch string) oracle {
	t.Helper()
	host, err := apt.HostSources("/")
	if err != nil {
		t.Fatal(err)
	}
	if host.Distro != "debian" || host.Codename == "" {
		t.Fatal("this machine is no Debian release, whose archives could be asked for another")
	}
	a := apttest.NewApt(t, arch, nil)
	for _, dir := range []string{"etc/apt", "usr/share/keyrings"} {
		copyTo(t, a, dir, func(name, text string) string {
			if strings.Contains(name, "sources.list") {
				return strings.ReplaceAll(text, host.Codename, release)
			}
			return text
		})
	}
	proxies, err := exec.Command("apt-config", "dump", "Acquire::http", "Acquire::https").Output()
	if err != nil {
		t.Fatal(err)
	}
	a.Write(t, "etc/apt/apt.conf.d/proxies", string(proxies))
	if out, err := a.Run("update", "-o", "APT::Update::Error-Mode=any"); err != nil {
		t.Fatalf("apt-get update: %v: %s", err, out)
	}
	o := newOracle(t)
	if err := os.Symlink(filepath.Join(a.Root, "apt.conf"), filepath.Join(o.dir, "apt.conf")); err != nil {
		t.Fatal(err)
	}
	return o
}

// copyTo copies the files below a directory of this machine, edited, but for apt's configuration, which may run what it likes.
func copyTo(t *testing.T, a *apttest.Apt, dir string, edit func(name, text string) string) {
	t.Helper()
	err := fs.WalkDir(os.DirFS("/"), dir, func(name string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || e.IsDir() || strings.Contains(name, "apt.conf") {
			return err
		}
		data, err := os.ReadFile("/" + name)
		if err == nil {
			a.Write(t, name, edit(name, string(data)))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// compareSets compares random sets from what an apt knows: count of them, or $BRICKYARD_SETS. It logs one line of how
// many came to what, which soak reads.
func compareSets(t *testing.T, u *apt.Universe, o oracle, count int) {
	if n, err := strconv.Atoi(os.Getenv("BRICKYARD_SETS")); err == nil {
		count = n
	}
	seed, _ := strconv.ParseUint(os.Getenv("BRICKYARD_SEED"), 10, 64)
	if _, said, err := o.install(Request{}, nil); err != nil { // it makes its cache, once for all
		t.Fatal(err, said)
	}
	d := newDrawer(u)
	var mu sync.Mutex // guards the counts
	found := map[verdict]int{}
	recommends, pins := 0, 0
	t.Run("sets", func(t *testing.T) {
		for i := range uint64(count) {
			r := d.draw(rand.New(rand.NewPCG(seed+i, uint64(len(d.names)))))
			t.Run(fmt.Sprintf("seed %d", seed+i), func(t *testing.T) {
				t.Parallel()
				v := compare(t, u, o, r)
				mu.Lock()
				defer mu.Unlock()
				found[v]++
				if r.Recommends {
					recommends++
				}
				if len(r.Pins) > 0 {
					pins++
				}
			})
		}
	})
	t.Logf("sets=%d same=%d refused=%d different=%d recommends=%d pins=%d", count, found[same], found[refused], found[different], recommends, pins)
}

// A drawer draws requests from an archive.
type drawer struct {
	u       *apt.Universe
	names   []string // that have versions, sorted
	several []string // that have more than one
}

func newDrawer(u *apt.Universe) drawer {
	d := drawer{u: u}
	for n := range u.Names() {
		if len(n.Versions) > 0 {
			d.names = append(d.names, n.Name)
		}
		if len(n.Versions) > 1 {
			d.several = append(d.several, n.Name)
		}
	}
	slices.Sort(d.names)
	slices.Sort(d.several)
	return d
}

// draw draws a request: mostly of 1 to 12 names, some of which don't go together.
func (d drawer) draw(rng *rand.Rand) Request {
	r := Request{Variant: []Variant{None, Essential, Minbase}[rng.IntN(3)], Recommends: rng.IntN(3) == 0}
	count := 1 + rng.IntN(12)
	if rng.IntN(10) == 0 {
		count = 30
	}
	for range count {
		if name := one(rng, d.names); !asked(r, name) {
			r.Ask = append(r.Ask, Ask{Name: name})
		}
	}
	if rng.IntN(6) == 0 && len(d.several) > 0 {
		if name := one(rng, d.several); !asked(r, name) {
			r.Ask = append(r.Ask, Ask{Name: name, Version: one(rng, d.u.Name(name).Versions).Version})
		}
	}
	if rng.IntN(4) == 0 {
		for range 1 + rng.IntN(3) {
			r.Pins = append(r.Pins, d.pin(rng, r))
		}
	}
	if rng.IntN(6) == 0 {
		if name := d.related(rng, r); !asked(r, name) && !d.u.Name(name).Essential {
			r.Exclude = []string{name}
		}
	}
	return r
}

// pin draws a pin of a package by version, or of packages by where they come from.
func (d drawer) pin(rng *rand.Rand, r Request) Pin {
	p := Pin{Package: one(rng, []string{"*", "*", "*", "lib*"}), Priority: one(rng, []int{-1, 100, 400, 501, 990, 1001})}
	if rng.IntN(2) == 0 {
		p.Package = d.related(rng, r)
		if rng.IntN(2) == 0 && len(d.several) > 0 {
			p.Package = one(rng, d.several)
		}
		if rng.IntN(3) > 0 {
			p.Version = one(rng, d.u.Name(p.Package).Versions).Version
			if rng.IntN(2) == 0 {
				p.Version = p.Version[:1] + "*"
			}
			return p
		}
	}
	from := one(rng, d.u.Releases)
	switch rng.IntN(8) {
	case 0:
		p.Origin = from.Origin
	case 1, 2:
		p.Release = from.Suite
	default:
		p.Release = from.Codename
	}
	return p
}

// related draws a package that one of those asked for depends on, or any.
func (d drawer) related(rng *rand.Rand, r Request) string {
	var names []string
	for _, a := range r.Ask {
		clauses, err := d.u.Name(a.Name).Versions[0].Relations(apt.Depends)
		if err != nil {
			continue
		}
		for _, c := range clauses {
			if n := d.u.Name(c[0].Name); n != nil && len(n.Versions) > 0 {
				names = append(names, n.Name)
			}
		}
	}
	if len(names) == 0 || rng.IntN(4) == 0 {
		names = d.names
	}
	return one(rng, names)
}

func asked(r Request, name string) bool {
	return slices.ContainsFunc(r.Ask, func(a Ask) bool { return a.Name == name })
}

// one draws one of a list.
func one[T any](rng *rand.Rand, list []T) T { return list[rng.IntN(len(list))] }
