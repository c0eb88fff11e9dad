package index

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"slices"
	"strings"
	"time"

	"brickyard/internal/store"
	"brickyard/internal/tree"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// kindManifest is the kind of notes that say that a repository has a manifest; the key is that of a Held.
const kindManifest = "manifest"

// A Held is a manifest in a repository: what people pull from there by its digest, with a tag or without.
type Held struct {
	Repo     string      `json:"repo"`
	Digest   tree.Digest `json:"digest"`
	Media    string      `json:"media"` // type
	Size     int64       `json:"size"`
	Subject  tree.Digest `json:"subject,omitzero"`      // that it is about
	Artifact string      `json:"artifact,omitempty"`    // type, of what refers to a subject
	Note     Annotations `json:"annotations,omitempty"` // of what refers to a subject
	At       time.Time   `json:"at"`
	By       string      `json:"by"`
	// Parts are the blobs that a manifest which is no image is made of; an image's are in its record.
	Parts []tree.Digest `json:"parts,omitempty"`
}

// Annotations are those of a manifest.
type Annotations = map[string]string

func heldKey(repo string, d tree.Digest) string {
	return store.Sum([]byte(repo + "@" + string(d))).Hex()
}

// Hold puts a manifest, whose blob is in the store, into a repository when b is committed.
func (c *Catalog) Hold(b *store.Batch, h Held) error {
	return b.Set(kindManifest, heldKey(h.Repo, h.Digest), h)
}

// Held returns what a repository says of a manifest. Errors: [store.ErrNotFound], *NoteError.
func (c *Catalog) Held(repo string, d tree.Digest) (Held, error) { return c.heldBy(heldKey(repo, d)) }

// heldBy reads the note with a key.
func (c *Catalog) heldBy(key string) (Held, error) {
	var h Held
	err := c.store.Note(kindManifest, key, &h)
	if err == nil && (heldKey(h.Repo, h.Digest) != key || !digestForm.MatchString(string(h.Digest))) {
		err = &store.DamagedError{Path: c.store.NotePath(kindManifest, key), Err: fmt.Errorf("it is about %q@%q", h.Repo, h.Digest)}
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return Held{}, &NoteError{What: "manifest", Err: err, hint: "take the file away, and push or tag the image again: rm " + c.store.NotePath(kindManifest, key)}
	}
	return h, err
}

// holdTagged puts an image that gets a tag into its repository, unless it is there or nowhere.
func (c *Catalog) holdTagged(b *store.Batch, repo string, image tree.Digest, by string, now time.Time) error {
	if _, err := c.Held(repo, image); !errors.Is(err, store.ErrNotFound) {
		return err
	}
	data, err := c.store.ReadBlob(image, maxManifest)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	m, err := ParseManifest(data, "")
	if err != nil {
		return err
	}
	return c.Hold(b, m.Held(repo, image, int64(len(data)), by, now))
}

// Repositories lists the names of repositories after one, sorted.
func (c *Catalog) Repositories(after string) ([]string, error) {
	db, err := c.index()
	if err != nil {
		return nil, err
	}
	return texts(db, "SELECT DISTINCT repo FROM manifest WHERE repo > ? ORDER BY repo", after)
}

// HasRepository says whether there is a manifest in a repository.
func (c *Catalog) HasRepository(repo string) (has bool, err error) {
	db, err := c.index()
	if err != nil {
		return false, err
	}
	return has, db.QueryRow("SELECT EXISTS (SELECT 1 FROM manifest WHERE repo = ?)", repo).Scan(&has)
}

// Referrers lists what is in a repository about a manifest, of one artifact type or, for "", of any, oldest first.
func (c *Catalog) Referrers(repo string, subject tree.Digest, artifact string) ([]Held, error) {
	db, err := c.index()
	if err != nil {
		return nil, err
	}
	rows, err := db.Query("SELECT digest FROM manifest WHERE repo = ? AND subject = ?", repo, bytesOf(subject))
	if err != nil {
		return nil, err
	}
	var found []tree.Digest
	var d []byte
	if err := each(rows, func() { found = append(found, digest(d)) }, &d); err != nil {
		return nil, err
	}
	var list []Held
	for _, d := range found {
		h, err := c.Held(repo, d)
		if errors.Is(err, store.ErrNotFound) {
			continue // gone since
		}
		if err != nil {
			return nil, err
		}
		if artifact == "" || h.Artifact == artifact {
			list = append(list, h)
		}
	}
	slices.SortFunc(list, func(a, b Held) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Digest, b.Digest)) })
	return list, nil
}

