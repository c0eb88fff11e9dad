package store

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"brickyard/internal/tree"
)

// Verify finds everything that is damaged, tells litter from damage, and nothing in a store that is whole.
func TestVerify(t *testing.T) {
	s := open(t)
	file := func(content string) tree.Entry {
		e := tree.Entry{Type: tree.Regular, Mode: 0o644, Size: int64(len(content)), UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}
		if err := s.AddFile(&e, strings.NewReader(content), nil); err != nil {
			t.Fatal(err)
		}
		return e
	}
	put := func(content string) tree.Digest {
		d, _, err := s.Put(strings.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	inTree, other, litter := file("in a tree"), file("in a tree too"), file("nobody's")
	listing, err := s.PutTree(tree.Tree{"a": inTree, "b": other})
	if err != nil {
		t.Fatal(err)
	}
	layer, lone := put("layer"), put("lone")
	record := put(`{"layer": "` + string(layer) + `", "tree": "` + string(listing) + `"}`)
	b := s.Batch()
	for _, kind := range []string{"record", "cache"} {
		if err := b.Set(kind, "x", map[string]tree.Digest{"record": record}); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Set("cache", "broken", 1); err != nil {
		t.Fatal(err)
	}
	if err := b.Commit(); err != nil {
		t.Fatal(err)
	}
	verify := func() *Check {
		t.Helper()
		c, err := s.Verify(t.Context(), []string{"record"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := verify()
	if len(c.Faults)+len(c.Litter) > 0 || c.Blobs != 4 || c.Files != 3 || c.Notes != 3 || c.Bytes == 0 {
		t.Fatalf("a store that is whole: %+v", c)
	}

	rel := func(p string) string { return strings.TrimPrefix(p, s.Dir()+"/") }
	spoil := func(p, content string) string {
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return rel(p)
	}
	want := []string{
		spoil(s.BlobPath(lone), "other"), spoil(s.filePath(inTree), "In a tree"), spoil(s.NotePath("cache", "broken"), "{"),
		rel(s.BlobPath(layer)), rel(s.filePath(other)),
	}
	if err := os.Remove(s.BlobPath(layer)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(s.filePath(other), 0o600); err != nil {
		t.Fatal(err)
	}
	torn := spoil(s.filePath(litter), "nob")
	c = verify()
	var got []string
	for _, f := range c.Faults {
		got = append(got, f.Path)
	}
	slices.Sort(want)
	if !slices.Equal(got, want) || !slices.Equal(c.Litter, []string{torn}) {
		t.Errorf("faults %q, want %q; litter %q, want %q", got, want, c.Litter, torn)
	}
	for _, p := range append(c.Litter, got...) {
		if _, err := os.Lstat(filepath.Join(s.Dir(), p)); err != nil {
			continue // what is missing can't be put aside
		}
		if err := s.PutAside(p); err != nil {
			t.Fatal(err)
		}
	}
	if c = verify(); len(c.Faults) != 1 || len(c.Litter) > 0 { // the layer is missing still
		t.Errorf("after all was put aside: %+v", c)
	}
}

// A root is what its listing says, by links to files that are whole.
func TestVerifyRoots(t *testing.T) {
	for name, spoil := range map[string]func(root, file string) error{
		"a file of another content": func(root, _ string) error {
			return errors.Join(os.Remove(root+"/f"), os.WriteFile(root+"/f", []byte("evil"), 0o644))
		},
		"the file in the store": func(_, file string) error { return os.WriteFile(file, []byte("FILE"), 0o644) },
		"one more":              func(root, _ string) error { return os.WriteFile(root+"/more", nil, 0o644) },
		"one less":              func(root, _ string) error { return os.Remove(root + "/f") },
		"a mode":                func(root, _ string) error { return os.Chmod(root+"/d", 0o700) },
		"a link":                func(root, _ string) error { return errors.Join(os.Remove(root+"/l"), os.Symlink("/", root+"/l")) },
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			uid, gid := uint32(os.Getuid()), uint32(os.Getgid())
			e := tree.Entry{Type: tree.Regular, Mode: 0o644, UID: uid, GID: gid, Size: 4}
			if err := s.AddFile(&e, strings.NewReader("file"), nil); err != nil {
				t.Fatal(err)
			}
			dir := tree.Entry{Type: tree.Dir, Mode: 0o755, UID: uid, GID: gid}
			root, err := s.Root(t.Context(), tree.Tree{".": dir, "d": dir, "f": e, "g": e, "l": {Type: tree.Symlink, Mode: 0o777, UID: uid, GID: gid, Link: "f"}})
			if err != nil {
				t.Fatal(err)
			}
			faults := func() (paths []string) {
				c, err := s.Verify(t.Context(), nil, nil)
				if err != nil {
					t.Fatal(err)
				}
				for _, f := range c.Faults {
					paths = append(paths, f.Path)
				}
				return paths
			}
			if got := faults(); got != nil {
				t.Fatalf("as it was made: %q", got)
			}
			if err := spoil(root, s.filePath(e)); err != nil {
				t.Fatal(err)
			}
			at := strings.TrimPrefix(root, s.Dir()+"/")
			for range 2 { // put aside twice, too
				if got := faults(); !slices.Contains(got, at) {
					t.Errorf("faults %q, want %s", got, at)
				}
				if err := s.PutAside(at); err != nil {
					t.Fatal(err)
				}
				if err := os.Mkdir(root, 0o755); err != nil { // half of one
					t.Fatal(err)
				}
			}
		})
	}
}
