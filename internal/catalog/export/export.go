// Package export writes images as archives that other programs read. The same image under the same name
// gives the same bytes.
package export

import (
	"archive/tar"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"brickyard/internal/catalog/index"
	"brickyard/internal/store"
	"brickyard/internal/store/tarball"
	"brickyard/internal/tree"

	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A Format is one kind of archive.
type Format string

// The formats.
const (
	OCIArchive    Format = "oci-archive"    // a tar of an OCI image layout (image-spec, "OCI Image Layout")
	DockerArchive Format = "docker-archive" // what "docker load" takes (Docker image specification v1.2)
	Rootfs        Format = "rootfs"         // a tar of the root file system, without the image's configuration
)

// Formats lists all formats.
func Formats() []Format { return []Format{OCIArchive, DockerArchive, Rootfs} }

// Exporter writes one image.
type Exporter struct {
	Catalog *index.Catalog
	Store   *store.Store
	Record  index.Record
	Ref     index.Ref     // the name that the archive gives the image; zero for none
	Each    func(n int64) // called with bytes of layers or files that were written; may be nil
}

// Size is how many bytes Each will be told of, or 0 when that is not known before.
func (x *Exporter) Size(f Format) int64 {
	if f == OCIArchive {
		return x.Record.Size()
	}
	return 0
}

// Write writes the image in a format to w. What it writes was verified only when it returns nil.
func (x *Exporter) Write(ctx context.Context, f Format, w io.Writer) error {
	var err error
	switch f {
	case OCIArchive:
		err = x.ociArchive(ctx, w)
	case DockerArchive:
		err = x.dockerArchive(ctx, w)
	case Rootfs:
		err = x.rootfs(ctx, w)
	default:
		return fmt.Errorf("no format %q", f)
	}
	if err != nil {
		return fmt.Errorf("export %s: %w", x.Record.Image, err)
	}
	return nil
}

func (x *Exporter) rootfs(ctx context.Context, w io.Writer) error {
	root, err := x.Catalog.Root(x.Record)
	if err != nil {
		return err
	}
	contents, err := x.Catalog.Contents(ctx, x.Record, root)
	if err != nil {
		return err
	}
	defer contents.Close()
	return tarball.Write(w, root, func(e tree.Entry) (io.ReadCloser, error) {
		r, err := contents.Open(e)
		if err != nil {
			return nil, err
		}
		return readCloser{x.watch(ctx, r), r}, nil
	})
}

// Annotations of an image in the index of a layout: the name that containerd and podman give it.
const annotationName = "io.containerd.image.name"

func (x *Exporter) ociArchive(ctx context.Context, w io.Writer) error {
	data, err := x.Store.ReadBlob(x.Record.Image, maxDocument)
	if err != nil {
		return err
	}
	m, err := x.Catalog.Manifest(x.Record.Image)
	if err != nil {
		return err
	}
	desc := ocispec.Descriptor{
		MediaType: cmp.Or(m.MediaType, ocispec.MediaTypeImageManifest),
		Digest:    digestOf(x.Record.Image),
		Size:      int64(len(data)),
	}
	if x.Ref != (index.Ref{}) {
		desc.Annotations = map[string]string{
			ocispec.AnnotationRefName: x.Ref.Tag,
			annotationName:            x.Ref.String(),
		}
	}
	a := newArchive(w)
	a.json(ocispec.ImageLayoutFile, ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion})
	a.json(ocispec.ImageIndexFile, ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageIndex,
		Manifests: []ocispec.Descriptor{desc},
	})
	a.dir(ocispec.ImageBlobsDir + "/")
	a.dir(ocispec.ImageBlobsDir + "/sha256/")
	blobs := []tree.Digest{x.Record.Image, tree.Digest(m.Config.Digest)}
	for _, l := range m.Layers {
		blobs = append(blobs, tree.Digest(l.Digest))
	}
	slices.Sort(blobs)
	for _, d := range slices.Compact(blobs) {
		size, err := x.Store.Size(d)
		if err != nil {
			return err
		}
		r, err := x.Store.Blob(d)
		if err != nil {
			return err
		}
		a.file(ocispec.ImageBlobsDir+"/sha256/"+d.Hex(), size, x.watch(ctx, r))
		r.Close()
	}
	return a.close()
}

// maxDocument is how large a manifest or a configuration may be, in bytes.
const maxDocument = 8 << 20

// dockerManifest is an element of manifest.json in Docker's archive.
type dockerManifest struct {
	Config   string
	RepoTags []string
	Layers   []string
}

