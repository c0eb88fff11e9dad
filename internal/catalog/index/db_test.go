package index_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"brickyard/internal/catalog/index"
	"brickyard/internal/store"
	"brickyard/internal/tree"
)

// byHand lists what Images should, from the notes themselves: a line for each image, sorted.
func byHand(t *testing.T, s *store.Store) []string {
	t.Helper()
	c := index.New(s)
	tags, _, err := c.Tags()
	if err != nil {
		t.Fatal(err)
	}
	keys, err := s.Notes("record")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, k := range keys {
		r, err := c.Record(tree.Digest("sha256:" + k))
		if err != nil {
			t.Fatal(err)
		}
		im := index.Image{Digest: r.Image, Name: r.Name, Arch: r.Arch, Owner: r.Owner, Lifecycle: r.Lifecycle, By: r.By, Baked: r.Baked,
			Expires: r.Expires, Parent: r.Parent, Size: r.Size(), Layers: len(r.Layers), Packages: len(r.Packages)}
		for _, tag := range tags {
			if tag.Image == r.Image {
				im.Tags = append(im.Tags, tag.Ref)
			}
		}
		lines = append(lines, line(im))
	}
	slices.Sort(lines)
	return lines
}

// indexed is what Images says, in the same words.
func indexed(t *testing.T, c *index.Catalog) []string {
	t.Helper()
	images, damaged, err := c.Images(index.Filter{})
	if err != nil || len(damaged) > 0 {
		t.Fatal(err, damaged)
	}
	var lines []string
	for _, im := range images {
		lines = append(lines, line(im))
	}
	slices.Sort(lines)
	return lines
}

// line is an image without what the index numbers.
func line(im index.Image) string {
	return fmt.Sprint(im.Digest, im.Name, im.Tags, im.Arch, im.Owner, im.Lifecycle, im.By, im.Baked, im.Expires, im.Parent, im.Size, im.Layers, im.Packages, im.Origin)
}

// Whatever is done to records and tags, by this process or another, the index says what the notes say.
func TestIndexFollows(t *testing.T) {
	s, base, web, web11 := web(t)
	records := []index.Record{base, web, web11}
	rng := rand.New(rand.NewPCG(3, 1))
	open := index.New(s) // for the whole test, as a daemon has it
	defer open.Close()
	for step := range 120 {
		c, b := index.New(s), s.Batch()
		r := records[rng.IntN(len(records))]
		switch rng.IntN(5) {
		case 0: // a new image
			r.Image = store.Sum(fmt.Append(nil, step))
			r.Name, r.Owner, r.Expires = fmt.Sprint("new-", step%7), fmt.Sprint("team-", step%3), time.Unix(int64(1e9+step), 0).UTC()
			records = append(records, r)
			must(t, c.Add(b, r))
		case 1: // baked again, by somebody else
			r.By, r.Baked = fmt.Sprint("user-", step), time.Unix(int64(1.7e9+step), 0).UTC()
			must(t, c.Add(b, r))
		case 2:
			must(t, c.Tag(b, fmt.Sprintf("tag:%d", rng.IntN(10)), r.Image, true, "ann@forge", time.Now()))
		case 3:
			if _, err := c.Untag(fmt.Sprintf("tag:%d", rng.IntN(10))); err != nil && !strings.Contains(err.Error(), "no image") {
				t.Fatal(err)
			}
		case 4: // forgotten
			must(t, s.DropNote("record", r.Image.Hex()))
		}
		must(t, b.Commit())
		want := byHand(t, s)
		if got := indexed(t, open); !slices.Equal(got, want) {
			t.Fatalf("step %d: got\n%s\nwant\n%s", step, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		must(t, c.Close())
	}
	n, err := open.Reindex(nil)
	if want := byHand(t, s); err != nil || n != len(want) {
		t.Fatalf("Reindex: %d images, %v; want %d", n, err, len(want))
	}
	again := index.New(s)
	defer again.Close()
	if got, want := indexed(t, again), byHand(t, s); !slices.Equal(got, want) {
		t.Errorf("made anew: got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// An index that is missing, damaged, of another version or nowhere to be written makes no difference.
func TestIndexIsRebuilt(t *testing.T) {
	s, _, _, _ := web(t)
	want := byHand(t, s)
	file := filepath.Join(s.Dir(), "indexes/images.sqlite")
	for _, tt := range []struct {
		name  string
		spoil func() error
	}{
		{"as it is", func() error { return nil }},
		{"missing", func() error { return os.Remove(file) }},
		{"empty", func() error { return os.Truncate(file, 0) }},
		{"cut off", func() error { return os.Truncate(file, 5000) }},
		{"something else", func() error { return os.WriteFile(file, []byte(strings.Repeat("no database", 1000)), 0o644) }},
		{"damaged inside", func() error {
			data, err := os.ReadFile(file)
			for i := 4096; i < len(data); i++ {
				data[i] ^= 0x55
			}
			if err != nil {
				return err
			}
			return os.WriteFile(file, data, 0o644)
		}},
		{"of another version", func() error {
			data, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			data[63]++ // user_version, the file format's bytes 60 to 63
			return os.WriteFile(file, data, 0o644)
		}},
		{"nowhere", func() error {
			dir := filepath.Dir(file)
			if err := os.RemoveAll(dir); err != nil {
				return err
			}
			return os.WriteFile(dir, nil, 0o644)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			must(t, tt.spoil())
			c := index.New(s)
			defer c.Close()
			if got := indexed(t, c); !slices.Equal(got, want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}

// Several at a time bring the index up to date, and all are right.
func TestIndexTogether(t *testing.T) {
	s, _, _, _ := web(t)
	must(t, indexManyTags(s))
	want := byHand(t, s)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			c := index.New(s)
			defer c.Close()
			images, _, err := c.Images(index.Filter{})
			if err != nil || len(images) != len(want) {
				t.Errorf("%d images, %v; want %d", len(images), err, len(want))
			}
		})
	}
	group.Wait()
}

func indexManyTags(s *store.Store) error {
	c, b := index.New(s), s.Batch()
	images, _, err := c.Images(index.Filter{})
	if err != nil {
		return err
	}
	for i := range 300 {
		if err := c.Tag(b, fmt.Sprint("many:", i), images[i%len(images)].Digest, true, "ann@forge", time.Now()); err != nil {
			return err
		}
	}
	return b.Commit()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A pattern may fit more names than an SQL statement may have terms.
func TestManyNames(t *testing.T) {
	s, _, web, _ := web(t)
	c, b := index.New(s), s.Batch()
	defer c.Close()
	for i := range 1500 {
		must(t, c.Tag(b, fmt.Sprintf("many-%d:1", i), web.Image, true, "ann@forge", time.Now()))
	}
	must(t, b.Commit())
	for glob, want := range map[string]int{"many-*": 1, "many-1499": 1, "many-1500": 0, "*": 3} {
		images, _, err := c.Images(index.Filter{Names: []string{glob}})
		if err != nil || len(images) != want {
			t.Errorf("%s: %d images, %v; want %d", glob, len(images), err, want)
		}
	}
}
