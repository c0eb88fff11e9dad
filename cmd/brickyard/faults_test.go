package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"brickyard/internal/bake/apt/apttest"

	"golang.org/x/sync/errgroup"
)

// The tests of this file, and testCrash, draw what goes wrong from a seed, BRICKYARD_SEED or a fixed one. They do a little of it
// here, and BRICKYARD_FAULTS times in soak, which reads the tally that each of them logs.

// rounds says how often a thing is to be done: few times, or BRICKYARD_FAULTS times.
func rounds(t *testing.T, few int) int {
	t.Helper()
	s := os.Getenv("BRICKYARD_FAULTS")
	if s == "" {
		return few
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		t.Fatalf("BRICKYARD_FAULTS: %q is no number of times", s)
	}
	return n
}

// A tally is what a test has done, when all was as it should be.
type tally struct {
	Test   string         `json:"test"`
	Times  int            `json:"times"`  // that something went wrong: bakes killed at work, full disks, faulty mirrors, bakes at once
	Stages map[string]int `json:"stages"` // where, and how often
	Failed int            `json:"failed"` // commands that failed by it, and said why
	Again  int            `json:"again"`  // requests beyond those that a mirror without faults gets
	After  int            `json:"after"`  // bakes afterwards that gave the image
	Aside  int            `json:"aside"`  // files left in tmp, where half-written ones belong
}

// log tells soak.
func (c tally) log(t *testing.T) {
	t.Helper()
	data, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("tally %s", data)
}

// seeded is the random numbers of a test. The seed is told when the test fails.
func seeded(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(7)
	if s := os.Getenv("BRICKYARD_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("BRICKYARD_SEED: %v", err)
		}
		seed = n
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("BRICKYARD_SEED=%d", seed)
		}
	})
	return rand.New(rand.NewPCG(seed, 1))
}

// whole checks that nothing on disk is damaged. Litter of processes that were killed may be there.
func (b *bakery) whole(t *testing.T) {
	t.Helper()
	if o := b.run(t, "catalog", "verify"); o.code != 0 {
		t.Fatalf("catalog verify: exit code %d\n%s%s", o.code, o.stdout, o.stderr)
	}
}

