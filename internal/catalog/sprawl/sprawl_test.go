package sprawl

import (
	"slices"
	"testing"
	"time"

	"brickyard/internal/catalog/index"
	"brickyard/internal/catalog/indextest"
	"brickyard/internal/store"
	"brickyard/internal/tree"
)

// look makes n images and their report.
func look(t *testing.T, n int) (*Report, []index.Record) {
	t.Helper()
	s, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := indextest.Many(s, n, 7); err != nil {
		t.Fatal(err)
	}
	c := index.New(s)
	defer c.Close()
	r, damaged, err := Look(c, time.Date(2025, 6, 1, 0, 0, 0, 0, time.UTC))
	if err != nil || len(damaged) > 0 {
		t.Fatal(err, damaged)
	}
	keys, err := s.Notes("record")
	if err != nil {
		t.Fatal(err)
	}
	var records []index.Record
	for _, k := range keys {
		rec, err := c.Record(tree.Digest("sha256:" + k))
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, rec)
	}
	return r, records
}

// stored is what images take that are for which keep holds, each layer once.
func stored(records []index.Record, keep func(index.Record) bool) (bytes int64) {
	seen := map[tree.Digest]bool{}
	for _, r := range records {
		for _, l := range r.Layers {
			if keep(r) && !seen[l.Digest] {
				seen[l.Digest] = true
				bytes += l.Size
			}
		}
	}
	return bytes
}

// What leaves with a group is what is stored less what is stored without it.
func TestOwnBytes(t *testing.T) {
	r, records := look(t, 300)
	all := stored(records, func(index.Record) bool { return true })
	if r.Stored != all || r.Images != len(records) || r.Images != 302 {
		t.Errorf("%d bytes of %d images, want %d of %d", r.Stored, r.Images, all, len(records))
	}
	without := func(is func(index.Record) bool) int64 {
		return all - stored(records, func(r index.Record) bool { return !is(r) })
	}
	for _, g := range r.Owners {
		if want := without(func(r index.Record) bool { return r.Owner == g.Name }); g.Own != want {
			t.Errorf("owner %q: own %d, want %d", g.Name, g.Own, want)
		}
	}
	for _, im := range r.Largest {
		if want := without(func(r index.Record) bool { return r.Image == im.Image }); im.Own != want || want == 0 {
			t.Errorf("image %s: own %d, want %d", im.Image, im.Own, want)
		}
	}
	for _, f := range r.Findings {
		is := map[string]func(index.Record) bool{
			"without owner": func(r index.Record) bool { return r.Owner == "" },
			"expired":       func(rec index.Record) bool { return !rec.Expires.IsZero() && r.Now.After(rec.Expires) },
			"never expires": func(r index.Record) bool { return r.Expires.IsZero() },
		}[f.Kind]
		if is == nil {
			continue
		}
		n := len(slices.DeleteFunc(slices.Clone(records), func(r index.Record) bool { return !is(r) }))
		if want := without(is); f.Own != want || f.Images != n || n == 0 {
			t.Errorf("%s: %d images, own %d; want %d, %d", f.Kind, f.Images, f.Own, n, want)
		}
	}
	var months, images int64
	for _, m := range r.Months {
		months, images = months+m.Own, images+int64(m.Images)
	}
	if months != all || images != int64(len(records)) {
		t.Errorf("the months add up to %d bytes and %d images, want %d and %d", months, images, all, len(records))
	}
}

func TestNothing(t *testing.T) {
	s, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c := index.New(s)
	defer c.Close()
	if r, _, err := Look(c, time.Now()); err != nil || r.Images != 0 || len(r.Findings) != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}
