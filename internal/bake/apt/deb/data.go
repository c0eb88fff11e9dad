package deb

import (
	"archive/tar"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"path"
	"strings"
)

// A Type is the kind of an entry. The letters are those of package tree.
type Type byte

// The types of entries.
const (
	Regular  Type = 'f'
	Dir      Type = 'd'
	Symlink  Type = 'l'
	HardLink Type = 'h'
	Char     Type = 'c'
	Block    Type = 'b'
	Fifo     Type = 'p'
)

// An Entry is one thing that the package puts below the root.
type Entry struct {
	Path         string // clean and relative to the root: "usr/bin/x"; the root itself is "."
	Type         Type
	Mode         uint32 // permission, setuid, setgid and sticky bits: 07777
	UID, GID     uint32
	User, Group  string            // names, where the archive has them: dpkg prefers them to the numbers
	MTime        int64             // seconds since 1970
	Size         int64             // Regular: bytes
	Link         string            // Symlink: what it says, as it is; HardLink: path of the first name of the file
	Major, Minor uint32            // Char, Block
	Xattrs       map[string]string // name → value, raw bytes; nil when there are none
}

// A DataReader reads the entries of data.tar one after another. It is for one goroutine.
type DataReader struct {
	s      *stream
	tar    *tar.Reader
	limits Limits
	entry  Entry
	err    error // of Next, for ever

	n     int
	seen  map[string]Type   // what the package has put where so far; implied for a parent it did not name
	first map[string]string // other name of a file → its first
}

// implied is a directory that is there only because something is in it.
const implied Type = 0

// Data starts to read data.tar. When ctx is done, reading ends with its error. The caller must close the
// DataReader. Errors: ErrFormat, those of the reader.
func (p *Package) Data(ctx context.Context) (*DataReader, error) {
	limits := Limits{
		Size:    cmp.Or(p.Limits.Size, defaultSize),
		File:    cmp.Or(p.Limits.File, defaultFile),
		Entries: cmp.Or(p.Limits.Entries, defaultEntries),
		Devices: p.Limits.Devices,
	}
	s, err := p.open(ctx, p.data, limits.Size)
	if err != nil {
		return nil, err
	}
	return &DataReader{
		s: s, tar: tar.NewReader(s), limits: limits,
		seen: map[string]Type{".": Dir}, first: make(map[string]string),
	}, nil
}

// Close gives memory back for the next package. It may be called twice.
func (d *DataReader) Close() error {
	d.s.close()
	d.err = cmp.Or(d.err, errors.New("data.tar is closed"))
	return nil
}

// Next goes to the next entry; it is overwritten by the call after. After the last one it returns [io.EOF], and
// only then has all of the archive been checked. After another error, no more entries come.
//
// Errors: [EntryError] with ErrUnsafe, ErrDevice or ErrLimit; ErrFormat, ErrLimit, ctx.Err(), those of the reader.
func (d *DataReader) Next() (*Entry, error) {
	if d.err == nil {
		d.err = d.next()
	}
	if d.err != nil {
		return nil, d.err
	}
	return &d.entry, nil
}

func (d *DataReader) next() error {
	h, err := nextHeader(d.tar, d.s.name)
	if err == io.EOF {
		return cmp.Or(d.s.end(), io.EOF)
	}
	if err != nil {
		return err
	}
	if d.n++; d.n > d.limits.Entries {
		return &EntryError{h.Name, fmt.Sprintf("is one more than %d entries", d.limits.Entries), ErrLimit}
	}
	return d.take(h)
}

// Read reads the content of the entry that Next returned, if it is Regular; at its end it returns [io.EOF].
func (d *DataReader) Read(p []byte) (int, error) {
	if d.err != nil {
		return 0, d.err
	}
	n, err := d.tar.Read(p)
	if err != nil && err != io.EOF {
		d.err = tarFault(d.s.name, err)
		err = d.err
	}
	return n, err
}

// nextHeader reads a tar header. Insecure paths are not its business: each caller has stricter rules.
func nextHeader(in *tar.Reader, name string) (*tar.Header, error) {
	h, err := in.Next()
	if err == nil || errors.Is(err, tar.ErrInsecurePath) {
		return h, nil
	}
	if err == io.EOF {
		return nil, err
	}
	return nil, tarFault(name, err)
}

// tarFault makes errors of the tar archive ErrFormat; those of the stream below have been named already.
func tarFault(name string, err error) error {
	if errors.Is(err, ErrFormat) {
		return err
	}
	if errors.Is(err, tar.ErrHeader) || errors.Is(err, tar.ErrFieldTooLong) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: %s: %w", ErrFormat, name, err)
	}
	return err
}

