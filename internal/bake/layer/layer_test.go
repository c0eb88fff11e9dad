package layer

import (
	"bytes"
	"compress/gzip"
	"io"
	"slices"
	"strings"
	"testing"

	"brickyard/internal/store"
	"brickyard/internal/store/tarball"
	"brickyard/internal/tree"
)

func group(name string, size int64) Group {
	return Group{Sources: []string{name}, Members: []string{name + " 1"}, Tree: tree.Tree{name: {Type: tree.Regular, Size: size}}}
}

func TestJoin(t *testing.T) {
	groups := []Group{group("a", 5), group("b", 50), group("c", 1), group("d", 40), group("e", 1)}
	for _, tt := range []struct {
		limit int
		want  []string
	}{
		{5, []string{"a", "b", "c", "d", "e"}},
		{4, []string{"c+e", "a", "b", "d"}},
		{3, []string{"a+c+e", "b", "d"}},
		{1, []string{"a+b+c+d+e"}},
	} {
		var got []string
		joined := Join(groups, tt.limit)
		for _, g := range joined {
			got = append(got, strings.Join(g.Sources, "+"))
			if len(g.Tree) != len(g.Sources) || len(g.Members) != len(g.Sources) {
				t.Errorf("limit %d: %v has %d files, %d members", tt.limit, g.Sources, len(g.Tree), len(g.Members))
			}
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("Join to %d: got %v, want %v", tt.limit, got, tt.want)
		}
		back := slices.Clone(groups)
		slices.Reverse(back)
		reversed := Join(back, tt.limit)
		if tt.limit < 5 && !slices.Equal(reversed[0].Sources, joined[0].Sources) {
			t.Errorf("limit %d: what is joined depends on the order: %v", tt.limit, reversed[0].Sources)
		}
	}
}

func TestWrite(t *testing.T) {
	s, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	e := tree.Entry{Type: tree.Regular, Mode: 0o644, Size: 5, MTime: 1e9}
	if err := s.AddFile(&e, strings.NewReader("hello"), nil); err != nil {
		t.Fatal(err)
	}
	want := tree.Tree{"d": {Type: tree.Dir, Mode: 0o755}, "d/f": e, "gone": {Type: tree.Whiteout}}
	b := s.Batch()
	l, err := Write(s, want, b.Set)
	if err != nil {
		t.Fatal(err)
	}
	data, err := s.ReadBlob(l.Digest, l.Size)
	if err != nil {
		t.Fatal(err)
	}
	zip, err := gzip.NewReader(bytes.NewReader(data)) // the standard library's, not ours
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(zip)
	if err != nil {
		t.Fatal(err)
	}
	if got := store.Sum(plain); got != l.DiffID {
		t.Errorf("diffID %s, but the tar is %s", l.DiffID, got)
	}
	got, err := tarball.Read(bytes.NewReader(plain), tarball.Limits{}, func(_ string, e *tree.Entry, r io.Reader) error {
		content, err := io.ReadAll(r)
		e.Digest = store.Sum(content)
		return err
	})
	if err != nil || string(got.Encode()) != string(want.Encode()) {
		t.Errorf("the layer holds %v\n%s", err, got.Encode())
	}
	if err := b.Commit(); err != nil {
		t.Fatal(err)
	}
	again, err := Write(s, want, func(string, string, any) error { t.Error("made again"); return nil })
	if err != nil || again != l {
		t.Errorf("found %v, %v", again, err)
	}
}

// A note that is about another tree is not believed.
func TestWriteDistrustsNotes(t *testing.T) {
	s, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	one, two := tree.Tree{"one": {Type: tree.Dir, Mode: 0o755}}, tree.Tree{"two": {Type: tree.Dir, Mode: 0o755}}
	b := s.Batch()
	made, err := Write(s, one, b.Set)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Set(noteKind, noteKey(store.Sum(two.Encode())), made); err != nil {
		t.Fatal(err)
	}
	if err := b.Commit(); err != nil {
		t.Fatal(err)
	}
	if got, err := Write(s, two, s.Batch().Set); err != nil || got.DiffID == made.DiffID {
		t.Errorf("%+v, %v: the layer of the other tree", got, err)
	}
}
