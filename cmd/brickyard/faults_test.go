package main

import (
	"bytes"
	"fmt"
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
)

// The tests of this file draw what goes wrong from a seed, BRICKYARD_SEED or a fixed one. They do a little of it here,
// and much with BRICKYARD_SOAK.

// soaking says how often a thing is to be done: few times, or many with BRICKYARD_SOAK.
func soaking(few, many int) int {
	if os.Getenv("BRICKYARD_SOAK") != "" {
		return many
	}
	return few
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

// A mirror that fails at random makes lock and bake fail, or not; what they make in the end is what it always is.
func TestFaultyMirror(t *testing.T) {
	t.Parallel()
	r := seeded(t)
	a := manyPackages(r, 12)
	b := newBakery(t, a.Server(t), plain("p11"))
	b.must(t, "lock", "recipe.yaml")
	want, lock := b.bake(t), b.read(t, "recipe.lock")
	kinds := []apttest.FaultKind{apttest.Status, apttest.Reset, apttest.Truncate, apttest.Short, apttest.WrongBytes, apttest.Slow, apttest.Redirect, apttest.NoRange}
	patterns := []string{"InRelease", "Packages*", "*.deb", "p3_*.deb", "p11_*.deb", "*"}
	failures := 0
	for i := range soaking(3, 100) {
		s := a.Server(t)
		b := newBakery(t, s, plain("p11"))
		for range 1 + r.IntN(6) {
			s.Fail(patterns[r.IntN(len(patterns))], apttest.Fault{
				Kind: kinds[r.IntN(len(kinds))], Times: 1 + r.IntN(8), After: r.IntN(1 << r.IntN(18)), Code: []int{500, 503, 403, 404, 429}[r.IntN(5)], Delay: time.Millisecond,
			})
		}
		for _, args := range [][]string{{"lock", "recipe.yaml"}, {"bake", "recipe.yaml", "-t", "plain:1"}} {
			var o outcome
			for try := 0; ; try++ {
				if o = b.run(t, args...); o.code == 0 {
					break
				}
				failures++
				if o.code != 1 || !strings.HasPrefix(o.stderr, "brickyard: ") && !strings.Contains(o.stderr, "\nbrickyard: ") || o.stdout != "" || try == 60 {
					t.Fatalf("case %d: %v: exit code %d, stdout %q\n%s", i, args, o.code, o.stdout, o.stderr)
				}
				b.tidy(t)
			}
			if args[0] == "bake" && digestOf(t, o.stdout) != want {
				t.Fatalf("case %d: image %s, want %s", i, o.stdout, want)
			}
		}
		if got := b.read(t, "recipe.lock"); got != lock {
			t.Fatalf("case %d: the lock is\n%s\nwant\n%s", i, got, lock)
		}
		b.whole(t)
	}
	if failures == 0 {
		t.Error("nothing ever failed: the faults did not happen")
	}
}

// testFullDisks bakes on disks that are full at random moments. Given room, the next bake gives the same image.
func testFullDisks(t *testing.T, first *bakery, want string) {
	r := seeded(t)
	full := 0
	for i := range soaking(2, 40) {
		b := newBakery(t, nil, map[string]string{"recipe.yaml": first.read(t, "recipe.yaml"), "recipe.lock": first.read(t, "recipe.lock")})
		disk := t.TempDir()
		b.home = filepath.Join(disk, "home")
		mount := func(options string) {
			t.Helper()
			if out, err := exec.Command("mount", "-t", "tmpfs", "-o", options, "brickyard-test", disk).CombinedOutput(); err != nil {
				t.Fatalf("mount: %v: %s", err, out)
			}
		}
		mount("size=100m")
		t.Cleanup(func() { syscall.Unmount(disk, syscall.MNT_DETACH) })
		if out, err := exec.Command("sh", "-c", fmt.Sprintf("mkdir -p %[2]s/blobs/sha256 && cd %[1]s/blobs/sha256 && cp $(grep -oE '[0-9a-f]{64}' %[3]s | sort -u | while read d; do [ ! -f $d ] || echo $d; done) %[2]s/blobs/sha256",
			first.home, b.home, filepath.Join(b.dir, "recipe.lock"))).CombinedOutput(); err != nil {
			t.Fatalf("packages: %v: %s", err, out)
		}
		var st syscall.Statfs_t
		if err := syscall.Statfs(disk, &st); err != nil {
			t.Fatal(err)
		}
		used := int64(st.Blocks-st.Bfree) * st.Bsize >> 10
		room := r.Int64N(250_000)
		mount(fmt.Sprintf("remount,size=%dk", used+room))
		o := b.run(t, "bake", "--offline", "recipe.yaml", "-t", "small:1")
		switch {
		case o.code == 0 && digestOf(t, o.stdout) != want:
			t.Fatalf("disk %d, %d kB: image %s, want %s", i, room, o.stdout, want)
		case o.code == 1 && o.stdout == "" && strings.Contains(strings.ToLower(o.stderr), "no space left on device"): // ours, or a script's words
			full++
		case o.code != 0:
			t.Fatalf("disk %d, %d kB: exit code %d\n%s", i, room, o.code, o.stderr)
		}
		b.tidy(t)
		mount("remount,size=2g")
		b.whole(t)
		if got := b.bake(t, "--offline", "-t", "small:1"); got != want {
			t.Fatalf("disk %d, %d kB, then room: image %s, want %s", i, room, got, want)
		}
		b.whole(t)
		if err := syscall.Unmount(disk, 0); err != nil {
			t.Error(err)
		}
	}
	if full == 0 {
		t.Error("no disk was full")
	}
}

// Many bakes of a few recipes at the same time, in one home, all end, with the images that they have alone.
func TestManyBakes(t *testing.T) {
	const recipes = 10
	r := seeded(t)
	a := manyPackages(r, 20)
	s := a.Server(t)
	home := newBakery(t, s, nil).home
	var all []*bakery
	var want []string
	for i := range recipes {
		b := newBakery(t, s, plain(fmt.Sprintf("p%d", 2*i+1)))
		b.write(t, "recipe.yaml", strings.Replace(b.read(t, "recipe.yaml"), "name: plain", fmt.Sprint("name: r", i), 1))
		b.must(t, "lock", "recipe.yaml")
		want = append(want, b.bake(t))
		b.home = home
		all = append(all, b)
	}
	var group sync.WaitGroup
	for i := range soaking(40, 200) {
		n := i % recipes
		args := []string{"bake", "recipe.yaml", "-t", fmt.Sprintf("r%d:1", n)}
		group.Go(func() {
			if o := all[n].run(t, args...); o.code != 0 || digestOf(t, o.stdout) != want[n] {
				t.Errorf("recipe %d: exit code %d, image %s, want %s\n%s", n, o.code, o.stdout, want[n], o.stderr)
			}
		})
	}
	group.Wait()
	if out := all[0].must(t, "images", "--json"); bytes.Count([]byte(out), []byte(`"digest"`)) != recipes {
		t.Errorf("the catalogue has other than %d images: %s", recipes, out)
	}
	all[0].whole(t)
	all[0].tidy(t)
}