// take checks h and makes it the current entry.
func (d *DataReader) take(h *tar.Header) error {
	unsafe := func(why string) error { return &EntryError{h.Name, why, ErrUnsafe} }
	p, why := cleanPath(h.Name)
	if why != "" {
		return unsafe(why)
	}
	typ := typeOf(h)
	if typ == 0 {
		return unsafe(fmt.Sprintf("is of a type that packages do not have (%q)", h.Typeflag))
	}
	if why := d.place(p, typ); why != "" {
		return unsafe(why)
	}
	d.entry = Entry{
		Path: p, Type: typ, Mode: uint32(h.Mode & 0o7777), User: h.Uname, Group: h.Gname,
		MTime: h.ModTime.Unix(), Xattrs: xattrs(h),
	}
	if typ == Regular {
		d.entry.Size = h.Size // others may say one, but have no content
	}
	if why := d.entry.setNumbers(h); why != "" {
		return unsafe(why)
	}
	switch {
	case typ == Regular && h.Size > d.limits.File:
		return &EntryError{h.Name, fmt.Sprintf("has %d bytes", h.Size), ErrLimit}
	case (typ == Char || typ == Block) && !d.limits.Devices:
		return &EntryError{h.Name, "", ErrDevice}
	case typ == Symlink && (h.Linkname == "" || len(h.Linkname) > maxPath):
		return unsafe("is a symbolic link to nothing")
	case typ == Symlink:
		d.entry.Link = h.Linkname
	case typ == HardLink:
		return d.link(h)
	}
	return nil
}

// link finds the first name of the file that a hard link is another name of.
func (d *DataReader) link(h *tar.Header) error {
	target, why := cleanPath(h.Linkname)
	if why != "" {
		return &EntryError{h.Name, fmt.Sprintf("is a hard link to %q, which %s", h.Linkname, why), ErrUnsafe}
	}
	if first, ok := d.first[target]; ok {
		target = first
	}
	if d.seen[target] != Regular {
		return &EntryError{h.Name, fmt.Sprintf("is a hard link to %q, which is no file that came before", h.Linkname), ErrUnsafe}
	}
	d.first[d.entry.Path] = target
	d.entry.Link = target
	return nil
}

// place notes that there is something at p, and says why there may not be.
func (d *DataReader) place(p string, typ Type) string {
	for dir := path.Dir(p); ; dir = path.Dir(dir) {
		t, ok := d.seen[dir]
		if !ok {
			d.seen[dir] = implied
			continue
		}
		if t == Symlink {
			return fmt.Sprintf("is below %q, a symbolic link of the same package", dir)
		}
		if t != Dir && t != implied {
			return fmt.Sprintf("is below %q, which is no directory", dir)
		}
		break // what is above a directory has been checked when it came
	}
	old, ok := d.seen[p]
	switch {
	case p == "." && typ != Dir:
		return "is the root, but no directory"
	case ok && typ == Dir && (old == Dir || old == implied):
	case ok:
		return "is there twice"
	}
	d.seen[p] = typ
	return ""
}

const (
	maxPath = 4095 // PATH_MAX without its NUL
	maxName = 255  // NAME_MAX
)

// cleanPath returns name relative to the root, or why it can't be.
func cleanPath(name string) (p, why string) {
	switch {
	case name == "":
		return "", "has no name"
	case name[0] == '/':
		return "", "is absolute"
	case len(name) > maxPath:
		return "", "is too long"
	case strings.ContainsAny(name, "\n\x00"):
		return "", "has a line break" // dpkg's lists of files are lines
	}
	for c := range strings.SplitSeq(name, "/") {
		if c == ".." {
			return "", "leaves the root"
		}
		if len(c) > maxName {
			return "", "is too long"
		}
	}
	return path.Clean(name), ""
}

// typeOf returns 0 for what dpkg does not take either.
func typeOf(h *tar.Header) Type {
	switch h.Typeflag {
	case tar.TypeReg:
		if sparse(h) || strings.HasSuffix(h.Name, "/") {
			return 0
		}
		return Regular
	case tar.TypeDir:
		return Dir
	case tar.TypeSymlink:
		return Symlink
	case tar.TypeLink:
		return HardLink
	case tar.TypeChar:
		return Char
	case tar.TypeBlock:
		return Block
	case tar.TypeFifo:
		return Fifo
	}
	return 0
}

// sparse files say a size that the archive's bytes don't bound.
func sparse(h *tar.Header) bool {
	for name := range h.PAXRecords {
		if strings.HasPrefix(name, "GNU.sparse.") {
			return true
		}
	}
	return h.Typeflag == tar.TypeGNUSparse
}

// setNumbers takes over what fits into the kernel's types. The last user and group mean "leave it" to chown(2).
func (e *Entry) setNumbers(h *tar.Header) string {
	for _, n := range []struct {
		from int64
		to   *uint32
	}{{int64(h.Uid), &e.UID}, {int64(h.Gid), &e.GID}, {h.Devmajor, &e.Major}, {h.Devminor, &e.Minor}} {
		if n.from < 0 || n.from >= math.MaxUint32 {
			return fmt.Sprintf("has an owner or device number of %d", n.from)
		}
		*n.to = uint32(n.from)
	}
	return ""
}

func xattrs(h *tar.Header) map[string]string {
	var out map[string]string
	for record, value := range h.PAXRecords {
		if name, ok := strings.CutPrefix(record, "SCHILY.xattr."); ok {
			if out == nil {
				out = make(map[string]string)
			}
			out[name] = value
		}
	}
	return out
}
