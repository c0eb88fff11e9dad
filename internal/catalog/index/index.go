package index

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"brickyard/internal/store"
	"brickyard/internal/tree"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// The kinds of notes in the store. A note of kindRecord has the hex digits of an image's digest as its
// key and leads to the record's blob; one of kindTag has an escaped name:tag and is a Tag.
const (
	kindRecord = "record"
	kindTag    = "tag"
)

// Limits of what is read into memory, in bytes.
const (
	maxManifest = 4 << 20   // what registries take (OCI distribution specification, "Pushing Manifests")
	maxConfig   = 8 << 20   // a history entry and a diffID for each of a hundred layers have 50 KiB
	maxRecord   = 64 << 20  // a thousand packages have 500 KiB
	maxOwners   = 256 << 20 // a million paths have 100 MiB
)

// A Catalog answers questions about the images in a store. Whoever asks about many of them closes it.
type Catalog struct {
	store *store.Store
	lazy  lazyDB
	each  func() // of Reindex
}

// New returns the catalogue of the images in s.
func New(s *store.Store) *Catalog { return &Catalog{store: s} }

// recordNote is what a note of kindRecord holds.
type recordNote struct {
	Record tree.Digest `json:"record"` // blob
}

// Add puts r into the catalogue when b is committed. A record of the same image that is there already
// is replaced.
func (c *Catalog) Add(b *store.Batch, r Record) error {
	data, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("record of %s: %w", r.Image, err)
	}
	d, _, err := c.store.Put(strings.NewReader(string(data)))
	if err != nil {
		return fmt.Errorf("record of %s: %w", r.Image, err)
	}
	return b.Set(kindRecord, r.Image.Hex(), recordNote{d})
}

// Record returns what is known of an image. Errors: [store.ErrNotFound] when there is no note of it, [NoteError] when
// there is, and it leads to no record.
func (c *Catalog) Record(image tree.Digest) (Record, error) {
	if !digestForm.MatchString(string(image)) {
		return Record{}, fmt.Errorf("image %q: %w", image, store.ErrNotFound)
	}
	r, err := c.record(image)
	if err != nil && !errors.Is(err, errNoNote) {
		hint := "bake its recipe again, which writes the record anew; or take the file away, and the image is forgotten: rm " +
			c.store.NotePath(kindRecord, image.Hex())
		return Record{}, &NoteError{What: "image " + string(image), Err: err, hint: hint}
	}
	return r, err
}

// errNoNote is ErrNotFound for a note, rather than what it leads to.
var errNoNote = fmt.Errorf("no record of it here: %w", store.ErrNotFound)

func (c *Catalog) record(image tree.Digest) (Record, error) {
	var note recordNote
	err := c.store.Note(kindRecord, image.Hex(), &note)
	if errors.Is(err, store.ErrNotFound) {
		return Record{}, fmt.Errorf("image %s: %w", image, errNoNote)
	}
	if err != nil {
		return Record{}, err
	}
	damaged := func(format string, a ...any) (Record, error) {
		return Record{}, &store.DamagedError{Path: c.store.NotePath(kindRecord, image.Hex()), Err: fmt.Errorf(format, a...)}
	}
	if !digestForm.MatchString(string(note.Record)) {
		return damaged("it leads to %q, which is no digest", note.Record)
	}
	var r Record
	err = c.readJSON(note.Record, maxRecord, &r)
	if _, disk := errors.AsType[*fs.PathError](err); disk { // the note may be right
		return Record{}, fmt.Errorf("its record: %w", err)
	}
	if err != nil {
		return damaged("the record that it leads to: %w", err)
	}
	if r.Image != image {
		return damaged("it leads to the record of %q", r.Image)
	}
	return r, nil
}

// Has says whether the catalogue has a record of an image that can be read.
func (c *Catalog) Has(image tree.Digest) bool {
	_, err := c.Record(image)
	return err == nil
}

func (c *Catalog) readJSON(d tree.Digest, limit int64, v any) error {
	data, err := c.store.ReadBlob(d, limit)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, v)
}

// Manifest returns the OCI manifest of an image. Errors: [store.ErrNotFound], [store.ErrDigest].
func (c *Catalog) Manifest(image tree.Digest) (ocispec.Manifest, error) {
	var m ocispec.Manifest
	if err := c.readJSON(image, maxManifest, &m); err != nil {
		return m, fmt.Errorf("manifest: %w", err)
	}
	return m, nil
}

// Config returns the OCI configuration with the digest d. Errors: [store.ErrNotFound], [store.ErrDigest].
func (c *Catalog) Config(d tree.Digest) (ocispec.Image, error) {
	var config ocispec.Image
	if err := c.readJSON(d, maxConfig, &config); err != nil {
		return config, fmt.Errorf("config: %w", err)
	}
	return config, nil
}

// Root returns the whole tree of an image: its layers on top of each other.
func (c *Catalog) Root(r Record) (tree.Tree, error) {
	root := tree.Tree{}
	for i := range r.Layers {
		t, err := c.Listing(r, i)
		if err != nil {
			return nil, fmt.Errorf("image %s: listing of layer %d: %w", r.Image, i, err)
		}
		root.Apply(t)
	}
	return root, nil
}

// kindListing is the kind of notes with the listings of layers that came from elsewhere; the key is the layer's digest.
const kindListing = "listing"

// Listing is the listing of the i-th layer of an image. That of a layer from elsewhere is made when it is first asked for.
func (c *Catalog) Listing(r Record, i int) (tree.Tree, error) {
	l := r.Layers[i]
	if l.Tree != "" {
		return c.store.Tree(l.Tree)
	}
	var listing tree.Digest
	err := c.store.Cached(kindListing, l.Digest.Hex(), &listing)
	if err == nil {
		t, err := c.store.Tree(listing)
		if !errors.Is(err, store.ErrNotFound) {
			return t, err
		}
	} else if !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	m, err := c.Manifest(r.Image)
	if err != nil {
		return nil, err
	}
	t, err := c.readLayer(m.Layers[i], func(_ string, e *tree.Entry, r io.Reader) error {
		h := sha256.New()
		_, err := io.Copy(h, r)
		e.Digest = sum(h)
		return err
	})
	if err != nil {
		return nil, err
	}
	if listing, err = c.store.PutTree(t); err == nil {
		err = c.store.Remember(kindListing, l.Digest.Hex(), listing)
	}
	return t, err
}

// Document returns the manifest or configuration with the digest d as it is. Errors: [store.ErrNotFound],
// [store.ErrDigest].
func (c *Catalog) Document(d tree.Digest) (json.RawMessage, error) {
	return c.store.ReadBlob(d, maxConfig)
}
