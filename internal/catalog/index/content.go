package index

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"

	"brickyard/internal/store"
	"brickyard/internal/store/tarball"
	"brickyard/internal/tree"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Media types of layers that OCI took over from Docker, beside its own.
const (
	dockerLayer     = "application/vnd.docker.image.rootfs.diff.tar"
	dockerLayerGzip = "application/vnd.docker.image.rootfs.diff.tar.gzip"
)

// Uncompress reads the layer stream r of a media type as a tar stream. The caller closes it; that does
// not close r.
func Uncompress(mediaType string, r io.Reader) (io.ReadCloser, error) {
	switch mediaType {
	case ocispec.MediaTypeImageLayer, dockerLayer:
		return io.NopCloser(r), nil
	case ocispec.MediaTypeImageLayerGzip, dockerLayerGzip:
		return gzip.NewReader(r)
	case ocispec.MediaTypeImageLayerZstd:
		d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	}
	return nil, fmt.Errorf("layer has the media type %q", mediaType)
}

// OpenLayer opens the tar stream of the layer desc. Its blob is verified when it has been read to the
// end; the caller closes it. Errors: [store.ErrNotFound]; from Read: [store.ErrDigest].
func (c *Catalog) OpenLayer(desc ocispec.Descriptor) (io.ReadCloser, error) {
	blob, err := c.store.Blob(tree.Digest(desc.Digest))
	if err != nil {
		return nil, err
	}
	tar, err := Uncompress(desc.MediaType, blob)
	if err != nil {
		blob.Close()
		return nil, err
	}
	return &layer{tar, blob}, nil
}

type layer struct {
	tar, blob io.ReadCloser
}

// Read reads on in the blob where the compressed stream ends, so that all of it is verified.
func (l *layer) Read(p []byte) (int, error) {
	n, err := l.tar.Read(p)
	if err == io.EOF {
		if _, drained := io.Copy(io.Discard, l.blob); drained != nil {
			return n, drained
		}
	}
	return n, err
}

func (l *layer) Close() error { return errors.Join(l.tar.Close(), l.blob.Close()) }

// Contents gives the contents of files of an image. Its methods may be called from several goroutines.
type Contents struct {
	store *store.Store
	spool *os.File               // contents that the store has no readable file of; nil when there are none
	at    map[tree.Digest]extent // in spool
}

type extent struct{ off, size int64 }

// Contents prepares to open the regular files of t, a part of the image r. What the store has no file of
// that this user may read is taken from the layers. The caller calls Close.
func (c *Catalog) Contents(ctx context.Context, r Record, t tree.Tree) (*Contents, error) {
	k := &Contents{store: c.store, at: map[tree.Digest]extent{}}
	missing := map[tree.Digest]bool{}
	for _, e := range t {
		if e.Type != tree.Regular || e.Size == 0 || missing[e.Digest] {
			continue
		}
		if f, err := c.store.OpenFile(e); err == nil {
			f.Close()
		} else {
			missing[e.Digest] = true
		}
	}
	if len(missing) == 0 {
		return k, nil
	}
	if err := k.fill(ctx, c, r, missing); err != nil {
		k.Close()
		return nil, err
	}
	return k, nil
}

// fill copies missing contents from the layers of r into the spool.
func (k *Contents) fill(ctx context.Context, c *Catalog, r Record, missing map[tree.Digest]bool) error {
	m, err := c.Manifest(r.Image)
	if err != nil {
		return err
	}
	if len(m.Layers) != len(r.Layers) {
		return fmt.Errorf("image %s: %d layers, its record has %d", r.Image, len(m.Layers), len(r.Layers))
	}
	if k.spool, err = os.CreateTemp("", "brickyard-"); err != nil {
		return err
	}
	if err := os.Remove(k.spool.Name()); err != nil {
		return err
	}
	var end int64
	for i, desc := range m.Layers {
		if err := ctx.Err(); err != nil {
			return err
		}
		listing, err := c.Listing(r, i)
		if err != nil {
			return fmt.Errorf("image %s: listing of layer %d: %w", r.Image, i, err)
		}
		if !holdsAny(listing, missing) {
			continue
		}
		keep := func(p string, e *tree.Entry, content io.Reader) error {
			e.Digest = listing[p].Digest
			if !missing[e.Digest] {
				return nil
			}
			delete(missing, e.Digest)
			k.at[e.Digest] = extent{end, e.Size}
			n, err := io.Copy(k.spool, content)
			end += n
			return err
		}
		if _, err := c.readLayer(desc, keep); err != nil {
			return fmt.Errorf("image %s: layer %d: %w", r.Image, i, err)
		}
	}
	for d := range missing {
		return fmt.Errorf("image %s: content %s: %w", r.Image, d, store.ErrNotFound)
	}
	return nil
}

func holdsAny(t tree.Tree, digests map[tree.Digest]bool) bool {
	for _, e := range t {
		if e.Type == tree.Regular && digests[e.Digest] {
			return true
		}
	}
	return false
}

func (c *Catalog) readLayer(desc ocispec.Descriptor, add func(string, *tree.Entry, io.Reader) error) (tree.Tree, error) {
	r, err := c.OpenLayer(desc)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return tarball.Read(r, tarball.Limits{}, add)
}

// Open opens the content of the regular file e. The caller closes it. A content that is not what e's
// digest promises is reported by Read in place of io.EOF, as [store.ErrDigest].
func (k *Contents) Open(e tree.Entry) (io.ReadCloser, error) {
	v := &verifier{want: e.Digest, hash: sha256.New(), close: func() error { return nil }}
	if x, ok := k.at[e.Digest]; ok {
		v.r = io.NewSectionReader(k.spool, x.off, x.size)
		return v, nil
	}
	if e.Size == 0 {
		v.r = io.MultiReader()
		return v, nil
	}
	f, err := k.store.OpenFile(e)
	if err != nil {
		return nil, err
	}
	v.r, v.close = f, f.Close
	return v, nil
}

// Close gives up what Contents holds.
func (k *Contents) Close() error {
	if k.spool == nil {
		return nil
	}
	return k.spool.Close()
}

type verifier struct {
	r     io.Reader
	want  tree.Digest
	hash  hash.Hash
	close func() error
}

func (v *verifier) Read(p []byte) (int, error) {
	n, err := v.r.Read(p)
	v.hash.Write(p[:n])
	if err == io.EOF {
		if got := fmt.Sprintf("sha256:%x", v.hash.Sum(nil)); got != string(v.want) {
			return n, fmt.Errorf("%s: %w (got %s)", v.want, store.ErrDigest, got)
		}
	}
	return n, err
}

func (v *verifier) Close() error { return v.close() }
