package main

import (
	"strings"
	"sync"
	"testing"
	"time"

	"brickyard/internal/bake/apt/apttest"
)

// A moment is when a bake is killed: in a stage, at a random time from its beginning; in the stage "" at a random time
// of the whole bake. What it forgets before, it has to do again.
type moment struct {
	stage  string
	forget []string // below the home
}

// moments is what testCrash draws from. Each stage of a bake is there, so that short ones are not missed.
var moments = func() []moment {
	image := []string{"notes/bake", "notes/image"}
	scripts := append([]string{"notes/packed", "notes/layer", "notes/stage"}, image...)
	files := []string{"notes", "files"}
	all := []string{"notes", "files", "roots", "blobs"}
	return []moment{
		{"", image}, {"run", image}, {"image", image}, {"record", image},
		{"", scripts}, {"configure", scripts}, {"layers", scripts}, {"image", scripts},
		{"", files}, {"unpack", files}, {"configure", files}, {"layers", files},
		{"", all}, {"start", all}, {"fetch", all}, {"unpack", all}, {"configure", all}, {"record", all},
	}
}()

// testCrash kills bakes at random moments. Whatever they left is sound, the next bake gives the same image, and
// what was in the home before is still there.
func testCrash(t *testing.T, first *bakery, want string) {
	r := seeded(t)
	b := newBakery(t, nil, map[string]string{"recipe.yaml": first.read(t, "recipe.yaml"), "recipe.lock": first.read(t, "recipe.lock")})
	b.internet = true
	treasure := b.treasure(t)
	args := []string{"-v", "bake", "recipe.yaml", "-t", "small:1", "--move"}
	c := tally{Test: "kill", Stages: map[string]int{}}
	spans := make([]time.Duration, len(moments)) // from the beginning of the stage to the latest moment; what comes too late makes it shorter
	wanted := rounds(t, 6)
	var turn []int // of moments, each one in its turn, until it hits
	for try := 0; c.Times < wanted && try < 10*wanted; try++ {
		if try == 0 {
			w := b.watch(t, args...)
			w.until(func(string) bool { return false })
			if w.err != nil {
				t.Fatalf("%v\n%s", w.err, w.stderr())
			}
			for i, m := range moments {
				spans[i] = w.spans[m.stage]
			}
			continue
		}
		if len(turn) == 0 {
			turn = r.Perm(len(moments))
		}
		n := turn[0]
		m := moments[n]
		treasure.forget(t, m.forget...)
		w := b.watch(t, args...)
		w.until(func(stage string) bool { return m.stage == "" || stage == m.stage })
		wait := time.Duration(r.Int64N(int64(spans[n] + time.Millisecond)))
		w.sleep(wait)
		stage := w.kill()
		await(t, func() bool { return len(processes(t)) == 0 })
		switch {
		case w.err == nil: // it ended before
			spans[n] = spans[n] * 3 / 4
			continue
		case !w.killed():
			t.Fatalf("bake %d: %v\n%s", try, w.err, w.stderr())
		}
		spans[n] = spans[n] * 21 / 20
		turn = turn[1:]
		c.Times++
		c.Stages[stage]++
		c.Aside += b.halfWritten(t)
		b.whole(t)
		treasure.there(t)
		if c.Times%3 != 0 && c.Times != wanted {
			continue // another crash on top
		}
		if got := b.bake(t, "-t", "small:1", "--move"); got != want {
			t.Fatalf("after crash %d, %s and %v: image %s, want %s", c.Times, stage, wait, got, want)
		}
		c.After++
		b.tidy(t)
		b.whole(t)
		treasure.there(t)
	}
	if c.Times < wanted {
		t.Errorf("only %d of %d bakes were killed at work", c.Times, wanted)
	}
	b.must(t, "verify", "small:1")
	if got := b.must(t, "images", "--json"); strings.Count(got, `"digest"`) != 2 {
		t.Errorf("the catalogue has other images: %s", got)
	}
	c.log(t)
}

// Two bakes of one recipe at a time both succeed: one bakes, the other finds.
func TestTwoBakes(t *testing.T) {
	s := testArchive().Server(t)
	b := newBakery(t, s, pinnedFiles())
	b.must(t, "lock", "recipe.yaml")
	s.Fail("*.deb", apttest.Fault{Kind: apttest.Slow, Delay: time.Millisecond, Times: 3}) // so that they meet
	var group sync.WaitGroup
	outcomes := make([]outcome, 4)
	for i := range outcomes {
		group.Go(func() { outcomes[i] = b.run(t, "bake", "recipe.yaml", "-t", "shop:1") })
	}
	group.Wait()
	found := 0
	for _, o := range outcomes {
		if o.code != 0 || strings.TrimSpace(o.stdout) != pinnedImage {
			t.Errorf("exit code %d, image %s, want %s: %s", o.code, o.stdout, pinnedImage, o.stderr)
		}
		if strings.Contains(o.stderr, "already baked") {
			found++
		}
	}
	if found != len(outcomes)-1 {
		t.Errorf("%d found the image baked, want all but one", found)
	}
	if n := s.Requests("shop_2.0-1_amd64.deb"); n != 1 {
		t.Errorf("fetched %d times, want once", n)
	}
	b.must(t, "verify", pinnedImage)
}

// Different recipes with the same packages may be baked at the same time, too.
func TestBakesSideBySide(t *testing.T) {
	s := testArchive().Server(t)
	home := newBakery(t, s, pinnedFiles()).home
	var group sync.WaitGroup
	for _, name := range []string{"a", "b", "c", "d"} {
		files := pinnedFiles()
		files["recipe.yaml"] = strings.Replace(files["recipe.yaml"], "name: shop", "name: "+name, 1)
		b := newBakery(t, s, files)
		alone := b.home
		b.must(t, "lock", "recipe.yaml")
		want := b.bake(t)
		b.home = home
		group.Go(func() {
			if o := b.run(t, "bake", "recipe.yaml"); strings.TrimSpace(o.stdout) != want {
				t.Errorf("%s: image %s, want %s as in %s: %s", name, o.stdout, want, alone, o.stderr)
			}
		})
	}
	group.Wait()
}
