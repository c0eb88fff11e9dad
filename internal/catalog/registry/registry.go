// Package registry lets OCI clients push to and pull from a catalogue, over the OCI distribution specification 1.1.
//
// A repository is what is before the colon of a name:tag. Blobs are the store's, whoever brought them: repositories keep
// apart names, not bytes.
package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"brickyard/internal/catalog/index"
	"brickyard/internal/store"
	"brickyard/internal/tree"

	"cuelabs.dev/go/oci/ociregistry"
	"cuelabs.dev/go/oci/ociregistry/ociserver"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A Registry is a catalogue as OCI clients see it.
type Registry struct {
	*ociregistry.Funcs // what is not here is not supported

	Store   *store.Store
	Catalog *index.Catalog
	Now     func() time.Time
}

// maxManifest is how many bytes a manifest may have: what the specification asks registries to take at least.
const maxManifest = 4 << 20

// Handler serves the API below /v2/ to users.
func (r *Registry) Handler() http.Handler { return r.guard(r.open()) }

// open serves the API to everybody.
func (r *Registry) open() http.Handler {
	api := ociserver.New(r, &ociserver.Options{WriteError: writeError})
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodPut && strings.Contains(req.URL.Path, "/manifests/") {
			if err := bufferManifest(req); err != nil {
				writeError(w, req, err)
				return
			}
		}
		if req.Header.Get("Content-Range") == "0-0" && req.ContentLength == 1 {
			req.Header.Del("Content-Range") // which ociserver takes for nothing at all, and the beginning is what it takes when there is none
		}
		api.ServeHTTP(w, r.mountOrUpload(req))
	})
}

// bufferManifest reads the body of a request, which may have as much as a manifest.
func bufferManifest(req *http.Request) error {
	data, err := io.ReadAll(io.LimitReader(req.Body, maxManifest+1))
	if err != nil {
		return err
	}
	if len(data) > maxManifest {
		return fmt.Errorf("%w: a manifest has %d bytes at most", ociregistry.ErrSizeInvalid, maxManifest)
	}
	if !json.Valid(data) {
		return fmt.Errorf("%w: no JSON", ociregistry.ErrManifestInvalid)
	}
	req.Body = io.NopCloser(bytes.NewReader(data))
	return nil
}

// mountOrUpload makes the beginning of an upload of a request to mount a blob that is not here: specification, "Mounting a
// blob from another repository".
func (r *Registry) mountOrUpload(req *http.Request) *http.Request {
	q := req.URL.Query()
	if req.Method != http.MethodPost || !q.Has("mount") {
		return req
	}
	if _, err := r.Store.Size(tree.Digest(q.Get("mount"))); err == nil {
		return req
	}
	plain := req.Clone(req.Context())
	q.Del("mount")
	q.Del("from")
	plain.URL.RawQuery = q.Encode()
	return plain
}

// writeError answers with an error.
func writeError(w http.ResponseWriter, req *http.Request, err error) {
	body, status := ociregistry.MarshalError(err)
	if req.Method == http.MethodDelete && errors.Is(err, ociregistry.ErrUnsupported) {
		status = http.StatusMethodNotAllowed // specification, "Deleting Blobs"
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(body)
}

// asOCI is an error in the words of the specification.
func asOCI(err, unknown error) error {
	switch {
	case errors.Is(err, store.ErrNotFound):
		return unknown
	case errors.Is(err, store.ErrDigest):
		return fmt.Errorf("%w: it was damaged, and is put aside: push it again", unknown)
	}
	if e, ok := errors.AsType[*index.InvalidManifestError](err); ok {
		return fmt.Errorf("%w: %s", ociregistry.ErrManifestInvalid, e.Why)
	}
	return err
}

// A blobReader reads a blob or manifest, verified to its end.
type blobReader struct {
	io.Reader
	close func() error
	desc  ocispec.Descriptor
}

func (b *blobReader) Close() error                   { return b.close() }
func (b *blobReader) Descriptor() ocispec.Descriptor { return b.desc }

// octets is the media type of a blob: what it is, only manifests know.
const octets = "application/octet-stream"

// GetBlob opens a blob.
func (r *Registry) GetBlob(ctx context.Context, repo string, d ociregistry.Digest) (ociregistry.BlobReader, error) {
	desc, err := r.ResolveBlob(ctx, repo, d)
	if err != nil {
		return nil, err
	}
	f, err := r.Store.Blob(tree.Digest(d))
	if err != nil {
		return nil, asOCI(err, ociregistry.ErrBlobUnknown)
	}
	return &blobReader{f, f.Close, desc}, nil
}

// GetBlobRange opens a part of a blob: from start up to end, or all the rest when end is negative.
func (r *Registry) GetBlobRange(ctx context.Context, repo string, d ociregistry.Digest, start, end int64) (ociregistry.BlobReader, error) {
	desc, err := r.ResolveBlob(ctx, repo, d)
	if err != nil {
		return nil, err
	}
	if end < 0 || end > desc.Size {
		end = desc.Size
	}
	if start < 0 || start > end {
		return nil, ociregistry.ErrRangeInvalid
	}
	f, err := r.Store.OpenVerified(ctx, tree.Digest(d)) // a part can't be told from one that was damaged
	if err != nil {
		return nil, asOCI(err, ociregistry.ErrBlobUnknown)
	}
	return &blobReader{io.NewSectionReader(f, start, end-start), f.Close, desc}, nil
}

// ResolveBlob describes a blob.
func (r *Registry) ResolveBlob(_ context.Context, _ string, d ociregistry.Digest) (ociregistry.Descriptor, error) {
	size, err := r.Store.Size(tree.Digest(d))
	if err != nil {
		return ocispec.Descriptor{}, asOCI(err, ociregistry.ErrBlobUnknown)
	}
	return ocispec.Descriptor{MediaType: octets, Digest: d, Size: size}, nil
}

// GetManifest opens a manifest.
func (r *Registry) GetManifest(ctx context.Context, repo string, d ociregistry.Digest) (ociregistry.BlobReader, error) {
	desc, err := r.ResolveManifest(ctx, repo, d)
	if err != nil {
		return nil, err
	}
	f, err := r.Store.Blob(tree.Digest(d))
	if err != nil {
		return nil, asOCI(err, ociregistry.ErrManifestUnknown)
	}
	return &blobReader{f, f.Close, desc}, nil
}

// GetTag opens the manifest that a tag points at.
func (r *Registry) GetTag(ctx context.Context, repo, tag string) (ociregistry.BlobReader, error) {
	desc, err := r.ResolveTag(ctx, repo, tag)
	if err != nil {
		return nil, err
	}
	return r.GetManifest(ctx, repo, desc.Digest)
}

// ResolveManifest describes a manifest.
func (r *Registry) ResolveManifest(_ context.Context, repo string, d ociregistry.Digest) (ociregistry.Descriptor, error) {
	h, err := r.Catalog.Held(repo, tree.Digest(d))
	if err != nil {
		return ocispec.Descriptor{}, asOCI(err, ociregistry.ErrManifestUnknown)
	}
	return ocispec.Descriptor{MediaType: h.Media, Digest: d, Size: h.Size}, nil
}

// ResolveTag describes the manifest that a tag points at.
func (r *Registry) ResolveTag(ctx context.Context, repo, tag string) (ociregistry.Descriptor, error) {
	t, err := r.Catalog.Tagged(repo + ":" + tag)
	if err != nil {
		return ocispec.Descriptor{}, asOCI(err, ociregistry.ErrManifestUnknown)
	}
	return r.ResolveManifest(ctx, repo, ociregistry.Digest(t.Image))
}
