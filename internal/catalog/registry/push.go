package registry

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"strings"

	"brickyard/internal/catalog/index"
	"brickyard/internal/store"
	"brickyard/internal/tree"

	"cuelabs.dev/go/oci/ociregistry"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"
)

// checkRepo refuses what can't be the name of a repository.
func checkRepo(repo string) error {
	if r, err := index.ParseRef(repo + ":tag"); err != nil || r.Name != repo {
		return ociregistry.ErrNameInvalid
	}
	return nil
}

// PushBlob takes in a blob whose digest is known.
func (r *Registry) PushBlob(_ context.Context, repo string, desc ociregistry.Descriptor, in io.Reader) (ociregistry.Descriptor, error) {
	if err := checkRepo(repo); err != nil {
		return desc, err
	}
	if err := checkDigest(desc.Digest); err != nil {
		return desc, err
	}
	counted := &counter{r: in}
	if err := r.Store.PutExpect(tree.Digest(desc.Digest), counted); err != nil {
		if errors.Is(err, store.ErrDigest) {
			err = fmt.Errorf("%w: %w", ociregistry.ErrDigestInvalid, err)
		}
		return desc, err
	}
	desc.Size = counted.n
	return desc, r.Store.Sync()
}

type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// checkDigest refuses digests of other kinds: the store has only sha256.
func checkDigest(d digest.Digest) error {
	if err := d.Validate(); err != nil {
		return fmt.Errorf("%w: %w", ociregistry.ErrDigestInvalid, err)
	}
	if d.Algorithm() != digest.SHA256 {
		return fmt.Errorf("%w: only sha256 is known here", ociregistry.ErrDigestInvalid)
	}
	return nil
}

// MountBlob says that a blob which another repository has is in this one too.
func (r *Registry) MountBlob(ctx context.Context, from, to string, d ociregistry.Digest) (ociregistry.Descriptor, error) {
	if err := errors.Join(checkRepo(from), checkRepo(to)); err != nil {
		return ocispec.Descriptor{}, ociregistry.ErrNameInvalid
	}
	return r.ResolveBlob(ctx, to, d)
}

// An upload is a blob that comes in pieces. It is a file of the store: it outlives this process, and is swept when nobody has
// gone on with it for a day. Only one request at a time writes to it.
type upload struct {
	r     *Registry
	id    string
	f     *os.File
	start int64 // that the first write must be at; -1: wherever the last one ended
	size  int64
}

// idForm is that of an upload's name.
var idForm = regexp.MustCompile(`^[0-9a-f]{32}$`)

// PushBlobChunked begins an upload.
func (r *Registry) PushBlobChunked(_ context.Context, repo string, _ int) (ociregistry.BlobWriter, error) {
	if err := checkRepo(repo); err != nil {
		return nil, err
	}
	var random [16]byte
	if _, err := rand.Read(random[:]); err != nil {
		return nil, err
	}
	return r.openUpload(hex.EncodeToString(random[:]), os.O_CREATE|os.O_EXCL, 0)
}

// PushBlobChunkedResume goes on with an upload.
func (r *Registry) PushBlobChunkedResume(_ context.Context, repo, id string, offset int64, _ int) (ociregistry.BlobWriter, error) {
	if err := checkRepo(repo); err != nil {
		return nil, err
	}
	if !idForm.MatchString(id) {
		return nil, ociregistry.ErrBlobUploadUnknown
	}
	return r.openUpload(id, 0, offset)
}

func (r *Registry) openUpload(id string, flags int, start int64) (*upload, error) {
	f, err := os.OpenFile(r.Store.Partial("upload-"+id), os.O_RDWR|os.O_APPEND|flags, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ociregistry.ErrBlobUploadUnknown
	}
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("%w: another request writes to it", ociregistry.ErrBlobUploadInvalid)
	}
	fi, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	return &upload{r, id, f, start, fi.Size()}, nil
}

// Write adds a piece, which must begin where the last one ended.
func (u *upload) Write(p []byte) (int, error) {
	if len(p) > 0 && u.start >= 0 {
		if u.start != u.size {
			return 0, fmt.Errorf("%w: it begins at %d, and there are %d bytes", ociregistry.ErrRangeInvalid, u.start, u.size)
		}
		u.start = -1
	}
	n, err := u.f.Write(p)
	u.size += int64(n)
	return n, err
}

func (u *upload) Size() int64  { return u.size }
func (u *upload) ID() string   { return u.id }
func (u *upload) Close() error { return u.f.Close() }

// ChunkSize is the least that a piece may have: any will do.
func (u *upload) ChunkSize() int { return 1 }

