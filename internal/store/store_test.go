package store

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"brickyard/internal/tree"

	"golang.org/x/sys/unix"
)

func open(t *testing.T) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "home"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestHomeIsPrivate(t *testing.T) {
	fi, err := os.Stat(open(t).Dir())
	if err != nil {
		t.Fatal(err)
	}
	if got := fi.Mode().Perm(); got != 0o700 {
		t.Errorf("mode %o, want 700", got)
	}
}

func TestBlob(t *testing.T) {
	s := open(t)
	d, size, err := s.Put(strings.NewReader("hello"))
	if err != nil || size != 5 || d != Sum([]byte("hello")) {
		t.Fatalf("Put: %s, %d, %v", d, size, err)
	}
	if got, err := s.ReadBlob(d, 5); err != nil || string(got) != "hello" {
		t.Errorf("ReadBlob: %q, %v", got, err)
	}
	if _, err := s.ReadBlob(d, 4); err == nil {
		t.Error("ReadBlob read more than its limit")
	}
	if _, err := s.Blob(Sum([]byte("other"))); !errors.Is(err, ErrNotFound) {
		t.Errorf("Blob of what is not there: %v", err)
	}
	if err := s.PutExpect(d, strings.NewReader("hullo")); !errors.Is(err, ErrDigest) {
		t.Errorf("PutExpect of other bytes: %v", err)
	}
	if left, _ := os.ReadDir(s.path("tmp")); len(left) > 0 {
		t.Errorf("left in tmp: %v", left)
	}
}

func TestTornBlobIsNotBelieved(t *testing.T) {
	s := open(t)
	d, _, err := s.Put(strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.BlobPath(d), []byte("hel\x00\x00"), 0o644); err != nil {
		t.Fatal(err)
	}
	r, err := s.Blob(d)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.Copy(io.Discard, r); !errors.Is(err, ErrDigest) {
		t.Errorf("Blob: %v, want ErrDigest", err)
	}
	if f, err := s.OpenVerified(t.Context(), d); !errors.Is(err, ErrDigest) {
		t.Errorf("OpenVerified: %v, %v, want ErrDigest", f, err)
	}
	if _, err := s.ReadBlob(d, 100); !errors.Is(err, ErrDigest) {
		t.Errorf("ReadBlob: %v, want ErrDigest", err)
	}
	// Putting it again mends it.
	if _, _, err := s.Put(strings.NewReader("hello")); err != nil {
		t.Fatal(err)
	}
	if got, err := s.ReadBlob(d, 100); err != nil || string(got) != "hello" {
		t.Errorf("after another Put: %q, %v", got, err)
	}
}

func add(t *testing.T, s *Store, e tree.Entry, content string) tree.Entry {
	t.Helper()
	e.Type, e.Size = tree.Regular, int64(len(content))
	if err := s.AddFile(&e, strings.NewReader(content), nil); err != nil {
		t.Fatal(err)
	}
	return e
}

func TestTornFileIsReplaced(t *testing.T) {
	for name, spoil := range map[string]func(p string) error{
		"content": func(p string) error { return os.WriteFile(p, []byte("hel"), 0o644) },
		"mode":    func(p string) error { return os.Chmod(p, 0o600) },
		"time":    func(p string) error { return os.Chtimes(p, time.Now(), time.Now()) },
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			e := add(t, s, tree.Entry{Mode: 0o644, MTime: 1e9}, "hello")
			if err := spoil(s.filePath(e)); err != nil {
				t.Fatal(err)
			}
			add(t, s, tree.Entry{Mode: 0o644, MTime: 1e9}, "hello")
			if !same(s.filePath(e), e, []byte("hello")) {
				t.Error("the file is still not what its name says")
			}
		})
	}
}

func TestAddFileHoldsTheSizeAgainstTheBytes(t *testing.T) {
	s := open(t)
	for _, content := range []string{"hell", "hello!"} {
		e := tree.Entry{Type: tree.Regular, Mode: 0o644, Size: 5}
		if err := s.AddFile(&e, strings.NewReader(content), nil); !errors.Is(err, ErrDigest) {
			t.Errorf("%q as 5 bytes: %v", content, err)
		}
	}
	big := tree.Entry{Type: tree.Regular, Mode: 0o644, Size: smallFile + 2}
	if err := s.AddFile(&big, bytes.NewReader(make([]byte, smallFile+1)), nil); !errors.Is(err, ErrDigest) {
		t.Errorf("a large file one byte short: %v", err)
	}
}

// sample is a tree of everything that can be made without privileges that a container lacks.
func sample(t *testing.T, s *Store) tree.Tree {
	setuid := add(t, s, tree.Entry{Mode: 0o4755, UID: 7, GID: 8, MTime: 1e9, Xattrs: map[string]string{"user.note": "\x00\xff"}}, "x")
	large := add(t, s, tree.Entry{Mode: 0o600, MTime: 5}, strings.Repeat("y", smallFile+1))
	return tree.Tree{
		".":       {Type: tree.Dir, Mode: 0o711, MTime: 1},
		"d":       {Type: tree.Dir, Mode: 0o1777, UID: 3, MTime: 2},
		"d/x":     setuid,
		"d/again": setuid,
		"large":   large,
		"link":    {Type: tree.Symlink, Mode: 0o777, Link: "../../nowhere", UID: 9, MTime: 3},
		"fifo":    {Type: tree.Fifo, Mode: 0o640, MTime: 4},
	}
}

