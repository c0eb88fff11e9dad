package main

import (
	"bytes"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"brickyard/internal/bake/apt/apttest"
)

// testCrash kills bakes at random moments. Whatever they left, the next bake gives the same image, and the
// catalogue is whole. BRICKYARD_SOAK=1 does it often.
func testCrash(t *testing.T, first *bakery, want string) {
	moments := soaking(10, 200)
	random := seeded(t)
	b := copyHome(t, first, map[string]string{"recipe.yaml": first.read(t, "recipe.yaml"), "recipe.lock": first.read(t, "recipe.lock")})
	// forget makes the next bake begin anew from a random one of its parts.
	forget := [][]string{
		{"notes/bake", "notes/image"}, {"notes/bake", "notes/image", "notes/packed", "notes/layer", "notes/stage"},
		{"notes", "files"}, {"notes", "files", "roots", "blobs"},
	}
	var span time.Duration // of one bake from scratch
	for i := range moments {
		for _, f := range forget[random.IntN(len(forget))] {
			if err := os.RemoveAll(b.home + "/" + f); err != nil {
				t.Fatal(err)
			}
		}
		cmd := b.command(t.Context(), "bake", "recipe.yaml", "-t", "small:1", "--move")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		start := time.Now()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		wait := time.Duration(random.Int64N(int64(max(span, 4*time.Second))))
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case err := <-ended: // before its moment
			if err != nil {
				t.Fatalf("bake %d: %v: %s", i, err, &stderr)
			}
			span = time.Since(start)
		case <-time.After(wait):
			cmd.Process.Kill()
			<-ended
		}
		await(t, func() bool { return len(processes(t)) == 0 })
		if i%3 != 2 && i != moments-1 {
			continue // another crash on top
		}
		if got := b.bake(t, "-t", "small:1", "--move"); got != want {
			t.Fatalf("after crash %d, %v into it: image %s, want %s", i, wait, got, want)
		}
		b.tidy(t)
		b.whole(t)
	}
	b.must(t, "verify", "small:1")
	if got := b.must(t, "images", "--json"); strings.Count(got, `"digest"`) != 1 {
		t.Errorf("the catalogue has other images: %s", got)
	}
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