// LetGo takes a manifest out of a repository, with its tags there, and returns these.
func (c *Catalog) LetGo(repo string, d tree.Digest) ([]string, error) {
	tags, err := c.TagsOf(repo)
	if err != nil {
		return nil, err
	}
	var gone []string
	for _, t := range tags {
		if t.Image == d {
			if err := c.store.DropNote(kindTag, Ref{repo, strings.TrimPrefix(t.Ref, repo+":")}.key()); err != nil {
				return gone, err
			}
			gone = append(gone, t.Ref)
		}
	}
	if err := c.store.DropNote(kindManifest, heldKey(repo, d)); err != nil {
		return gone, err
	}
	return gone, c.forgetPushed(d)
}

// forgetPushed forgets an image that was pushed and is in no repository any more. What was baked here stays.
func (c *Catalog) forgetPushed(d tree.Digest) error {
	r, err := c.Record(d)
	if unusable(err) || err == nil && r.Origin != OriginPushed {
		return nil
	}
	if err != nil {
		return err
	}
	db, err := c.index()
	if err != nil {
		return err
	}
	var held bool
	err = db.QueryRow("SELECT EXISTS (SELECT 1 FROM manifest WHERE digest = ?)", bytesOf(d)).Scan(&held)
	if err != nil || held {
		return err
	}
	return c.store.DropNote(kindRecord, d.Hex())
}

// Needed says whether a manifest in a repository or an image of the catalogue is made of the blob, or is it.
func (c *Catalog) Needed(d tree.Digest) (needed bool, err error) {
	db, err := c.index()
	if err != nil {
		return false, err
	}
	blob := bytesOf(d)
	return needed, db.QueryRow(`SELECT EXISTS (SELECT 1 FROM manifest WHERE digest = ?) OR EXISTS (SELECT 1 FROM part WHERE blob = ?)
		OR EXISTS (SELECT 1 FROM image WHERE digest = ? OR config = ?)
		OR EXISTS (SELECT 1 FROM layer JOIN image_layer ON layer = layer.id WHERE layer.digest = ?)`, blob, blob, blob, blob, blob).Scan(&needed)
}

// The media types of manifests. Docker's are those of the image manifest version 2, schema 2.
const (
	mediaDockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	mediaDockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
)

// A Manifest is one of an image, an index of several or an artifact, as far as the catalogue minds.
type Manifest struct {
	Media     string
	Config    *ocispec.Descriptor // nil for an index
	Layers    []ocispec.Descriptor
	Manifests []ocispec.Descriptor // of an index
	Subject   *ocispec.Descriptor
	Artifact  string
	Notes     Annotations
}

// An InvalidManifestError says what is wrong with a manifest.
type InvalidManifestError struct{ Why string }

func (e *InvalidManifestError) Error() string { return "manifest: " + e.Why }

