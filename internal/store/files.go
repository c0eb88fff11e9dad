package store

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"

	"brickyard/internal/tree"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// smallFile is the size up to which a file is held in memory to know its name before it is written.
const smallFile = 1 << 20

// fileKey names a file by everything a hard link shares: content, mode, owner, group, time and attributes.
func fileKey(e tree.Entry) string {
	b := make([]byte, 0, 128)
	b = append(b, e.Digest...)
	b = append(b, ' ')
	b = strconv.AppendUint(b, uint64(e.Mode), 8)
	for _, n := range []int64{int64(e.UID), int64(e.GID), e.MTime} {
		b = append(b, ' ')
		b = strconv.AppendInt(b, n, 10)
	}
	for _, name := range slices.Sorted(maps.Keys(e.Xattrs)) {
		b = fmt.Appendf(b, " %q=%q", name, e.Xattrs[name])
	}
	return Sum(b).Hex()
}

func (s *Store) filePath(e tree.Entry) string {
	k := fileKey(e)
	return s.path("files", k[:2], k[2:])
}

// AddFile writes the content r, of e.Size bytes, as a file of the store with the owner, mode, times and
// attributes of e, and sets e.Digest. buf is scratch space, reused by the caller between calls; it
// may be nil.
func (s *Store) AddFile(e *tree.Entry, r io.Reader, buf *bytes.Buffer) error {
	if e.Size > smallFile {
		return s.addLarge(e, r)
	}
	if buf == nil {
		buf = new(bytes.Buffer)
	}
	buf.Reset()
	n, err := buf.ReadFrom(io.LimitReader(r, e.Size+1))
	if err != nil {
		return err
	}
	if n != e.Size {
		return fmt.Errorf("%w: %d bytes announced, other than what is there", ErrDigest, e.Size)
	}
	e.Digest = Sum(buf.Bytes())
	dst := s.filePath(*e)
	err = writeNew(dst, *e, buf.Bytes())
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(filepath.Dir(dst), 0o755); err == nil {
			err = writeNew(dst, *e, buf.Bytes())
		}
	}
	if !errors.Is(err, fs.ErrExist) || same(dst, *e, buf.Bytes()) {
		s.fresh.Store(fileKey(*e), true)
		return ignoreExist(err)
	}
	f, err := os.CreateTemp(s.path("tmp"), "file-")
	if err != nil {
		return err
	}
	_, err = f.Write(buf.Bytes())
	return s.finish(f, *e, dst, err)
}

func ignoreExist(err error) error {
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// writeNew writes a file in its place at once: whoever finds it half-written, after a crash or while
// it is being written, sees that it is not the same, and puts a whole one in its place. System calls are
// made directly: an image has ten thousand small files, and package os makes two more for each.
func writeNew(p string, e tree.Entry, data []byte) error {
	fd, err := unix.Open(p, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return &os.PathError{Op: "create", Path: p, Err: err}
	}
	for len(data) > 0 && err == nil {
		var n int
		n, err = unix.Write(fd, data)
		data = data[max(0, n):]
		if err == unix.EINTR {
			err = nil
		}
	}
	if err != nil {
		err = &os.PathError{Op: "write", Path: p, Err: err}
	} else {
		err = tree.SetMeta(p, e)
	}
	if cerr := unix.Close(fd); err == nil && cerr != nil {
		err = &os.PathError{Op: "close", Path: p, Err: cerr}
	}
	if err != nil {
		os.Remove(p)
	}
	return err
}

func (s *Store) addLarge(e *tree.Entry, r io.Reader) error {
	f, err := os.CreateTemp(s.path("tmp"), "file-")
	if err != nil {
		return err
	}
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, h), io.LimitReader(r, e.Size+1))
	if err == nil && n != e.Size {
		err = fmt.Errorf("%w: %d bytes announced, other than what is there", ErrDigest, e.Size)
	}
	e.Digest = digestOf(h)
	return s.finish(f, *e, s.filePath(*e), err)
}

// finish gives the temporary file f its owner, mode, times and name, or throws it away when err is set.
func (s *Store) finish(f *os.File, e tree.Entry, dst string, err error) error {
	if err == nil {
		err = tree.SetMeta(f.Name(), e)
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), dst)
	}
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(filepath.Dir(dst), 0o755); err == nil {
			err = os.Rename(f.Name(), dst)
		}
	}
	if err != nil {
		os.Remove(f.Name())
		return err
	}
	s.fresh.Store(fileKey(e), true)
	return nil
}

// same says whether the file at p is what e and data say: a crash may have left another.
func same(p string, e tree.Entry, data []byte) bool {
	got, _, err := tree.Stat(p)
	if err != nil || got.Size != e.Size || !got.SameOwnership(e) || got.MTime != e.MTime {
		return false
	}
	there, err := os.ReadFile(p)
	return err == nil && bytes.Equal(there, data)
}

// OpenFile opens the content of a regular file that was added. Errors: ErrNotFound.
func (s *Store) OpenFile(e tree.Entry) (*os.File, error) {
	f, err := os.Open(s.filePath(e))
	if err != nil {
		return nil, notFound(err, e.Digest)
	}
	return f, nil
}

