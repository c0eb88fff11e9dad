package index

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"slices"
	"sync"

	"brickyard/internal/store"
	"brickyard/internal/store/tarball"
	"brickyard/internal/tree"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// A Problem is one thing about an image that is not as its digests promise.
type Problem struct {
	What string `json:"what"` // as "layer 3", "config", "layer 3: /usr/bin/nginx"
	Why  string `json:"why"`

	layer int // 1 for the lowest; 0 for what is no layer
}

// A Verdict is what Verify found.
type Verdict struct {
	Problems []Problem // none: all is as it should be
	Layers   int
	Files    int   // regular files that were read and compared
	Bytes    int64 // of these
}

// Verify reads all that the image r is made of and checks that it is what its digests promise: the
// manifest, the configuration, each layer's blob and its uncompressed content, each entry of each layer
// against the layer's listing, and that record, recipe and lock are there. each, if not nil, is called
// from several goroutines with the size in bytes of each blob of a layer that is done.
//
// An error means that Verify could not look; what it saw is in the Verdict.
func (c *Catalog) Verify(ctx context.Context, r Record, each func(n int64)) (*Verdict, error) {
	v := &verification{c: c, r: r}
	m, ok := v.manifest()
	if !ok {
		return v.result(), nil
	}
	v.config(m)
	v.papers()
	if len(m.Layers) != len(r.Layers) {
		v.problem("manifest", "%d layers, its record has %d", len(m.Layers), len(r.Layers))
		return v.result(), nil
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(4) // a layer at a time is slow to hash, and each holds two listings in memory
	for i, desc := range m.Layers {
		g.Go(func() error {
			if err := v.layer(ctx, i, desc); err != nil {
				return fmt.Errorf("layer %d: %w", i, err)
			}
			if each != nil {
				each(desc.Size)
			}
			return nil
		})
	}
	err := g.Wait()
	return v.result(), err
}

type verification struct {
	c *Catalog
	r Record

	mu      sync.Mutex // guards verdict
	verdict Verdict
}

func (v *verification) problem(what, format string, a ...any) {
	v.add(Problem{What: what, Why: fmt.Sprintf(format, a...)})
}

// layerProblem is about layer i, or about the path p in it unless that is empty.
func (v *verification) layerProblem(i int, p, format string, a ...any) {
	what := fmt.Sprintf("layer %d", i)
	if p != "" {
		what += ": " + Abs(p)
	}
	v.add(Problem{what, fmt.Sprintf(format, a...), i + 1})
}

func (v *verification) add(p Problem) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.verdict.Problems = append(v.verdict.Problems, p)
}

func (v *verification) result() *Verdict {
	slices.SortFunc(v.verdict.Problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.layer, b.layer), cmp.Compare(a.What, b.What), cmp.Compare(a.Why, b.Why))
	})
	return &v.verdict
}

// read returns the blob d, verified; what is wrong with it becomes a problem.
func (v *verification) read(what string, d tree.Digest, limit int64) ([]byte, bool) {
	data, err := v.c.store.ReadBlob(d, limit)
	if err != nil {
		v.problem(what, "%v", err)
	}
	return data, err == nil
}

func (v *verification) manifest() (ocispec.Manifest, bool) {
	var m ocispec.Manifest
	data, ok := v.read("manifest", v.r.Image, maxManifest)
	if !ok {
		return m, false
	}
	if err := json.Unmarshal(data, &m); err != nil {
		v.problem("manifest", "%v", err)
		return m, false
	}
	return m, true
}

func (v *verification) config(m ocispec.Manifest) {
	if got := tree.Digest(m.Config.Digest); got != v.r.Config {
		v.problem("config", "the manifest names %s, the record %s", got, v.r.Config)
	}
	data, ok := v.read("config", tree.Digest(m.Config.Digest), maxConfig)
	if !ok {
		return
	}
	var config ocispec.Image
	if err := json.Unmarshal(data, &config); err != nil {
		v.problem("config", "%v", err)
		return
	}
	var want, got []tree.Digest
	for _, l := range v.r.Layers {
		want = append(want, l.DiffID)
	}
	for _, d := range config.RootFS.DiffIDs {
		got = append(got, tree.Digest(d))
	}
	if !slices.Equal(got, want) {
		v.problem("config", "its diffIDs are not those of the record")
	}
}