// ParseManifest reads a manifest that somebody calls media; "" for what it says itself. Errors: *InvalidManifestError.
func ParseManifest(data []byte, media string) (*Manifest, error) {
	bad := func(format string, a ...any) (*Manifest, error) {
		return nil, &InvalidManifestError{fmt.Sprintf(format, a...)}
	}
	var m struct {
		SchemaVersion int                  `json:"schemaVersion"`
		MediaType     string               `json:"mediaType"`
		ArtifactType  string               `json:"artifactType"`
		Config        *ocispec.Descriptor  `json:"config"`
		Layers        []ocispec.Descriptor `json:"layers"`
		Manifests     []ocispec.Descriptor `json:"manifests"`
		Subject       *ocispec.Descriptor  `json:"subject"`
		Annotations   Annotations          `json:"annotations"`
	}
	if len(data) > maxManifest {
		return bad("%d bytes, more than the %d that a manifest may have", len(data), maxManifest)
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return bad("%v", err)
	}
	if parsed, _, err := mime.ParseMediaType(media); err == nil {
		media = parsed
	}
	switch {
	case media == "" && m.MediaType != "":
		media = m.MediaType
	case media == "" && m.Manifests != nil:
		media = ocispec.MediaTypeImageIndex
	case media == "":
		media = ocispec.MediaTypeImageManifest
	case m.MediaType != "" && m.MediaType != media:
		return bad("it is called %s, and says that it is %s", media, m.MediaType)
	}
	if m.SchemaVersion != 2 {
		return bad("schema version %d, not 2", m.SchemaVersion)
	}
	switch media {
	case ocispec.MediaTypeImageManifest, mediaDockerManifest:
		if m.Config == nil || m.Manifests != nil {
			return bad("not one of %s", media)
		}
	case ocispec.MediaTypeImageIndex, mediaDockerList:
		if m.Config != nil || m.Layers != nil {
			return bad("not one of %s", media)
		}
	default:
		return bad("media type %q is not known here", media)
	}
	out := &Manifest{media, m.Config, m.Layers, m.Manifests, m.Subject, m.ArtifactType, m.Annotations}
	for _, d := range out.All() {
		if !digestForm.MatchString(string(d.Digest)) || d.Size < 0 {
			return bad("descriptor with digest %q and size %d", d.Digest, d.Size)
		}
	}
	if out.Artifact == "" && out.Config != nil {
		out.Artifact = out.Config.MediaType // distribution specification, "Listing Referrers"
	}
	return out, nil
}

// All are the descriptors of all that the manifest names.
func (m *Manifest) All() []ocispec.Descriptor {
	all := append(m.Needs(), m.Manifests...)
	if m.Subject != nil {
		all = append(all, *m.Subject)
	}
	return all
}

// Needs are the descriptors of the blobs without which the manifest is of no use.
func (m *Manifest) Needs() []ocispec.Descriptor {
	var all []ocispec.Descriptor
	if m.Config != nil {
		all = append(all, *m.Config)
	}
	for _, l := range m.Layers {
		if !strings.Contains(l.MediaType, "nondistributable") && !strings.Contains(l.MediaType, ".foreign.") {
			all = append(all, l)
		}
	}
	return all
}

// IsImage says whether it is one image, rather than an index or an artifact.
func (m *Manifest) IsImage() bool {
	return m.Config != nil && (m.Config.MediaType == ocispec.MediaTypeImageConfig || m.Config.MediaType == mediaDockerConfig)
}

// Held is what a repository is to say of the manifest, which has the digest d and size bytes.
func (m *Manifest) Held(repo string, d tree.Digest, size int64, by string, now time.Time) Held {
	h := Held{Repo: repo, Digest: d, Media: m.Media, Size: size, At: now.UTC(), By: by}
	if m.Subject != nil {
		h.Subject, h.Artifact, h.Note = tree.Digest(m.Subject.Digest), m.Artifact, m.Notes
	}
	if !m.IsImage() {
		for _, p := range append(m.Needs(), m.Manifests...) {
			h.Parts = append(h.Parts, tree.Digest(p.Digest))
		}
	}
	return h
}

const mediaDockerConfig = "application/vnd.docker.container.image.v1+json"

// Imported is the record of an image that came from elsewhere: what its manifest and configuration say. Errors:
// [store.ErrNotFound], [store.ErrDigest].
func (c *Catalog) Imported(d tree.Digest, m *Manifest, name, by string, now time.Time) (Record, error) {
	r := Record{Image: d, Config: tree.Digest(m.Config.Digest), Name: name, Baked: now.UTC(), By: by, Origin: OriginPushed}
	config, err := c.Config(r.Config)
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrDigest) {
		return r, err
	} // what else is wrong with it, verify and run tell
	if config.Created != nil {
		r.Baked = config.Created.UTC()
	}
	r.Arch = config.Architecture
	for i, l := range m.Layers {
		layer := Layer{Digest: tree.Digest(l.Digest), Size: l.Size, Kind: LayerOther}
		if len(config.RootFS.DiffIDs) == len(m.Layers) {
			layer.DiffID = tree.Digest(config.RootFS.DiffIDs[i])
		}
		r.Layers = append(r.Layers, layer)
	}
	return r, nil
}