// scan reads a directory back as a tree, digests included.
func scan(t *testing.T, dir string) tree.Tree {
	t.Helper()
	got := tree.Tree{}
	err := tree.Scan(dir, func(p string, e *tree.Entry) error {
		if e.Type == tree.Regular {
			data, err := os.ReadFile(filepath.Join(dir, p))
			if err != nil {
				return err
			}
			e.Digest = Sum(data)
		}
		e.Hard = ""
		got[p] = *e
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestAssembleMakesWhatTheTreeSays(t *testing.T) {
	s := open(t)
	want := sample(t, s)
	dir := t.TempDir()
	if err := s.Assemble(want, dir); err != nil {
		t.Fatal(err)
	}
	if got := scan(t, dir); string(got.Encode()) != string(want.Encode()) {
		t.Errorf("got\n%swant\n%s", got.Encode(), want.Encode())
	}
}

func TestChangeComesToWhatAssembleMakes(t *testing.T) {
	s := open(t)
	from := sample(t, s)
	to := from.Clone()
	to.Apply(tree.Tree{
		"d":     {Type: tree.Whiteout},
		"e":     {Type: tree.Dir, Mode: 0o750, MTime: 7},
		"e/new": add(t, s, tree.Entry{Mode: 0o644, MTime: 8}, "new"),
		"large": {Type: tree.Dir, Mode: 0o755, MTime: 9},
		"link":  add(t, s, tree.Entry{Mode: 0o644, MTime: 8}, "no link any more"),
	})
	dir := t.TempDir()
	if err := s.Assemble(from, dir); err != nil {
		t.Fatal(err)
	}
	if err := s.Change(dir, from, to); err != nil {
		t.Fatal(err)
	}
	if got := scan(t, dir); string(got.Encode()) != string(to.Encode()) {
		t.Errorf("got\n%swant\n%s", got.Encode(), to.Encode())
	}
}

func TestNotesComeWithTheirBatchOnly(t *testing.T) {
	s := open(t)
	b := s.Batch()
	if err := b.Set("kind", "key", 42); err != nil {
		t.Fatal(err)
	}
	var n int
	if err := s.Note("kind", "key", &n); !errors.Is(err, ErrNotFound) {
		t.Errorf("before Commit: %v", err)
	}
	if err := b.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := s.Note("kind", "key", &n); err != nil || n != 42 {
		t.Errorf("after Commit: %d, %v", n, err)
	}
	for _, bad := range []string{"", ".hidden", "a/b"} {
		if err := b.Set("kind", bad, 1); err == nil {
			t.Errorf("key %q was taken", bad)
		}
	}
}

func TestSweepTakesOnlyWhatNobodyWorksOn(t *testing.T) {
	s := open(t)
	mine, release, err := s.TempDir("mine")
	if err != nil {
		t.Fatal(err)
	}
	dead := s.path("tmp", "dead-1.dir")
	if err := os.MkdirAll(filepath.Join(dead, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dead+lockSuffix, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(s.Dir()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dead); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what a dead process left is still there: %v", err)
	}
	if _, err := os.Stat(mine); err != nil {
		t.Errorf("what this process works in is gone: %v", err)
	}
	if err := release(); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(s.path("tmp")); len(left) > 0 {
		t.Errorf("left in tmp: %v", left)
	}
}

func TestLock(t *testing.T) {
	s := open(t)
	unlock, err := s.Lock(t.Context(), "x", nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	told := false
	if _, err := s.Lock(ctx, "x", func() { told = true; cancel() }); !errors.Is(err, context.Canceled) || !told {
		t.Errorf("a lock that is held: %v, told %v", err, told)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	again, err := s.Lock(t.Context(), "x", nil)
	if err != nil {
		t.Fatal(err)
	}
	again()
}

func TestRootIsSharedAndWhole(t *testing.T) {
	s := open(t)
	tr := sample(t, s)
	a, err := s.Root(t.Context(), tr)
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Root(t.Context(), tr)
	if err != nil || a != b {
		t.Fatalf("%s, then %s, %v", a, b, err)
	}
	var st1, st2 unix.Stat_t
	if err := errors.Join(unix.Stat(filepath.Join(a, "d/x"), &st1), unix.Stat(s.filePath(tr["d/x"]), &st2)); err != nil {
		t.Fatal(err)
	}
	if st1.Ino != st2.Ino {
		t.Error("a root's file is a copy, not a link")
	}
	gone := tree.Tree{".": {Type: tree.Dir, Mode: 0o755}, "f": {Type: tree.Regular, Mode: 0o644, Digest: Sum([]byte("gone")), Size: 4}}
	if _, err := s.Root(t.Context(), gone); !errors.Is(err, ErrNotFound) {
		t.Errorf("a root with a file that is not there: %v", err)
	}
	if roots, _ := os.ReadDir(s.path("roots")); len(roots) != 1 {
		t.Errorf("roots: %v, want the whole one only", roots)
	}
}
