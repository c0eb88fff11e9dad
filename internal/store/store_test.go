package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"brickyard/internal/tree"
)

func open(t *testing.T) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "home"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t *testing.T, s *Store, content string) tree.Digest {
	t.Helper()
	d, n, err := s.Put(strings.NewReader(content))
	if err != nil || n != int64(len(content)) || d != Sum([]byte(content)) {
		t.Fatalf("Put = %s, %d, %v", d, n, err)
	}
	return d
}

// noTemp checks that no temporary file is left.
func noTemp(t *testing.T, s *Store) {
	t.Helper()
	left, err := os.ReadDir(s.path("tmp"))
	if err != nil || len(left) > 0 {
		t.Errorf("left in tmp: %v, %v", left, err)
	}
}

func TestBlob(t *testing.T) {
	s := open(t)
	d := put(t, s, "hello")
	if got, err := s.ReadBlob(d, 5); err != nil || string(got) != "hello" {
		t.Errorf("ReadBlob = %q, %v", got, err)
	}
	if _, err := s.ReadBlob(d, 4); err == nil {
		t.Error("ReadBlob gave more than its limit")
	}
	if size, err := s.Size(d); err != nil || size != 5 {
		t.Errorf("Size = %d, %v", size, err)
	}
	other := Sum([]byte("other"))
	for name, err := range map[string]error{
		"Size":         second(s.Size(other)),
		"Blob":         second(s.Blob(other)),
		"ReadBlob":     second(s.ReadBlob(other, 9)),
		"OpenVerified": second(s.OpenVerified(t.Context(), other)),
	} {
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("%s of what is not there: %v", name, err)
		}
	}
	if err := s.PutExpect(other, strings.NewReader("hello")); !errors.Is(err, ErrDigest) {
		t.Errorf("PutExpect of something else: %v", err)
	}
	if _, err := s.Size(other); !errors.Is(err, ErrNotFound) {
		t.Error("what was refused is there")
	}
	noTemp(t, s)
}

func second[T any](_ T, err error) error { return err }

// A reader that fails leaves nothing.
func TestPutBroken(t *testing.T) {
	s := open(t)
	broken := io.MultiReader(strings.NewReader("half"), errReader{})
	if _, _, err := s.Put(broken); !errors.Is(err, errBroken) {
		t.Errorf("Put: %v", err)
	}
	e := tree.Entry{Type: tree.Regular, Size: 10}
	if err := s.AddFile(&e, io.MultiReader(strings.NewReader("half"), errReader{}), nil); !errors.Is(err, errBroken) {
		t.Errorf("AddFile: %v", err)
	}
	e.Size = smallFile + 1
	if err := s.AddFile(&e, io.MultiReader(strings.NewReader("half"), errReader{}), nil); !errors.Is(err, errBroken) {
		t.Errorf("AddFile of a large one: %v", err)
	}
	noTemp(t, s)
}

var errBroken = errors.New("broken")

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errBroken }

// What a crash or a bad disk made of a blob is never taken for it, and is mended by putting it again.
func TestTornBlob(t *testing.T) {
	for name, torn := range map[string]string{"cut off": "hel", "zeros": "\x00\x00\x00\x00\x00", "empty": "", "longer": "hello!"} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			d := put(t, s, "hello")
			for name, read := range map[string]func() error{
				"ReadBlob":     func() error { _, err := s.ReadBlob(d, 100); return err },
				"OpenVerified": func() error { _, err := s.OpenVerified(t.Context(), d); return err },
			} {
				if err := os.WriteFile(s.BlobPath(d), []byte(torn), 0o644); err != nil {
					t.Fatal(err)
				}
				if err := read(); !errors.Is(err, ErrDigest) {
					t.Errorf("%s: %v", name, err)
				}
				if _, err := s.Size(d); !errors.Is(err, ErrNotFound) {
					t.Errorf("%s left it in its place", name)
				}
			}
			put(t, s, "hello")
			if got, err := s.ReadBlob(d, 100); err != nil || string(got) != "hello" {
				t.Errorf("put again: %q, %v", got, err)
			}
		})
	}
}