// OpenVerifiedFile is OpenFile for content that goes into something new. A file that was there before this
// process is hashed as it is read: one that is damaged, which Read reports as ErrDigest in place of io.EOF,
// goes to the trash.
func (s *Store) OpenVerifiedFile(e tree.Entry) (io.ReadCloser, error) {
	f, err := s.OpenFile(e)
	if err != nil {
		return nil, err
	}
	if _, ok := s.fresh.Load(fileKey(e)); ok {
		return f, nil
	}
	return &verifier{f: f, want: e.Digest, hash: sha256.New(), damaged: func() {
		os.Rename(s.filePath(e), s.path("trash", "damaged-file-"+fileKey(e)))
	}}, nil
}

// HasFiles says whether all regular files of t can be linked. Errors: ErrNotFound.
func (s *Store) HasFiles(t tree.Tree) error {
	var files []string
	for p, e := range t {
		if e.Type == tree.Regular {
			files = append(files, p)
		}
	}
	// Looking for ten thousand files is most of what a bake does that finds its packages done.
	var g errgroup.Group
	for part := range slices.Chunk(files, 1+len(files)/runtime.GOMAXPROCS(0)) {
		g.Go(func() error {
			for _, p := range part {
				if !s.HasFile(t[p]) {
					return fmt.Errorf("file %s: %w", p, ErrNotFound)
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// HasFile says whether the regular file e can be linked.
func (s *Store) HasFile(e tree.Entry) bool {
	var st unix.Stat_t
	return unix.Lstat(s.filePath(e), &st) == nil
}

// Assemble makes the tree t below dir, which must be there and empty: regular files by hard links,
// everything else anew. Errors name the path in t.
func (s *Store) Assemble(t tree.Tree, dir string) error { return s.Change(dir, tree.Tree{}, t) }

// Copy is Assemble for a directory in which people may write, or that is on another file system: it shares
// no file with the store.
func (s *Store) Copy(t tree.Tree, dir string) error { return s.change(dir, tree.Tree{}, t, s.copyFile) }

// Change makes what the tree from stands for below dir into to, touching only what differs. Nobody else may
// use dir meanwhile. After an error, dir is neither.
func (s *Store) Change(dir string, from, to tree.Tree) error { return s.change(dir, from, to, s.link) }

// change is Change that makes regular files by calling regular.
func (s *Store) change(dir string, from, to tree.Tree, regular func(e tree.Entry, p string) error) error {
	layer := tree.Diff(from, to)
	paths := layer.Paths()
	touched := map[string]bool{} // directories whose owner, mode and time are to be set in the end
	for _, p := range paths {
		e, at := layer[p], filepath.Join(dir, p)
		if old, ok := from[p]; ok && (e.Type != tree.Dir || old.Type != tree.Dir) {
			if err := removeTree(at); err != nil {
				return fmt.Errorf("assemble %s: %w", p, err)
			}
		}
		touched[tree.Parent(p)] = true
		if e.Type == tree.Whiteout {
			continue
		}
		if e.Type == tree.Dir {
			touched[p] = true
		}
		if err := s.make(e, at, regular); err != nil {
			return fmt.Errorf("assemble %s: %w", p, err)
		}
	}
	for p := range touched {
		if e, ok := to[p]; ok && e.Type == tree.Dir {
			if err := tree.SetMeta(filepath.Join(dir, p), e); err != nil {
				return fmt.Errorf("assemble %s: %w", p, err)
			}
		}
	}
	return nil
}

// make makes e at p. A directory gets its owner, mode and time later: linking into it changes the time.
func (s *Store) make(e tree.Entry, p string, regular func(e tree.Entry, p string) error) error {
	switch e.Type {
	case tree.Regular:
		return regular(e, p)
	case tree.Dir:
		if err := os.Mkdir(p, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		return nil
	case tree.Symlink:
		if err := os.Symlink(e.Link, p); err != nil {
			return err
		}
	case tree.Fifo:
		if err := unix.Mkfifo(p, 0o600); err != nil {
			return err
		}
	case tree.Char, tree.Block:
		kind := uint32(unix.S_IFCHR)
		if e.Type == tree.Block {
			kind = unix.S_IFBLK
		}
		if err := unix.Mknod(p, kind|0o600, int(unix.Mkdev(e.Dev[0], e.Dev[1]))); err != nil {
			return err
		}
	default:
		return fmt.Errorf("type %q can't be made", e.Type)
	}
	return tree.SetMeta(p, e)
}

// link links the file e to p, or copies it when the file system allows it no more names.
func (s *Store) link(e tree.Entry, p string) error {
	err := os.Link(s.filePath(e), p)
	switch {
	case errors.Is(err, unix.EMLINK):
		return s.copyFile(e, p)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s: %w", e.Digest, ErrNotFound)
	}
	return err
}

func (s *Store) copyFile(e tree.Entry, p string) error {
	src, err := s.OpenFile(e)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(p, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	if err := errors.Join(err, dst.Close()); err != nil {
		return err
	}
	return tree.SetMeta(p, e)
}

// removeTree is os.RemoveAll for trees that hold directories without write permission.
func removeTree(dir string) error {
	if err := os.RemoveAll(dir); err == nil {
		return nil
	}
	filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			os.Chmod(p, 0o700)
		}
		return nil
	})
	return os.RemoveAll(dir)
}
