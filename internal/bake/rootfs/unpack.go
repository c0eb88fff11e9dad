package rootfs

import (
	"bytes"
	"cmp"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"brickyard/internal/bake/apt/deb"
	"brickyard/internal/store"
	"brickyard/internal/tree"
)

// A Package is one .deb, unpacked into the store.
type Package struct {
	Name, Version, Arch string
	Source              string
	Essential           bool // of the Essential set or needed by it: configured before all others
	Digest              tree.Digest
	Tree                tree.Tree // its files, at the paths the package says
	Removed             tree.Tree // its files that slim leaves out; contents are not kept
	controlInfo
}

// controlInfo is what a package says about itself, as its note keeps it.
type controlInfo struct {
	Paragraph string                 `json:"paragraph"` // DEBIAN/control
	Files     map[string]ControlFile `json:"files"`     // the other members of control.tar
	List      []string               `json:"list"`      // paths in the order of dpkg's list, with a leading slash
	Conffiles map[string]string      `json:"conffiles"` // path with a leading slash → MD5 of what the package ships
	MTime     int64                  `json:"mtime"`     // the newest time in the package
}

// A ControlFile is a member of control.tar, as "postinst".
type ControlFile struct {
	Mode uint32 `json:"mode"`
	Data []byte `json:"data"`
}

// unpacked is the note that a package is in the store.
type unpacked struct {
	Tree    tree.Digest `json:"tree"`
	Removed tree.Digest `json:"removed"`
	Control tree.Digest `json:"control"` // blob: JSON of controlInfo
}

// A DamagedError means that the store's copy of a package is not what it was. It has been put aside.
type DamagedError struct {
	Package string
	Err     error
}

func (e *DamagedError) Error() string { return "package " + e.Package + ": " + e.Err.Error() }
func (e *DamagedError) Unwrap() error { return e.Err }

// Hint says what to do.
func (e *DamagedError) Hint() string {
	return "the copy was put aside: bake again, which fetches another"
}

// unpackFormat goes up when Unpack makes something else of the same package.
const unpackFormat = "2"

// A Slim decides which files an image goes without. Its String names the decision, for caches.
type Slim interface {
	Match(path string) (kind string, ok bool)
	String() string
}

// maxControl bounds the JSON of a package's control files: real ones stay below 1 MB, but for a few
// with large templates.
const maxControl = 64 << 20

// Unpack fills in what the .deb p.Digest holds, from the store when it was unpacked before. The .deb is
// verified by its digest before a byte of it is believed. It is called for several packages at once; note
// must allow that.
func Unpack(ctx context.Context, s *store.Store, p *Package, slim Slim, note func(kind, key string, v any) error) error {
	key := store.Sum([]byte(string(p.Digest) + "\n" + slim.String() + "\n" + unpackFormat)).Hex()
	var u unpacked
	err := s.Cached("deb", key, &u)
	if err == nil {
		err = p.load(s, u)
		if err == nil {
			return p.identify()
		}
	}
	if !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrDigest) {
		return err
	}
	if err := p.unpack(ctx, s, slim); err != nil {
		if errors.Is(err, store.ErrDigest) {
			return &DamagedError{Package: p.Name + " " + p.Version, Err: err}
		}
		if _, ok := errors.AsType[*OtherPackageError](err); ok {
			return err
		}
		return fmt.Errorf("package %s %s: %w", p.Name, p.Version, err)
	}
	if u, err = p.save(s); err != nil {
		return err
	}
	return note("deb", key, u)
}

func (p *Package) load(s *store.Store, u unpacked) (err error) {
	if p.Tree, err = s.Tree(u.Tree); err != nil {
		return err
	}
	if err := s.HasFiles(p.Tree); err != nil {
		return err
	}
	if p.Removed, err = s.Tree(u.Removed); err != nil {
		return err
	}
	data, err := s.ReadBlob(u.Control, maxControl)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, &p.controlInfo)
}