func TestOpenVerifiedStops(t *testing.T) {
	s := open(t)
	d := put(t, s, "hello")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.OpenVerified(ctx, d); !errors.Is(err, context.Canceled) {
		t.Errorf("OpenVerified: %v", err)
	}
}

// add adds a file and returns its entry.
func add(t *testing.T, s *Store, content string, e tree.Entry) tree.Entry {
	t.Helper()
	e.Type, e.Size = tree.Regular, int64(len(content))
	if err := s.AddFile(&e, strings.NewReader(content), new(bytes.Buffer)); err != nil {
		t.Fatal(err)
	}
	if e.Digest != Sum([]byte(content)) {
		t.Fatalf("digest %s", e.Digest)
	}
	return e
}

// contents are small enough to be held in memory, and not.
var contents = map[string]string{"empty": "", "small": "hello", "large": strings.Repeat("x", smallFile+1)}

func TestAddFile(t *testing.T) {
	for name, content := range contents {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			e := add(t, s, content, tree.Entry{Mode: 0o6755, UID: 3, GID: 4, MTime: 1e9, Xattrs: map[string]string{"user.k": "v"}})
			f, err := s.OpenFile(e)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			got, _, err := tree.Stat(f.Name())
			got.Digest = e.Digest
			if err != nil || !got.Equal(e) || got.MTime != e.MTime {
				t.Errorf("on disk %+v, %v, want %+v", got, err, e)
			}
			// Another mode, owner or time is another file; the same is the same.
			before := count(t, s)
			add(t, s, content, e)
			if n := count(t, s); n != before {
				t.Errorf("the same again: %d files, want %d", n, before)
			}
			for i, change := range []func(*tree.Entry){
				func(e *tree.Entry) { e.Mode = 0o644 }, func(e *tree.Entry) { e.UID++ }, func(e *tree.Entry) { e.GID++ },
				func(e *tree.Entry) { e.MTime++ }, func(e *tree.Entry) { e.Xattrs = nil },
			} {
				other := e
				change(&other)
				add(t, s, content, other)
				if n := count(t, s); n != before+i+1 {
					t.Errorf("change %d: %d files, want %d", i, n, before+i+1)
				}
			}
			noTemp(t, s)
		})
	}
}

