package tarball

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"brickyard/internal/tree"
)

// Errors that Read gives about what a stream holds.
var (
	ErrPath  = errors.New("unsafe path")
	ErrLimit = errors.New("more than an image may hold")
)

// Limits bounds what Read takes from a stream. Zero means the default.
type Limits struct {
	Entries int   // default 2,000,000
	Bytes   int64 // of all contents; default 256 GiB
	NoLayer bool  // the stream is a root file system: a whiteout is a *WhiteoutError
}

// A WhiteoutError is something that would be called .wh.NAME. In a layer that says that NAME is gone, so no image can
// have it.
type WhiteoutError struct{ Path string }

func (e *WhiteoutError) Error() string {
	return fmt.Sprintf("%s: no image can have a name that begins with %s: in a layer it says what is gone", e.Path, whiteoutPrefix)
}

// Hint says what to do.
func (e *WhiteoutError) Hint() string {
	return "give it another name or leave it out; if this is the tar of a layer, take one of the whole root file system"
}

// Read reads a layer or a root file system. For each entry, in the stream's order, add is called with
// its cleaned path; r is the content of a regular file, whose Digest is for add to find out and set. It
// returns the tree of all entries, whiteouts and opaque directories included. A later entry for a path
// replaces an earlier one. Nothing in the result leaves the root: links say whatever they say, but a
// path that leads through one that the same stream made is refused.
//
// Errors: ErrPath, ErrLimit, *WhiteoutError, those of add, of r, and of archive/tar.
func Read(r io.Reader, lim Limits, add func(path string, e *tree.Entry, r io.Reader) error) (tree.Tree, error) {
	if lim.Entries == 0 {
		lim.Entries = 2_000_000
	}
	if lim.Bytes == 0 {
		lim.Bytes = 256 << 30
	}
	t := tree.Tree{}
	tr := tar.NewReader(r)
	for n := 0; ; n++ {
		h, err := tr.Next()
		if err == io.EOF {
			return t, drain(r)
		}
		if err != nil {
			return nil, fmt.Errorf("tar: %w", err)
		}
		if lim.Bytes -= h.Size; n >= lim.Entries || lim.Bytes < 0 {
			return nil, fmt.Errorf("tar %s: %w", h.Name, ErrLimit)
		}
		if base := path.Base(h.Name); lim.NoLayer && strings.HasPrefix(base, whiteoutPrefix) {
			return nil, &WhiteoutError{h.Name}
		}
		if err := readEntry(t, h, tr, add); err != nil {
			return nil, fmt.Errorf("tar %s: %w", h.Name, err)
		}
	}
}

// drain reads what follows the end of the archive, so that whoever hashes or verifies r sees all of it.
func drain(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}

func readEntry(t tree.Tree, h *tar.Header, r io.Reader, add func(string, *tree.Entry, io.Reader) error) error {
	p, err := clean(h.Name)
	if err != nil {
		return err
	}
	if p == "" {
		p = "."
	}
	if err := checkParents(t, p); err != nil {
		return err
	}
	if base := path.Base(p); strings.HasPrefix(base, whiteoutPrefix) {
		return readWhiteout(t, p, base)
	}
	e, err := entry(t, h)
	if err != nil {
		return err
	}
	if p == "." && e.Type != tree.Dir {
		return fmt.Errorf("%w: the root is not a directory", ErrPath)
	}
	e.Opaque = t[p].Opaque
	if e.Type == tree.Regular && e.Hard == "" {
		if err := add(p, &e, r); err != nil {
			return err
		}
	}
	t[p] = e
	return nil
}

// checkParents refuses a path below something that this stream said is no directory.
func checkParents(t tree.Tree, p string) error {
	for d := tree.Parent(p); d != "."; d = tree.Parent(d) {
		if e, ok := t[d]; ok && e.Type != tree.Dir {
			return fmt.Errorf("%w: %s is not a directory", ErrPath, d)
		}
	}
	return nil
}

func readWhiteout(t tree.Tree, p, base string) error {
	dir := tree.Parent(p)
	if base == opaqueMarker {
		e, ok := t[dir]
		if !ok {
			e = tree.Entry{Type: tree.Dir, Mode: 0o755}
		}
		e.Opaque = true
		t[dir] = e
		return nil
	}
	name := strings.TrimPrefix(base, whiteoutPrefix)
	if name == "" || name == "." || name == ".." {
		return fmt.Errorf("%w: whiteout of nothing", ErrPath)
	}
	gone := path.Join(dir, name)
	if _, ok := t[gone]; !ok {
		t[gone] = tree.Entry{Type: tree.Whiteout}
	}
	return nil
}

func entry(t tree.Tree, h *tar.Header) (tree.Entry, error) {
	e := tree.Entry{Mode: uint32(h.Mode) & 07777, UID: uint32(h.Uid), GID: uint32(h.Gid), MTime: h.ModTime.Unix()}
	if h.Uid < 0 || h.Gid < 0 || int64(h.Uid) > 1<<32-2 || int64(h.Gid) > 1<<32-2 {
		return e, fmt.Errorf("owner %d:%d is not one", h.Uid, h.Gid)
	}
	for k, v := range h.PAXRecords {
		if name, ok := strings.CutPrefix(k, xattrPrefix); ok {
			if e.Xattrs == nil {
				e.Xattrs = map[string]string{}
			}
			e.Xattrs[name] = v
		}
	}
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeGNUSparse:
		e.Type, e.Size = tree.Regular, h.Size
	case tar.TypeDir:
		e.Type = tree.Dir
	case tar.TypeSymlink:
		e.Type, e.Link, e.Mode = tree.Symlink, h.Linkname, 0o777
		if h.Linkname == "" {
			return e, fmt.Errorf("%w: symbolic link to nothing", ErrPath)
		}
	case tar.TypeLink:
		return hardLink(t, h)
	case tar.TypeChar, tar.TypeBlock:
		e.Type = tree.Char
		if h.Typeflag == tar.TypeBlock {
			e.Type = tree.Block
		}
		e.Dev = [2]uint32{uint32(h.Devmajor), uint32(h.Devminor)}
	case tar.TypeFifo:
		e.Type = tree.Fifo
	default:
		return e, fmt.Errorf("type %q is none that an image holds", h.Typeflag)
	}
	return e, nil
}

// hardLink is the entry that an earlier one of the stream has under another name.
func hardLink(t tree.Tree, h *tar.Header) (tree.Entry, error) {
	target, err := clean(h.Linkname)
	if err != nil {
		return tree.Entry{}, err
	}
	e, ok := t[target]
	if !ok || e.Type == tree.Dir || e.Type == tree.Whiteout {
		return e, fmt.Errorf("%w: hard link to %q, which the archive has no file for", ErrPath, h.Linkname)
	}
	if e.Type == tree.Regular && e.Hard == "" {
		e.Hard = target
	}
	return e, nil
}
