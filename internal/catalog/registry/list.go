package registry

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"brickyard/internal/catalog/index"
	"brickyard/internal/tree"

	"cuelabs.dev/go/oci/ociregistry"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Repositories lists all repositories after one, in order.
func (r *Registry) Repositories(_ context.Context, after string) iter.Seq2[string, error] {
	return sequence(r.Catalog.Repositories(after))
}

// Tags lists the tags of a repository after one, in order.
func (r *Registry) Tags(_ context.Context, repo, after string) iter.Seq2[string, error] {
	tags, err := r.Catalog.TagsOf(repo)
	if err == nil && len(tags) == 0 {
		var known bool
		if known, err = r.Catalog.HasRepository(repo); err == nil && !known {
			err = ociregistry.ErrNameUnknown
		}
	}
	var names []string
	for _, t := range tags {
		if name := strings.TrimPrefix(t.Ref, repo+":"); name > after {
			names = append(names, name)
		}
	}
	return sequence(names, err)
}

// Referrers lists what refers to a manifest, of one artifact type or, for "", of any.
func (r *Registry) Referrers(_ context.Context, repo string, d ociregistry.Digest, artifact string) iter.Seq2[ociregistry.Descriptor, error] {
	all, err := r.Catalog.Referrers(repo, tree.Digest(d), artifact)
	var list []ociregistry.Descriptor
	for _, h := range all {
		list = append(list, ocispec.Descriptor{
			MediaType: h.Media, Digest: ociregistry.Digest(h.Digest), Size: h.Size, ArtifactType: h.Artifact, Annotations: h.Note,
		})
	}
	return sequence(list, err)
}

// sequence goes through a list, or says what went wrong.
func sequence[T any](list []T, err error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, v := range list {
			if !yield(v, nil) {
				return
			}
		}
		if err != nil {
			var none T
			yield(none, err)
		}
	}
}

// DeleteTag takes a tag away; what it points at stays.
func (r *Registry) DeleteTag(ctx context.Context, repo, tag string) error {
	unlock, err := r.Catalog.Lock(ctx, nil)
	if err != nil {
		return err
	}
	defer unlock()
	_, err = r.Catalog.Untag(repo + ":" + tag)
	if _, unknown := errors.AsType[*index.NotFoundError](err); unknown {
		return ociregistry.ErrManifestUnknown
	}
	return err
}

// DeleteManifest takes a manifest out of a repository, with the tags that point at it there.
func (r *Registry) DeleteManifest(ctx context.Context, repo string, d ociregistry.Digest) error {
	unlock, err := r.Catalog.Lock(ctx, nil)
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := r.Catalog.Held(repo, tree.Digest(d)); err != nil {
		return asOCI(err, ociregistry.ErrManifestUnknown)
	}
	_, err = r.Catalog.LetGo(repo, tree.Digest(d))
	return err
}

// DeleteBlob takes a blob away that nothing is made of; repositories share theirs.
func (r *Registry) DeleteBlob(ctx context.Context, repo string, d ociregistry.Digest) error {
	unlock, err := r.Catalog.Lock(ctx, nil)
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := r.ResolveBlob(ctx, repo, d); err != nil {
		return err
	}
	needed, err := r.Catalog.Needed(tree.Digest(d))
	if err != nil {
		return err
	}
	if needed {
		return fmt.Errorf("%w: an image is made of %s", ociregistry.ErrUnsupported, d)
	}
	return r.Store.Discard(tree.Digest(d))
}