func count(t *testing.T, s *Store) int {
	t.Helper()
	files, err := filepath.Glob(s.path("files", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

// More or fewer bytes than announced are refused.
func TestAddFileWrongSize(t *testing.T) {
	for name, content := range contents {
		for _, diff := range []int64{-1, 1} {
			s := open(t)
			e := tree.Entry{Type: tree.Regular, Size: int64(len(content)) + diff}
			if e.Size < 0 {
				continue
			}
			if err := s.AddFile(&e, strings.NewReader(content), nil); !errors.Is(err, ErrDigest) {
				t.Errorf("%s, %d bytes off: %v", name, diff, err)
			}
			if count(t, s) != 0 {
				t.Errorf("%s, %d bytes off: a file is there", name, diff)
			}
			noTemp(t, s)
		}
	}
}

// A file that a crash left torn is put right when it is added again.
func TestTornFile(t *testing.T) {
	for name, content := range contents {
		for torn, spoil := range map[string]func(p string) error{
			"half":      func(p string) error { return os.WriteFile(p, []byte("he"), 0o600) },
			"zeros":     func(p string) error { return os.WriteFile(p, make([]byte, len(content)), 0o600) },
			"mode":      func(p string) error { return os.Chmod(p, 0o600) },
			"owner":     func(p string) error { return os.Chown(p, 0, 0) },
			"attribute": func(p string) error { return syscall.Removexattr(p, "user.k") },
		} {
			t.Run(name+" "+torn, func(t *testing.T) {
				s := open(t)
				e := add(t, s, content, tree.Entry{Mode: 0o644, UID: 5, MTime: 1e9, Xattrs: map[string]string{"user.k": "v"}})
				if err := spoil(s.filePath(e)); err != nil {
					t.Fatal(err)
				}
				if err := os.Chtimes(s.filePath(e), time.Time{}, time.Unix(1e9, 0)); err != nil {
					t.Fatal(err)
				}
				add(t, s, content, e)
				data, err := os.ReadFile(s.filePath(e))
				if err != nil || string(data) != content {
					t.Errorf("after adding again: %d bytes, %v, want %d", len(data), err, len(content))
				}
				got, _, err := tree.Stat(s.filePath(e))
				if err != nil || !got.SameOwnership(e) {
					t.Errorf("after adding again: %+v, %v", got, err)
				}
			})
		}
	}
}

// Many at once, of the same file, all find it whole.
func TestAddFileAtOnce(t *testing.T) {
	s := open(t)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for i := range 50 {
				content := strings.Repeat(fmt.Sprint(i%5), 100_000)
				e := tree.Entry{Type: tree.Regular, Mode: 0o644, UID: 7, Size: int64(len(content))}
				if err := s.AddFile(&e, strings.NewReader(content), nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	for i := range 5 {
		e := tree.Entry{Type: tree.Regular, Mode: 0o644, UID: 7, Digest: Sum([]byte(strings.Repeat(fmt.Sprint(i), 100_000)))}
		data, err := os.ReadFile(s.filePath(e))
		if err != nil || Sum(data) != e.Digest {
			t.Errorf("file %d: %d bytes, %v", i, len(data), err)
		}
	}
	noTemp(t, s)
}

// everything is a tree with an entry of each kind.
func everything(t *testing.T, s *Store) tree.Tree {
	t.Helper()
	dir := tree.Entry{Type: tree.Dir, Mode: 0o755, MTime: 1e9}
	capable := map[string]string{"security.capability": "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"}
	tr := tree.Tree{
		".": dir, "d": dir, "d/sticky": {Type: tree.Dir, Mode: 0o1777, UID: 1, GID: 2, MTime: 5},
		"d/closed": {Type: tree.Dir, Mode: 0o000, MTime: 6}, "d/closed/in": add(t, s, "in", tree.Entry{Mode: 0o600}),
		"setuid": add(t, s, "s", tree.Entry{Mode: 0o4711, UID: 9, GID: 9, MTime: 7}),
		"ping":   add(t, s, "p", tree.Entry{Mode: 0o755, UID: 9, Xattrs: capable}),
		"null":   {Type: tree.Char, Mode: 0o666, Dev: [2]uint32{1, 3}, MTime: 8}, "disk": {Type: tree.Block, Mode: 0o660, GID: 6, Dev: [2]uint32{259, 300}, MTime: 9},
		"fifo": {Type: tree.Fifo, Mode: 0o622, MTime: 10}, "link": {Type: tree.Symlink, Mode: 0o777, UID: 4, Link: "no/where", MTime: 11},
	}
	return tr
}

// scan reads a directory as a tree.
func scan(t *testing.T, dir string) tree.Tree {
	t.Helper()
	got := tree.Tree{}
	if err := tree.Scan(dir, func(p string, e *tree.Entry) error {
		if e.Type == tree.Regular {
			data, err := os.ReadFile(filepath.Join(dir, p))
			if err != nil {
				return err
			}
			e.Digest = Sum(data)
		}
		got[p] = *e
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return got
}

func same2(t *testing.T, got, want tree.Tree) {
	t.Helper()
	if g, w := string(got.Encode()), string(want.Encode()); g != w {
		t.Errorf("got\n%swant\n%s", g, w)
	}
}

func TestAssemble(t *testing.T) {
	s := open(t)
	want := everything(t, s)
	dir := t.TempDir()
	if err := s.Assemble(want, dir); err != nil {
		t.Fatal(err)
	}
	same2(t, scan(t, dir), want)
	if names := links(t, filepath.Join(dir, "setuid")); names != 2 {
		t.Errorf("assembled: %d names, want 2, the store's and its own", names)
	}
	kept := filepath.Join(t.TempDir(), "keep")
	if err := s.Copy(want, kept); err != nil {
		t.Fatal(err)
	}
	same2(t, scan(t, kept), want)
	if names := links(t, filepath.Join(kept, "setuid")); names != 1 {
		t.Errorf("copied: %d names, want 1", names)
	}
	root, err := s.Root(t.Context(), want)
	if err != nil {
		t.Fatal(err)
	}
	same2(t, scan(t, root), want)
	if again, err := s.Root(t.Context(), want); again != root || err != nil {
		t.Errorf("Root again = %s, %v, want %s", again, err, root)
	}
	noTemp(t, s)
}

// A directory that was put together elsewhere becomes the root of its tree, unless there is one.
func TestAdoptRoot(t *testing.T) {
	s := open(t)
	want := everything(t, s)
	d := Sum(want.Encode())
	if dir, ok := s.FindRoot(d); ok {
		t.Errorf("found %s before there was one", dir)
	}
	tmp, release, err := s.TempDir("test")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"one", "two"} {
		if err := os.Mkdir(filepath.Join(tmp, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := s.Assemble(want, filepath.Join(tmp, name)); err != nil {
			t.Fatal(err)
		}
		at, err := s.AdoptRoot(filepath.Join(tmp, name), d)
		if err != nil {
			t.Fatal(err)
		}
		if root, err := s.Root(t.Context(), want); root != at || err != nil {
			t.Errorf("Root = %s, %v; want %s, which was adopted", root, err, at)
		}
		same2(t, scan(t, at), want)
	}
	if _, err := s.AdoptRoot(filepath.Join(tmp, "none"), Sum(nil)); err == nil {
		t.Error("a directory that is not there was adopted")
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
}

func links(t *testing.T, p string) uint64 {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Stat(p, &st); err != nil {
		t.Fatal(err)
	}
	return uint64(st.Nlink)
}

// Change makes one tree of another in place, whatever became of what.
func TestChange(t *testing.T) {
	s := open(t)
	from := everything(t, s)
	to := from.Clone()
	delete(to, "d/closed")
	delete(to, "d/closed/in")
	to["setuid"] = tree.Entry{Type: tree.Dir, Mode: 0o700, MTime: 3}
	to["setuid/new"] = add(t, s, "new", tree.Entry{Mode: 0o644})
	to["d/sticky"] = tree.Entry{Type: tree.Symlink, Mode: 0o777, Link: "/"}
	to["null"] = add(t, s, "file", tree.Entry{Mode: 0o600})
	dir := t.TempDir()
	if err := s.Assemble(from, dir); err != nil {
		t.Fatal(err)
	}
	if err := s.Change(dir, from, to); err != nil {
		t.Fatal(err)
	}
	same2(t, scan(t, dir), to)
	if err := s.Change(dir, to, from); err != nil {
		t.Fatal(err)
	}
	same2(t, scan(t, dir), from)
}

func TestAssembleMissing(t *testing.T) {
	s := open(t)
	e := tree.Entry{Type: tree.Regular, Digest: Sum(nil)}
	err := s.Assemble(tree.Tree{"a": e}, t.TempDir())
	if !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "assemble a: ") {
		t.Errorf("Assemble: %v", err)
	}
}

// A file system gives a file only so many names (ext4 65,000, btrfs fewer in one directory); then there is a copy.
func TestLinkFallBack(t *testing.T) {
	s := open(t)
	e := add(t, s, "much wanted", tree.Entry{Mode: 0o640, MTime: 3})
	p := filepath.Join(t.TempDir(), "copy")
	if err := s.copyFile(e, p); err != nil {
		t.Fatal(err)
	}
	got, _, err := tree.Stat(p)
	if data, _ := os.ReadFile(p); err != nil || !got.SameOwnership(e) || got.MTime != e.MTime || string(data) != "much wanted" {
		t.Errorf("copy: %+v %q, %v", got, data, err)
	}
}

// Notes of a batch are not there before Commit, and then all are.
func TestBatch(t *testing.T) {
	s := open(t)
	b := s.Batch()
	for _, key := range []string{"b", "a"} {
		if err := b.Set("kind", key, map[string]string{"v": key}); err != nil {
			t.Fatal(err)
		}
	}
	var v map[string]string
	if err := s.Note("kind", "a", &v); !errors.Is(err, ErrNotFound) {
		t.Errorf("before Commit: %v, %v", v, err)
	}
	if err := b.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := s.Note("kind", "a", &v); err != nil || v["v"] != "a" {
		t.Errorf("after Commit: %v, %v", v, err)
	}
	if keys, err := s.Notes("kind"); err != nil || fmt.Sprint(keys) != "[a b]" {
		t.Errorf("Notes = %v, %v", keys, err)
	}
	if err := errors.Join(s.DropNote("kind", "a"), s.DropNote("kind", "a")); err != nil {
		t.Errorf("DropNote, twice: %v", err)
	}
	for _, bad := range []string{"", ".", "..", ".x", "a/b", "../x"} {
		if err := b.Set("kind", bad, 1); err == nil {
			t.Errorf("Set(%q) was allowed", bad)
		}
	}
}

// A note that speaks of nothing else is there at once, and replaces the one before.
func TestRemember(t *testing.T) {
	s := open(t)
	for _, want := range []string{"old", "new"} {
		if err := s.Remember("kind", "a", want); err != nil {
			t.Fatal(err)
		}
		var got string
		if err := s.Note("kind", "a", &got); err != nil || got != want {
			t.Errorf("got %q, %v; want %q", got, err, want)
		}
	}
	if err := s.Remember("kind", "../x", 1); err == nil {
		t.Error("a key that leaves the directory was allowed")
	}
}

// A tree comes back as it went in; one whose blob is damaged does not come back at all.
func TestTree(t *testing.T) {
	s := open(t)
	want := everything(t, s)
	d, err := s.PutTree(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Tree(d)
	if err != nil {
		t.Fatal(err)
	}
	same2(t, got, want)
	data, _ := os.ReadFile(s.BlobPath(d))
	data[len(data)-2] ^= 1
	if err := os.WriteFile(s.BlobPath(d), data, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Tree(d); !errors.Is(err, ErrDigest) {
		t.Errorf("damaged: %v", err)
	}
}

func TestWriteFile(t *testing.T) {
	p := filepath.Join(t.TempDir(), "f")
	for _, content := range []string{"one", "two"} {
		if err := WriteFile(p, []byte(content), 0o640); err != nil {
			t.Fatal(err)
		}
		fi, err := os.Stat(p)
		if data, _ := os.ReadFile(p); err != nil || string(data) != content || fi.Mode() != 0o640 {
			t.Errorf("got %q, %v, %v", data, fi, err)
		}
	}
	if des, err := os.ReadDir(filepath.Dir(p)); err != nil || len(des) != 1 {
		t.Errorf("beside it: %v, %v", des, err)
	}
}

// A process of its own takes a lock, or works in a directory, until it is killed: see TestMain.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "hold" {
		s, err := Open(os.Args[2])
		if err != nil {
			panic(err)
		}
		dir, _, err := s.TempDir("work")
		if err != nil {
			panic(err)
		}
		if _, err := s.Lock(context.Background(), "lock", nil); err != nil {
			panic(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "half"), nil, 0o644); err != nil {
			panic(err)
		}
		fmt.Println(dir)
		io.Copy(io.Discard, os.Stdin) // until it is killed
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func TestOtherProcess(t *testing.T) {
	s := open(t)
	cmd := exec.Command(os.Args[0], "hold", s.Dir())
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 4096)
	n, err := out.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	dir := strings.TrimSpace(string(line[:n]))

	// While it lives its directory stays, and its lock is its own.
	if _, err := Open(s.Dir()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "half")); err != nil {
		t.Errorf("swept while in use: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := s.Lock(ctx, "lock", cancel); !errors.Is(err, context.Canceled) {
		t.Errorf("Lock that another process has: %v", err)
	}

	// Then both are anybody's. Of many that sweep at the same time, none fails.
	cmd.Process.Kill()
	cmd.Wait()
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			if _, err := Open(s.Dir()); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	noTemp(t, s)
	unlock, err := s.Lock(t.Context(), "lock", func() { t.Error("had to wait for a lock of nobody") })
	if err != nil {
		t.Fatal(err)
	}
	if err := unlock(); err != nil {
		t.Error(err)
	}
}

func TestLock(t *testing.T) {
	s := open(t)
	n, most := 0, 0
	var mu sync.Mutex
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			unlock, err := s.Lock(t.Context(), "x", nil)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			n++
			most = max(most, n)
			mu.Unlock()
			mu.Lock()
			n--
			mu.Unlock()
			if err := unlock(); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if most != 1 {
		t.Errorf("%d had the lock at once", most)
	}
}

// Files that were left go, those that somebody is at work on stay, whatever time they have: one that is about to get its
// name in the store has that of the package's file already.
func TestSweep(t *testing.T) {
	s := open(t)
	names := []string{"blob-1", "file-1", "partial-1"}
	for _, name := range names {
		p := s.path("tmp", name)
		if err := errors.Join(os.WriteFile(p, nil, 0o600), os.Chtimes(p, time.Unix(1e9, 0), time.Unix(1e9, 0))); err != nil {
			t.Fatal(err)
		}
	}
	left := func() (left []string) {
		des, err := os.ReadDir(s.path("tmp"))
		if err != nil {
			t.Fatal(err)
		}
		for _, de := range des {
			left = append(left, de.Name())
		}
		return left
	}
	if _, err := Open(s.Dir()); err != nil {
		t.Fatal(err)
	}
	if got := left(); !slices.Equal(got, names) {
		t.Errorf("left %v, want all of %v", got, names)
	}
	if err := s.sweep(time.Now().Add(tmpAge - time.Hour)); err != nil {
		t.Fatal(err)
	}
	if got := left(); !slices.Equal(got, names) {
		t.Errorf("left %v an hour before their time, want all of %v", got, names)
	}
	if err := s.sweep(time.Now().Add(tmpAge + time.Hour)); err != nil {
		t.Fatal(err)
	}
	if got := left(); len(got) > 0 {
		t.Errorf("left %v", got)
	}
}

// An ordinary user can't remove what a killed bake of his left of files of other ids, outside of the user
// namespace; that must not keep him from anything.
func TestSweepOfOthers(t *testing.T) {
	s := open(t)
	dir := s.path("tmp", "bake-1.dir")
	for _, err := range []error{
		exec.Command("chown", "-R", "4711:4711", s.Dir()).Run(), os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, "f"), nil, 0o600),
		os.WriteFile(dir+lockSuffix, nil, 0o600), os.Chown(dir+lockSuffix, 4711, 4711), os.Chmod(filepath.Dir(s.Dir()), 0o755),
		os.Chmod(filepath.Dir(filepath.Dir(s.Dir())), 0o755),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	bin := filepath.Join(filepath.Dir(s.Dir()), "test")
	data, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(bin, data, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin, "-test.run=^TestSweepAsUser$", "-test.v")
	cmd.Env = append(os.Environ(), "SWEEP_HOME="+s.Dir())
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 4711, Gid: 4711}}
	if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("PASS: TestSweepAsUser")) {
		t.Errorf("as another user: %v\n%s", err, out)
	}
}

// TestSweepAsUser is what TestSweepOfOthers runs as another user; alone it opens a home of its own.
func TestSweepAsUser(t *testing.T) {
	home := os.Getenv("SWEEP_HOME")
	if home == "" {
		home = t.TempDir()
	}
	if _, err := Open(home); err != nil {
		t.Error(err)
	}
}

// A file that another process left damaged goes into nothing new, and does not stay.
func TestDamagedFile(t *testing.T) {
	s := open(t)
	e := tree.Entry{Type: tree.Regular, Mode: 0o644, Size: 5, MTime: 1e9}
	if err := s.AddFile(&e, strings.NewReader("hello"), nil); err != nil {
		t.Fatal(err)
	}
	later, err := Open(s.Dir()) // as another process, which did not write it
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.filePath(e), []byte("hellO"), 0o644); err != nil {
		t.Fatal(err)
	}
	r, err := later.OpenVerifiedFile(e)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.Copy(io.Discard, r); !errors.Is(err, ErrDigest) {
		t.Errorf("read: %v, want ErrDigest", err)
	}
	if err := later.HasFiles(tree.Tree{"f": e}); !errors.Is(err, ErrNotFound) {
		t.Errorf("the damaged file is still in its place: %v", err)
	}
}