// papers checks what the record leads to beside the image.
func (v *verification) papers() {
	for what, d := range map[string]tree.Digest{"recipe": v.r.Recipe, "lock": v.r.Lock, "owners": v.r.Owners} {
		if d != "" {
			v.read(what, d, maxOwners)
		}
	}
}

// layer reads one layer to its end whatever it finds, so that everything wrong with it is told at once.
func (v *verification) layer(ctx context.Context, i int, desc ocispec.Descriptor) error {
	want := v.r.Layers[i]
	if tree.Digest(desc.Digest) != want.Digest || desc.Size != want.Size {
		v.layerProblem(i, "", "the manifest names %s of %d bytes, the record %s of %d", desc.Digest, desc.Size, want.Digest, want.Size)
	}
	listing, err := v.c.Listing(v.r, i)
	if err != nil {
		v.layerProblem(i, "", "listing: %v", err)
		listing = nil
	}
	f, err := os.Open(v.c.store.BlobPath(tree.Digest(desc.Digest)))
	if errors.Is(err, os.ErrNotExist) {
		v.layerProblem(i, "", "%s: %v", desc.Digest, store.ErrNotFound)
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	blob := &meter{r: f, ctx: ctx, hash: sha256.New()}
	diffID, got, err := v.unpack(desc.MediaType, blob)
	if _, drained := io.Copy(io.Discard, blob); drained != nil {
		return drained // the disk, or ctx
	}
	if d := blob.digest(); d != tree.Digest(desc.Digest) || blob.n != desc.Size {
		v.layerProblem(i, "", "the blob is %s of %d bytes, not %s of %d", d, blob.n, desc.Digest, desc.Size)
	}
	switch {
	case err != nil:
		v.layerProblem(i, "", "%v", err)
		return nil
	case diffID != want.DiffID:
		v.layerProblem(i, "", "its content is %s, not %s", diffID, want.DiffID)
	}
	if listing != nil {
		v.compare(i, listing, got)
	}
	return nil
}

// unpack reads a layer's tar stream without keeping it.
func (v *verification) unpack(mediaType string, blob io.Reader) (tree.Digest, tree.Tree, error) {
	tar, err := Uncompress(mediaType, blob)
	if err != nil {
		return "", nil, err
	}
	defer tar.Close()
	m := &meter{r: tar, ctx: context.Background(), hash: sha256.New()}
	h := sha256.New()
	var files int
	var size int64
	t, err := tarball.Read(m, tarball.Limits{}, func(_ string, e *tree.Entry, r io.Reader) error {
		h.Reset()
		n, err := io.Copy(h, r)
		e.Digest = sum(h)
		files++
		size += n
		return err
	})
	v.mu.Lock()
	defer v.mu.Unlock()
	v.verdict.Layers++
	v.verdict.Files += files
	v.verdict.Bytes += size
	return m.digest(), t, err
}

// compare tells which entries of a layer are not as listed.
func (v *verification) compare(i int, listing, got tree.Tree) {
	if bytes.Equal(listing.Encode(), got.Encode()) {
		return
	}
	for _, ch := range tree.Compare(listing, got) {
		why := map[tree.Kind]string{
			tree.Added:   "is not in the listing",
			tree.Removed: "is missing",
			tree.Changed: "has other content than listed",
			tree.Meta:    "has another mode, owner or attribute than listed",
		}[ch.Kind]
		v.layerProblem(i, ch.Path, "%s", why)
	}
	for p, e := range got {
		if l, ok := listing[p]; ok && l.MTime != e.MTime && l.Equal(e) {
			v.layerProblem(i, p, "has another time than listed")
		}
	}
}

// A meter hashes and counts what is read through it.
type meter struct {
	ctx  context.Context
	r    io.Reader
	hash hash.Hash
	n    int64
}

func (m *meter) Read(p []byte) (int, error) {
	if err := m.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := m.r.Read(p)
	m.hash.Write(p[:n])
	m.n += int64(n)
	return n, err
}

func (m *meter) digest() tree.Digest { return sum(m.hash) }

func sum(h hash.Hash) tree.Digest { return tree.Digest(fmt.Sprintf("sha256:%x", h.Sum(nil))) }