// halfWritten checks by itself that nothing that counts is half-written: each blob has the digest that it is called by, each
// note is whole JSON, and there is no other file beside them. It returns how many files tmp has, where half-written ones
// belong.
func (b *bakery) halfWritten(t *testing.T) int {
	t.Helper()
	aside := 0
	err := filepath.WalkDir(b.home, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(b.home, p)
		if err != nil {
			return err
		}
		top, _, _ := strings.Cut(rel, "/")
		switch top {
		case "tmp":
			aside++
		case "blobs":
			if sum, err := sha256File(p); err != nil || sum != d.Name() {
				t.Errorf("%s has the sha256 %s (%v)", rel, sum, err)
			}
		case "notes":
			if data, err := os.ReadFile(p); err != nil || !json.Valid(data) {
				t.Errorf("%s: %q is no JSON (%v)", rel, data, err)
			}
		case "files", "roots", "indexes", "locks": // catalog verify looks at the first two; the others are read by digest, or never
		default:
			t.Errorf("there is %s", rel)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return aside
}

func sha256File(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), err
}

// A treasure is an image that a home has before anything goes wrong, and must have afterwards.
type treasure struct {
	b     *bakery
	files map[string]bool // notes and blobs of the home with it, below the home
}

const treasureRecipe = "name: treasure\nfrom: scratch\nfiles: [{path: /gold, content: heavy}]\nowner: test\nexpires: 90d\n"

// treasure bakes one, in a home with nothing else.
func (b *bakery) treasure(t *testing.T) *treasure {
	t.Helper()
	b.write(t, "treasure.yaml", treasureRecipe)
	b.must(t, "lock", "treasure.yaml")
	b.must(t, "bake", "treasure.yaml", "-t", "treasure:1")
	tr := &treasure{b, map[string]bool{}}
	tr.walk(t, []string{"notes", "blobs"}, func(rel string) { tr.files[rel] = true })
	return tr
}

func (tr *treasure) walk(t *testing.T, dirs []string, f func(rel string)) {
	t.Helper()
	for _, dir := range dirs {
		err := filepath.WalkDir(filepath.Join(tr.b.home, dir), func(p string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			rel, err := filepath.Rel(tr.b.home, p)
			if err == nil {
				f(rel)
			}
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
}

// forget takes away what the home has in these directories, but not notes and blobs of the treasure.
func (tr *treasure) forget(t *testing.T, dirs ...string) {
	t.Helper()
	for _, dir := range dirs {
		if dir == "files" || dir == "roots" {
			if err := os.RemoveAll(filepath.Join(tr.b.home, dir)); err != nil {
				t.Fatal(err)
			}
			continue
		}
		tr.walk(t, []string{dir}, func(rel string) {
			if !tr.files[rel] {
				if err := os.Remove(filepath.Join(tr.b.home, rel)); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// there checks that the treasure is.
func (tr *treasure) there(t *testing.T) {
	t.Helper()
	tr.b.must(t, "verify", "treasure:1")
	if got := tr.b.must(t, "cat", "treasure:1", "/gold"); got != "heavy" {
		t.Errorf("the treasure is %q", got)
	}
}

// blob is a file's worth of bytes that don't compress.
func blob(r *rand.Rand, size int) string {
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	return string(data)
}

// manyPackages is an archive of packages p0 to p(n-1), each needing the one before.
func manyPackages(r *rand.Rand, n int) *apttest.Archive {
	a := apttest.New()
	for i := range n {
		p := apttest.Package{Name: fmt.Sprint("p", i), Files: []apttest.File{{Path: fmt.Sprintf("usr/share/p%d/data", i), Content: blob(r, 1<<r.IntN(18))}}}
		if i > 0 {
			p.Depends = fmt.Sprint("p", i-1)
		}
		a.Add("bookworm", "main", p)
	}
	return a
}

// mirrorFaults are the ways in which a mirror fails in TestFaultyMirror. One that hangs does so once: that takes half a minute.
var mirrorFaults = []struct {
	name string
	kind apttest.FaultKind
}{
	{"an error status", apttest.Status}, {"reset", apttest.Reset}, {"stall", apttest.Hang}, {"wrong bytes", apttest.WrongBytes},
	{"cut off", apttest.Truncate}, {"too short", apttest.Short}, {"slow", apttest.Slow}, {"a loop of redirects", apttest.Redirect}, {"no ranges", apttest.NoRange},
}

// mirrorPatterns are what of a mirror fails.
var mirrorPatterns = []string{"InRelease", "dists/*/*/*/by-hash/*/*", "*.deb", "p3_*.deb", "p11_*.deb", "*"}

// fail makes a mirror fail at random in one way.
func fail(r *rand.Rand, s *apttest.Server, kind apttest.FaultKind) {
	f := apttest.Fault{Kind: kind, Times: 1 + r.IntN(8), After: r.IntN(1 << r.IntN(18)), Code: []int{500, 503, 403, 404, 429}[r.IntN(5)], Delay: time.Millisecond}
	if kind == apttest.Hang {
		f.Times = 1
	}
	s.Fail(mirrorPatterns[r.IntN(len(mirrorPatterns))], f)
}

// A mirror that fails at random makes lock and bake fail, or not; what they make in the end is what it always is.
func TestFaultyMirror(t *testing.T) {
	t.Parallel()
	r := seeded(t)
	a := manyPackages(r, 12)
	s := a.Server(t)
	b := newBakery(t, s, plain("p11"))
	b.must(t, "lock", "recipe.yaml")
	want, lock := b.bake(t), b.read(t, "recipe.lock")
	requests := len(s.Log())
	for _, p := range mirrorPatterns {
		if s.Requests(p) == 0 {
			t.Errorf("nothing like %s is asked for: it can't fail", p)
		}
	}
	c := tally{Test: "mirror", Stages: map[string]int{}}
	var mu sync.Mutex // guards c
	const several = "several of these"
	var group errgroup.Group
	group.SetLimit(6) // stalls take time, and nothing else
	for i := range rounds(t, 3) {
		r := rand.New(rand.NewPCG(r.Uint64(), 1))
		group.Go(func() error {
			s := a.Server(t)
			name := several
			if k := r.IntN(len(mirrorFaults) + 1); k < len(mirrorFaults) {
				name = mirrorFaults[k].name
				fail(r, s, mirrorFaults[k].kind)
			} else {
				for range 2 + r.IntN(5) {
					fail(r, s, mirrorFaults[r.IntN(len(mirrorFaults))].kind)
				}
			}
			failed := untilItWorks(t, fmt.Sprintf("mirror %d, %s", i, name), newBakery(t, s, plain("p11")), want, lock)
			mu.Lock()
			defer mu.Unlock()
			c.Times++
			c.Stages[name]++
			c.Failed += failed
			c.Again += max(0, len(s.Log())-requests)
			c.After++
			return nil
		})
	}
	group.Wait()
	if c.Failed+c.Again == 0 {
		t.Error("nothing was ever asked for again: the faults did not happen")
	}
	c.log(t)
}

// untilItWorks locks and bakes until both succeed, which must give the image and the lock, and returns how often they failed.
func untilItWorks(t *testing.T, name string, b *bakery, want, lock string) (failed int) {
	treasure := b.treasure(t)
	for _, args := range [][]string{{"lock", "recipe.yaml"}, {"bake", "recipe.yaml", "-t", "plain:1"}} {
		for {
			o := b.run(t, args...)
			if o.code == 0 {
				if args[0] == "bake" && digestOf(t, o.stdout) != want {
					t.Errorf("%s: image %s, want %s", name, o.stdout, want)
				}
				break
			}
			failed++
			if o.code != 1 || !strings.HasPrefix(o.stderr, "brickyard: ") && !strings.Contains(o.stderr, "\nbrickyard: ") || o.stdout != "" || failed == 60 {
				t.Errorf("%s: %v: exit code %d, stdout %q\n%s", name, args, o.code, o.stdout, o.stderr)
				return failed
			}
			b.tidy(t)
			b.halfWritten(t)
		}
	}
	if got := b.read(t, "recipe.lock"); got != lock {
		t.Errorf("%s: the lock is\n%s\nwant\n%s", name, got, lock)
	}
	b.halfWritten(t)
	b.whole(t)
	treasure.there(t)
	return failed
}

// A disk is a file system in memory of which the size can be changed.
type disk struct{ dir string }

func newDisk(t *testing.T) *disk {
	t.Helper()
	d := &disk{t.TempDir()}
	d.mount(t, "size=2g,nr_inodes=1000000")
	t.Cleanup(func() { syscall.Unmount(d.dir, syscall.MNT_DETACH) })
	return d
}

func (d *disk) mount(t *testing.T, options string) {
	t.Helper()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", options, "brickyard-test", d.dir).CombinedOutput(); err != nil {
		t.Fatalf("mount: %v: %s", err, out)
	}
}

// used is how many kB and inodes are.
func (d *disk) used() (kB, inodes int64) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(d.dir, &st); err != nil {
		panic(err) // it is mounted
	}
	return int64(st.Blocks-st.Bfree) * st.Bsize >> 10, int64(st.Files - st.Ffree)
}

// A span is from how much to how much a disk was used, in kB or inodes.
type span struct{ from, to int64 }

func (s *span) take(n int64) {
	if s.to == 0 {
		s.from = n
	}
	s.from, s.to = min(s.from, n), max(s.to, n)
}

// testFullDisks bakes on disks that are full at random moments, each stage's turn, or have no room for one more file. Given
// room, the next bake gives the same image.
func testFullDisks(t *testing.T, first *bakery, want string) {
	r := seeded(t)
	c := tally{Test: "disk", Stages: map[string]int{}}
	var stages []string
	kBs, inodes := map[string]*span{}, map[string]*span{}
	var whole []string // how stages end on a disk with room
	wanted := rounds(t, 2)
	for try := 0; c.Times < wanted && try < 5*wanted; try++ {
		b := newBakery(t, nil, map[string]string{"recipe.yaml": first.read(t, "recipe.yaml"), "recipe.lock": first.read(t, "recipe.lock")})
		d := newDisk(t)
		b.home, b.internet = filepath.Join(d.dir, "home"), true
		treasure := b.treasure(t)
		args := []string{"-v", "bake", "recipe.yaml", "-t", "small:1"}
		if try == 0 {
			w := b.watch(t, args...)
			w.tick = func(stage string) {
				if kBs[stage] == nil {
					kBs[stage], inodes[stage] = &span{}, &span{}
					stages = append(stages, stage)
				}
				kB, n := d.used()
				kBs[stage].take(kB)
				inodes[stage].take(n)
			}
			w.until(func(string) bool { return false })
			if w.err != nil {
				t.Fatalf("%v\n%s", w.err, w.stderr())
			}
			whole = w.done
		} else {
			stage := stages[r.IntN(len(stages))]
			s, option, unit := kBs[stage], "size=%dk", "kB"
			if r.IntN(4) == 0 {
				s, option, unit = inodes[stage], "nr_inodes=%d", "inodes"
			}
			room := s.from + r.Int64N(s.to-s.from+1)
			d.mount(t, "remount,"+fmt.Sprintf(option, room))
			w := b.watch(t, args...)
			w.until(func(string) bool { return false })
			said := w.stderr()
			switch {
			case w.err == nil: // it had room enough
				d.mount(t, "remount,size=2g,nr_inodes=1000000")
			case w.cmd.ProcessState.ExitCode() == 1 && strings.Contains(strings.ToLower(said), "no space left on device"): // ours, or a script's words
				c.Times++
				c.Failed++
				c.Stages[w.brokenOff(whole)]++
			default:
				t.Fatalf("disk of %d %s: %v\n%s", room, unit, w.err, said)
			}
			b.tidy(t)
			d.mount(t, "remount,size=2g,nr_inodes=1000000")
			c.Aside += b.halfWritten(t)
			b.whole(t)
			treasure.there(t)
			if got := b.bake(t, "-t", "small:1"); got != want {
				t.Fatalf("disk of %d %s, then room: image %s, want %s", room, unit, got, want)
			}
			c.After++
			b.halfWritten(t)
			b.whole(t)
			treasure.there(t)
		}
		if err := syscall.Unmount(d.dir, 0); err != nil {
			t.Error(err)
		}
	}
	if c.Times < wanted {
		t.Errorf("only %d of %d disks were full", c.Times, wanted)
	}
	c.log(t)
}

// Many bakes of a few recipes at the same time, in one home, all end, with the images that they have alone. Half of the
// recipes have another one as their base.
func TestManyBakes(t *testing.T) {
	const recipes = 10
	r := seeded(t)
	a := manyPackages(r, 20)
	s := a.Server(t)
	shared := newBakery(t, s, nil)
	treasure := shared.treasure(t)
	var all []*bakery
	var want []string
	for i := range recipes {
		b := newBakery(t, s, plain(fmt.Sprintf("p%d", 2*i+1)))
		text := b.read(t, "recipe.yaml")
		if i >= recipes/2 {
			base, err := filepath.Rel(b.dir, filepath.Join(all[i-recipes/2].dir, "recipe.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			text = strings.Replace(text, `{debian: bookworm, mirror: "http://archive.example", keys: [archive.gpg], variant: none}`, "{base: "+base+"}", 1)
		}
		b.write(t, "recipe.yaml", strings.Replace(text, "name: plain", fmt.Sprint("name: r", i), 1))
		b.must(t, "lock", "recipe.yaml")
		want = append(want, b.bake(t))
		b.home = shared.home
		all = append(all, b)
	}
	c := tally{Test: "parallel", Stages: map[string]int{}}
	shared.bakeAtOnce(t, &c, rounds(t, 40), all, want, func(n int) string {
		if n < recipes/2 {
			return "of a recipe with packages"
		}
		return "of one with another as its base"
	})
	treasure.there(t)
	c.log(t)
}

// testManyDebian is TestManyBakes with scripts and steps: two sets of packages, and files of each recipe's own.
func testManyDebian(t *testing.T, first *bakery) {
	times := rounds(t, 4)
	recipes := min(10, times)
	shared := newBakery(t, nil, nil)
	treasure := shared.treasure(t)
	if out, err := exec.Command("cp", "-an", filepath.Join(first.home, "blobs"), shared.home).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var all []*bakery
	var want []string
	for i := range recipes {
		text := variant(t, "name: small", fmt.Sprint("name: many", i))
		text = strings.Replace(text, `"small\n"`, fmt.Sprintf(`"many %d\n"`, i), 1)
		if i%2 == 1 {
			text = strings.Replace(text, ", iputils-ping", "", 1)
		}
		b := copyHome(t, first, map[string]string{"recipe.yaml": text, "recipe.lock": first.read(t, "recipe.lock")})
		b.must(t, "lock", "recipe.yaml")
		want = append(want, b.bake(t))
		b.home, b.internet = shared.home, false
		all = append(all, b)
	}
	c := tally{Test: "scripts", Stages: map[string]int{}}
	shared.bakeAtOnce(t, &c, times, all, want, func(n int) string {
		if n%2 == 0 {
			return "of one set of packages"
		}
		return "of another"
	})
	treasure.there(t)
	c.log(t)
}

// bakeAtOnce starts many bakes at once in b's home, of all recipes in turn. All must end, with the images wanted.
func (b *bakery) bakeAtOnce(t *testing.T, c *tally, times int, all []*bakery, want []string, kind func(n int) string) {
	t.Helper()
	var mu sync.Mutex // guards c
	var group sync.WaitGroup
	for i := range times {
		n := i % len(all)
		cmd := all[n].command(t.Context(), "bake", "recipe.yaml", "-t", fmt.Sprintf("r%d:1", n)) // go test's own time limit is that for a deadlock
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		group.Go(func() {
			out, err := cmd.Output()
			if got := strings.TrimSpace(string(out)); err != nil || got != want[n] {
				t.Errorf("recipe %d: %v, image %s, want %s\n%s", n, err, got, want[n], &stderr)
			}
			mu.Lock()
			defer mu.Unlock()
			c.Times++
			c.Stages[kind(n)]++
		})
	}
	group.Wait()
	if out := b.must(t, "images", "--json"); strings.Count(out, `"digest"`) != len(all)+1 { // and the treasure
		t.Errorf("the catalogue has other than %d images: %s", len(all)+1, out)
	}
	b.halfWritten(t)
	b.whole(t)
	b.tidy(t)
	for n, one := range all {
		if got := one.bake(t, "-t", fmt.Sprintf("r%d:1", n)); got != want[n] {
			t.Errorf("recipe %d afterwards: image %s, want %s", n, got, want[n])
		}
		c.After++
	}
}