// Cancel gives the upload up.
func (u *upload) Cancel() error {
	return errors.Join(u.f.Close(), os.Remove(u.f.Name()))
}

// Commit makes the blob count when it has the digest.
func (u *upload) Commit(d ociregistry.Digest) (ociregistry.Descriptor, error) {
	desc := ocispec.Descriptor{MediaType: octets, Digest: d, Size: u.size}
	if err := checkDigest(d); err != nil {
		return desc, err
	}
	if _, err := u.f.Seek(0, io.SeekStart); err != nil {
		return desc, err
	}
	h := sha256.New()
	if _, err := io.Copy(h, u.f); err != nil {
		return desc, err
	}
	if got := "sha256:" + hex.EncodeToString(h.Sum(nil)); got != string(d) {
		return desc, fmt.Errorf("%w: the %d bytes are %s, not %s", ociregistry.ErrDigestInvalid, u.size, got, d)
	}
	if err := u.r.Store.Adopt(u.f.Name(), tree.Digest(d)); err != nil {
		return desc, err
	}
	return desc, u.r.Store.Sync()
}

// PushManifest takes in a manifest and, if tag is not "", points the tag at it. All that it is made of must be there.
func (r *Registry) PushManifest(ctx context.Context, repo, tag string, data []byte, media string) (ociregistry.Descriptor, error) {
	desc := ocispec.Descriptor{MediaType: media, Digest: digest.FromBytes(data), Size: int64(len(data))}
	if err := checkRepo(repo); err != nil {
		return desc, err
	}
	if len(data) > maxManifest {
		return desc, fmt.Errorf("%w: more than %d bytes", ociregistry.ErrSizeInvalid, maxManifest)
	}
	if tag != "" {
		if _, err := index.ParseRef(repo + ":" + tag); err != nil {
			return desc, fmt.Errorf("%w: %w", ociregistry.ErrManifestInvalid, err)
		}
	}
	m, err := index.ParseManifest(data, media)
	if err != nil {
		return desc, asOCI(err, nil)
	}
	if err := r.checkParts(repo, m); err != nil {
		return desc, err
	}
	if _, _, err := r.Store.Put(strings.NewReader(string(data))); err != nil {
		return desc, err
	}
	return desc, r.keep(ctx, repo, tag, desc, m)
}

// checkParts refuses a manifest of which something is not there.
func (r *Registry) checkParts(repo string, m *index.Manifest) error {
	for _, d := range m.Needs() {
		size, err := r.Store.Size(tree.Digest(d.Digest))
		if err != nil {
			return fmt.Errorf("%w: %s", asOCI(err, ociregistry.ErrManifestBlobUnknown), d.Digest)
		}
		if size != d.Size {
			return fmt.Errorf("%w: %s has %d bytes, not %d", ociregistry.ErrSizeInvalid, d.Digest, size, d.Size)
		}
	}
	for _, d := range m.Manifests {
		if _, err := r.Catalog.Held(repo, tree.Digest(d.Digest)); err != nil {
			return fmt.Errorf("%w: %s", asOCI(err, ociregistry.ErrManifestBlobUnknown), d.Digest)
		}
	}
	return nil
}

// keep notes the manifest, its record if it is an image of which there is none, and the tag, all at once.
func (r *Registry) keep(ctx context.Context, repo, tag string, desc ocispec.Descriptor, m *index.Manifest) error {
	unlock, err := r.Catalog.Lock(ctx, nil)
	if err != nil {
		return err
	}
	defer unlock()
	d, now, by := tree.Digest(desc.Digest), r.Now(), user(ctx)
	b := r.Store.Batch()
	if m.IsImage() && !r.Catalog.Has(d) {
		rec, err := r.Catalog.Imported(d, m, repo, by, now)
		if err != nil {
			return asOCI(err, ociregistry.ErrManifestBlobUnknown)
		}
		if err := r.Catalog.Add(b, rec); err != nil {
			return err
		}
	}
	if tag != "" {
		if err := r.Catalog.Tag(b, repo+":"+tag, d, true, by, now); err != nil {
			return err
		}
	}
	// After the tag, which knows no better media type than what the manifest says of itself.
	if err := r.Catalog.Hold(b, m.Held(repo, d, desc.Size, by, now)); err != nil {
		return err
	}
	return b.Commit()
}

type userKey struct{}

// withUser is a context of a request by a user.
func withUser(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, userKey{}, name)
}

func user(ctx context.Context) string {
	name, _ := ctx.Value(userKey{}).(string)
	return name
}
