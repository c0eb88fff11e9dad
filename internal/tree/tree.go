// Package tree is the file tree: what an image, a layer or a root directory holds, as data.
//
// Layers, images, instances and drift are all trees, and everything that compares them compares
// here. The package imports nothing of ours and, but for Scan, touches no disk.
package tree

import (
	"maps"
	"slices"
	"strings"
)

// A Digest is "sha256:" and 64 lower-case hex digits.
type Digest string

// Hex is the digest without its algorithm.
func (d Digest) Hex() string { return strings.TrimPrefix(string(d), "sha256:") }

// A Type is the kind of an entry.
type Type byte

// The types of entries. Whiteout stands only in a tree that is a layer: it takes the path away.
const (
	Regular  Type = 'f'
	Dir      Type = 'd'
	Symlink  Type = 'l'
	Char     Type = 'c'
	Block    Type = 'b'
	Fifo     Type = 'p'
	Whiteout Type = 'w'
)

// An Entry is one thing at one path.
type Entry struct {
	Type     Type
	Mode     uint32 // permission, setuid, setgid and sticky bits: 07777
	UID, GID uint32
	MTime    int64             // seconds since 1970
	Size     int64             // Regular: bytes
	Digest   Digest            // Regular: of the content
	Link     string            // Symlink: what it says, as it is
	Dev      [2]uint32         // Char, Block: major, minor
	Xattrs   map[string]string // name → value, raw bytes; nil when there are none
	Opaque   bool              // Dir in a layer: what lower layers have below it is gone
	Hard     string            // Regular: path of an earlier name of the same file, else ""
}

// A Tree maps paths to entries. A path is relative to the root, clean, without a leading slash; the
// root itself is ".".
type Tree map[string]Entry

// Paths returns all paths, sorted by bytes; a directory comes before what is in it.
func (t Tree) Paths() []string { return slices.Sorted(maps.Keys(t)) }

// Size is the sum of the sizes of all regular files, in bytes; other names of a file count once.
func (t Tree) Size() int64 {
	var n int64
	for _, e := range t {
		if e.Hard == "" {
			n += e.Size
		}
	}
	return n
}

// Equal says whether two entries are the same but for their modification times. Hard is not
// compared: which name of a file came first is not a property of the file.
func (e Entry) Equal(f Entry) bool {
	return e.SameContent(f) && e.SameOwnership(f)
}

// SameContent compares what is there: type, bytes, link target, device, opacity.
func (e Entry) SameContent(f Entry) bool {
	return e.Type == f.Type && e.Size == f.Size && e.Digest == f.Digest && e.Link == f.Link &&
		e.Dev == f.Dev && e.Opaque == f.Opaque
}

// SameOwnership compares mode, owner, group and extended attributes. The mode of a symbolic link
// means nothing on Linux and is not compared.
func (e Entry) SameOwnership(f Entry) bool {
	return (e.Mode == f.Mode || e.Type == Symlink) && e.UID == f.UID && e.GID == f.GID && maps.Equal(e.Xattrs, f.Xattrs)
}

// Parent returns the path of the directory that p is in; that of "." is ".".
func Parent(p string) string {
	if i := strings.LastIndexByte(p, '/'); i >= 0 {
		return p[:i]
	}
	return "."
}

// Apply puts layer on top of t, as the OCI image specification ("Applying Changesets") has it: a
// whiteout takes a path and all below it away, an opaque directory empties what was there, anything
// but a directory over a directory replaces it whole.
func (t Tree) Apply(layer Tree) {
	gone := map[string]bool{} // paths whose old content goes, with all below
	for p, e := range layer {
		old, ok := t[p]
		if ok && old.Type == Dir && (e.Type != Dir || e.Opaque) {
			gone[p] = true
		}
	}
	if len(gone) > 0 {
		maps.DeleteFunc(t, func(p string, _ Entry) bool { return below(p, gone) })
	}
	for p, e := range layer {
		if e.Type == Whiteout {
			delete(t, p)
			continue
		}
		e.Opaque = false
		t[p] = e
	}
	t.mendHard()
}

// below says whether p lies under one of dirs; a directory does not lie under itself.
func below(p string, dirs map[string]bool) bool {
	for p != "." {
		p = Parent(p)
		if dirs[p] {
			return true
		}
	}
	return false
}

// mendHard forgets other names of a file where the first name is gone or has become another file.
func (t Tree) mendHard() {
	for p, e := range t {
		if e.Hard == "" {
			continue
		}
		if first, ok := t[e.Hard]; !ok || first.Hard != "" || !first.Equal(e) || first.MTime != e.MTime {
			e.Hard = ""
			t[p] = e
		}
	}
}

// Diff returns the layer that makes to out of from: entries that are new or other, their parents
// when those are directories that changed, and whiteouts for what is gone. A whiteout stands only at
// the topmost path of what is gone. Times alone count as a change, but not those of directories.
func Diff(from, to Tree) Tree {
	layer := Tree{}
	for p, e := range to {
		old, ok := from[p]
		if !ok || !e.Equal(old) || (e.MTime != old.MTime && e.Type != Dir) {
			layer[p] = e
		}
	}
	for p := range from {
		if _, ok := to[p]; ok {
			continue
		}
		if d := Parent(p); p != "." && (d == "." || to[d].Type == Dir) {
			layer[p] = Entry{Type: Whiteout}
		}
	}
	layer.mendHard()
	return layer
}

// WithParents adds to the layer t, from root, every directory above an entry of t that t lacks, so
// that unpacking the layer alone gives its directories their owner and mode.
func (t Tree) WithParents(root Tree) {
	for _, p := range slices.Collect(maps.Keys(t)) {
		for p != "." {
			p = Parent(p)
			if _, ok := t[p]; ok {
				break
			}
			if e, ok := root[p]; ok {
				t[p] = e
			}
		}
	}
}

// Clone returns a copy that can be changed without changing t.
func (t Tree) Clone() Tree { return maps.Clone(t) }

// maxLinks bounds how many symbolic links Resolve follows, as the kernel does (ELOOP at 40).
const maxLinks = 40

// Resolve returns where path p leads in t when every directory on the way, but not the last
// component, may be a symbolic link. Components that do not exist are kept as they are. Links can't
// lead out of the root: ".." there stays at the root. ok is false when the links go in a circle.
func (t Tree) Resolve(p string) (resolved string, ok bool) {
	return t.resolve(p, false)
}

// ResolveAll is Resolve that follows the last component, too.
func (t Tree) ResolveAll(p string) (resolved string, ok bool) {
	return t.resolve(p, true)
}

func (t Tree) resolve(p string, last bool) (string, bool) {
	rest := strings.Split(p, "/")
	var done []string
	links := 0
	for len(rest) > 0 {
		c := rest[0]
		rest = rest[1:]
		switch c {
		case "", ".":
			continue
		case "..":
			done = done[:max(0, len(done)-1)]
			continue
		}
		done = append(done, c)
		if len(rest) == 0 && !last {
			break
		}
		e := t[strings.Join(done, "/")]
		if e.Type != Symlink {
			continue
		}
		if links++; links > maxLinks {
			return "", false
		}
		done = done[:len(done)-1]
		if strings.HasPrefix(e.Link, "/") {
			done = nil
		}
		rest = append(strings.Split(e.Link, "/"), rest...)
	}
	if len(done) == 0 {
		return ".", true
	}
	return strings.Join(done, "/"), true
}