func (p *Package) save(s *store.Store) (u unpacked, err error) {
	if u.Tree, err = s.PutTree(p.Tree); err != nil {
		return u, err
	}
	if u.Removed, err = s.PutTree(p.Removed); err != nil {
		return u, err
	}
	data, err := json.Marshal(p.controlInfo)
	if err != nil {
		return u, err
	}
	u.Control, _, err = s.Put(bytes.NewReader(data))
	return u, err
}

func (p *Package) unpack(ctx context.Context, s *store.Store, slim Slim) error {
	f, err := s.OpenVerified(ctx, p.Digest)
	if err != nil {
		return err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	d, err := deb.Open(f, fi.Size())
	if err != nil {
		return err
	}
	conffiles, err := p.readControl(d)
	if err != nil {
		return err
	}
	return p.readData(ctx, s, d, slim, conffiles)
}

func (p *Package) readControl(d *deb.Package) (conffiles map[string]bool, err error) {
	c, err := d.Control()
	if err != nil {
		return nil, err
	}
	p.Paragraph = strings.TrimRight(string(c.Paragraph), "\n") + "\n"
	if err := p.identify(); err != nil {
		return nil, err
	}
	p.Files = map[string]ControlFile{}
	for name, cf := range c.Files {
		if name != "control" {
			p.Files[name] = ControlFile{Mode: uint32(cf.Mode) & 07777, Data: cf.Data}
		}
	}
	conffiles = map[string]bool{}
	for _, name := range c.Conffiles() {
		conffiles[name] = true
	}
	return conffiles, nil
}

// identify checks that the package is the one that the lock says it is.
func (p *Package) identify() error {
	source, _, _ := strings.Cut(cmp.Or(p.field("Source"), p.Name), " ")
	for _, f := range []struct{ name, got, want string }{
		{"Package", p.field("Package"), p.Name}, {"Version", p.field("Version"), p.Version},
		{"Architecture", p.field("Architecture"), p.Arch}, {"Source", source, p.Source},
	} {
		if f.got != f.want {
			return &OtherPackageError{Package: p.Name + " " + p.Version, Field: f.name, Got: f.got, Want: f.want}
		}
	}
	return nil
}

// An OtherPackageError means that a lock says something of a package that the package itself does not.
type OtherPackageError struct{ Package, Field, Got, Want string }

func (e *OtherPackageError) Error() string {
	return fmt.Sprintf("package %s: the .deb says %s: %s, the lock says %s", e.Package, e.Field, e.Got, e.Want)
}

// Hint says what to do.
func (e *OtherPackageError) Hint() string {
	return "the lock was changed by hand: take it back from where it is kept, or delete it and lock anew"
}

// errLater means that a file which slim takes has another name, which stays.
var errLater = errors.New("its content is needed after all")

func (p *Package) readData(ctx context.Context, s *store.Store, d *deb.Package, slim Slim, conffiles map[string]bool) error {
	err := p.readDataKeeping(ctx, s, d, slim, conffiles, false)
	if errors.Is(err, errLater) {
		err = p.readDataKeeping(ctx, s, d, slim, conffiles, true)
	}
	return err
}

// readDataKeeping reads data.tar; with keep, what slim takes goes into the store all the same.
func (p *Package) readDataKeeping(ctx context.Context, s *store.Store, d *deb.Package, slim Slim, conffiles map[string]bool, keep bool) error {
	data, err := d.Data(ctx)
	if err != nil {
		return err
	}
	defer data.Close()
	_, hasSums := p.Files["md5sums"]
	r := dataReader{p: p, s: s, slim: slim, conffiles: conffiles, sums: !hasSums, keep: keep}
	p.Tree, p.Removed, p.List, p.Conffiles = tree.Tree{}, tree.Tree{}, []string{"/."}, map[string]string{}
	for {
		e, err := data.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if err := r.add(e, data); err != nil {
			return fmt.Errorf("%s: %w", e.Path, err)
		}
	}
	p.List = append(p.List, r.links...)
	if r.sums {
		// dpkg makes the list when a package comes without.
		p.Files["md5sums"] = ControlFile{Mode: 0o644, Data: r.md5.Bytes()}
	}
	return nil
}

// dataReader takes a package's files into the store.
type dataReader struct {
	p         *Package
	s         *store.Store
	slim      Slim
	conffiles map[string]bool
	sums      bool
	keep      bool // contents that slim takes
	md5       bytes.Buffer
	buf       bytes.Buffer
	links     []string // symbolic links, which dpkg makes, and lists, after all else
}

func (r *dataReader) add(d *deb.Entry, content io.Reader) error {
	p := r.p
	e, linked := entryOf(d), false
	p.MTime = max(p.MTime, e.MTime)
	switch {
	case e.Type == tree.Symlink:
		r.links = append(r.links, "/"+d.Path)
	case d.Path != ".":
		p.List = append(p.List, "/"+d.Path)
	}
	if e.Type == tree.Regular && e.Hard != "" {
		first, ok := p.Tree[e.Hard]
		if ok {
			first.Hard = e.Hard
		} else {
			first = p.Removed[e.Hard]
			if isRemoved(r.slim, d.Path) {
				first.Hard = e.Hard
			} else if !r.keep {
				return errLater
			}
		}
		e = first
		linked = true
	}
	sum := md5.New()
	if r.sums || r.conffiles["/"+d.Path] {
		content = io.TeeReader(content, sum)
	}
	if _, gone := r.slim.Match(d.Path); gone && e.Type != tree.Dir {
		if e.Type == tree.Regular && !linked {
			if err := r.forget(&e, content); err != nil {
				return err
			}
		}
		p.Removed[d.Path] = e
	} else {
		if e.Type == tree.Regular && !linked {
			if err := r.s.AddFile(&e, content, &r.buf); err != nil {
				return err
			}
		}
		p.Tree[d.Path] = e
	}
	if e.Type == tree.Regular && !linked {
		r.note(d.Path, hex.EncodeToString(sum.Sum(nil)))
	}
	return nil
}

// forget sets the digest of a file that slim takes.
func (r *dataReader) forget(e *tree.Entry, content io.Reader) (err error) {
	if r.keep {
		return r.s.AddFile(e, content, &r.buf)
	}
	e.Digest, err = hashOnly(content)
	return err
}

// note remembers the MD5 of a file where dpkg's database has it.
func (r *dataReader) note(path, sum string) {
	if r.conffiles["/"+path] {
		r.p.Conffiles["/"+path] = sum
	} else if r.sums {
		fmt.Fprintf(&r.md5, "%s  %s\n", sum, path)
	}
}

func isRemoved(slim Slim, path string) bool {
	_, ok := slim.Match(path)
	return ok
}

func hashOnly(r io.Reader) (tree.Digest, error) {
	h := sha256.New()
	_, err := io.Copy(h, r)
	return tree.Digest("sha256:" + hex.EncodeToString(h.Sum(nil))), err
}

func entryOf(d *deb.Entry) tree.Entry {
	e := tree.Entry{
		Type: tree.Type(d.Type), Mode: d.Mode, UID: d.UID, GID: d.GID, MTime: d.MTime, Size: d.Size, Xattrs: maps.Clone(d.Xattrs),
		Dev: [2]uint32{d.Major, d.Minor},
	}
	switch d.Type {
	case deb.Symlink:
		e.Link, e.Mode = d.Link, 0o777
	case deb.HardLink:
		e.Type, e.Hard = tree.Regular, d.Link
	}
	if e.Type != tree.Regular {
		e.Size = 0
	}
	return e
}

// HasScript says whether the package has one of the maintainer scripts named.
func (p *Package) HasScript(names ...string) bool {
	return slices.ContainsFunc(names, func(n string) bool { _, ok := p.Files[n]; return ok })
}
