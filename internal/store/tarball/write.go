// Package tarball turns trees into tar streams and back. Layers are such streams (OCI image
// specification, "Image Layer Filesystem Changeset"), and so are exported root file systems.
package tarball

import (
	"archive/tar"
	"cmp"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"brickyard/internal/tree"
)

// Whiteouts, as the OCI image specification names them.
const (
	whiteoutPrefix = ".wh."
	opaqueMarker   = ".wh..wh..opq"
	xattrPrefix    = "SCHILY.xattr."
)

// Write writes t as a tar stream that depends on t alone: entries sorted by path, USTAR where it holds
// them, else PAX; no names of owners, no times but the modification time. The root's own entry is
// written only when t has one. open gives the content of a regular file.
//
// Errors: *WhiteoutError for an entry whose name would be read as a whiteout; those of open and w.
func Write(w io.Writer, t tree.Tree, open func(tree.Entry) (io.ReadCloser, error)) error {
	tw := tar.NewWriter(w)
	buf := make([]byte, 128<<10)
	written := map[string]string{} // first name of a file in t → its name that the stream has the content at
	for _, p := range t.Paths() {
		e := t[p]
		if e.Type == tree.Regular {
			// The first name by t may be a later one by path: a link must come after what it links to.
			first := cmp.Or(e.Hard, p)
			e.Hard = written[first]
			if e.Hard == "" {
				written[first] = p
			}
		}
		if err := writeEntry(tw, p, e, open, buf); err != nil {
			return fmt.Errorf("tar %s: %w", p, err)
		}
	}
	return tw.Close()
}

func writeEntry(tw *tar.Writer, p string, e tree.Entry, open func(tree.Entry) (io.ReadCloser, error), buf []byte) error {
	if e.Type == tree.Whiteout {
		dir, base := path.Split(p)
		return tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: dir + whiteoutPrefix + base, ModTime: time.Unix(0, 0)})
	}
	if strings.HasPrefix(path.Base(p), whiteoutPrefix) {
		return &WhiteoutError{p}
	}
	if err := tw.WriteHeader(header(p, e)); err != nil {
		return err
	}
	if e.Opaque {
		return tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: path.Join(p, opaqueMarker), ModTime: time.Unix(0, 0)})
	}
	if e.Type != tree.Regular || e.Hard != "" || e.Size == 0 {
		return nil
	}
	r, err := open(e)
	if err != nil {
		return err
	}
	defer r.Close()
	n, err := io.CopyBuffer(struct{ io.Writer }{tw}, struct{ io.Reader }{r}, buf)
	if err == nil && n != e.Size {
		err = fmt.Errorf("%d bytes where the listing says %d", n, e.Size)
	}
	return err
}

func header(p string, e tree.Entry) *tar.Header {
	h := &tar.Header{
		Name: p, Mode: int64(e.Mode), Uid: int(e.UID), Gid: int(e.GID), ModTime: time.Unix(e.MTime, 0),
	}
	switch e.Type {
	case tree.Dir:
		h.Typeflag, h.Name = tar.TypeDir, p+"/"
	case tree.Symlink:
		h.Typeflag, h.Linkname = tar.TypeSymlink, e.Link
	case tree.Char:
		h.Typeflag = tar.TypeChar
	case tree.Block:
		h.Typeflag = tar.TypeBlock
	case tree.Fifo:
		h.Typeflag = tar.TypeFifo
	default:
		h.Typeflag, h.Size = tar.TypeReg, e.Size
		if e.Hard != "" {
			h.Typeflag, h.Size, h.Linkname = tar.TypeLink, 0, e.Hard
		}
	}
	h.Devmajor, h.Devminor = int64(e.Dev[0]), int64(e.Dev[1])
	if len(e.Xattrs) > 0 && h.Typeflag != tar.TypeLink {
		h.PAXRecords = make(map[string]string, len(e.Xattrs))
		for name, value := range e.Xattrs {
			h.PAXRecords[xattrPrefix+name] = value
		}
	}
	return h
}

// clean turns the name of a tar entry into the path of a tree. Errors: ErrPath.
func clean(name string) (string, error) {
	if strings.ContainsRune(name, 0) {
		return "", fmt.Errorf("%w: %q has a zero byte", ErrPath, name)
	}
	for c := range strings.SplitSeq(name, "/") {
		if c == ".." {
			return "", fmt.Errorf("%w: %q leaves the root", ErrPath, name)
		}
	}
	return strings.TrimPrefix(path.Clean("/"+name), "/"), nil
}