func (x *Exporter) dockerArchive(ctx context.Context, w io.Writer) error {
	m, err := x.Catalog.Manifest(x.Record.Image)
	if err != nil {
		return err
	}
	config, err := x.Store.ReadBlob(tree.Digest(m.Config.Digest), maxDocument)
	if err != nil {
		return err
	}
	if len(m.Layers) != len(x.Record.Layers) {
		return fmt.Errorf("%d layers, its record has %d", len(m.Layers), len(x.Record.Layers))
	}
	configName := tree.Digest(m.Config.Digest).Hex() + ".json"
	manifest := dockerManifest{Config: configName}
	a := newArchive(w)
	written := map[tree.Digest]bool{}
	for i, desc := range m.Layers {
		diffID := x.Record.Layers[i].DiffID
		name := diffID.Hex() + "/layer.tar"
		manifest.Layers = append(manifest.Layers, name)
		if written[diffID] {
			continue
		}
		written[diffID] = true
		if err := x.dockerLayer(ctx, a, desc, diffID); err != nil {
			return fmt.Errorf("layer %d: %w", i, err)
		}
	}
	a.file(configName, int64(len(config)), strings.NewReader(string(config)))
	if x.Ref != (index.Ref{}) {
		manifest.RepoTags = []string{x.Ref.String()}
	}
	a.json("manifest.json", []dockerManifest{manifest})
	if x.Ref != (index.Ref{}) && len(x.Record.Layers) > 0 {
		top := x.Record.Layers[len(x.Record.Layers)-1].DiffID.Hex()
		a.json("repositories", map[string]map[string]string{x.Ref.Name: {x.Ref.Tag: top}})
	}
	return a.close()
}

// dockerLayer writes one layer uncompressed. It reads it twice: a tar header needs the size first.
func (x *Exporter) dockerLayer(ctx context.Context, a *archive, desc ocispec.Descriptor, diffID tree.Digest) error {
	r, err := x.Catalog.OpenLayer(desc)
	if err != nil {
		return err
	}
	size, err := io.Copy(io.Discard, watched{ctx, r, nil})
	r.Close()
	if err != nil {
		return err
	}
	if r, err = x.Catalog.OpenLayer(desc); err != nil {
		return err
	}
	defer r.Close()
	h := newHash(x.watch(ctx, r))
	a.dir(diffID.Hex() + "/")
	a.file(diffID.Hex()+"/VERSION", 3, strings.NewReader("1.0"))
	a.file(diffID.Hex()+"/layer.tar", size, h)
	if a.err == nil && h.digest() != diffID {
		return fmt.Errorf("%s: %w (got %s)", diffID, store.ErrDigest, h.digest())
	}
	return a.err
}

func (x *Exporter) watch(ctx context.Context, r io.Reader) io.Reader { return watched{ctx, r, x.Each} }

// watched ends with ctx, and tells each of what was read.
type watched struct {
	ctx  context.Context
	r    io.Reader
	each func(int64)
}

func (r watched) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := r.r.Read(p)
	if r.each != nil {
		r.each(int64(n))
	}
	return n, err
}

type readCloser struct {
	io.Reader
	io.Closer
}

// archive writes a tar stream whose entries have nothing but names, sizes and contents. It remembers the
// first error.
type archive struct {
	tw  *tar.Writer
	err error
}

func newArchive(w io.Writer) *archive { return &archive{tw: tar.NewWriter(w)} }

func (a *archive) header(h *tar.Header) {
	h.ModTime = time.Unix(0, 0)
	h.Format = tar.FormatUSTAR
	if h.Size >= 1<<33 { // USTAR has 11 octal digits
		h.Format = tar.FormatPAX
	}
	if a.err == nil {
		a.err = a.tw.WriteHeader(h)
	}
}

func (a *archive) dir(name string) {
	a.header(&tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755})
}

// file writes all of r, to its end: only there does it say whether it was what it should be.
func (a *archive) file(name string, size int64, r io.Reader) {
	a.header(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: size})
	if a.err != nil {
		return
	}
	n, err := io.Copy(a.tw, r)
	if err == nil && n != size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		a.err = fmt.Errorf("%s: %w", name, err)
	}
}

func (a *archive) json(name string, v any) {
	data, err := json.Marshal(v)
	if a.err == nil {
		a.err = err
	}
	a.file(name, int64(len(data)), strings.NewReader(string(data)))
}

func (a *archive) close() error {
	if a.err != nil {
		return a.err
	}
	return a.tw.Close()
}
