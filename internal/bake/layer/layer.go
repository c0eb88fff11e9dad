// Package layer turns trees into OCI layers: it decides which packages share a layer, and writes
// each layer's tar stream, compressed, into the store.
package layer

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"

	"brickyard/internal/store"
	"brickyard/internal/store/tarball"
	"brickyard/internal/tree"

	"github.com/klauspost/compress/gzip"
)

// MediaType is that of the layers Write makes (OCI image specification, "Media Types").
const MediaType = "application/vnd.oci.image.layer.v1.tar+gzip"

// format names how a tree becomes bytes. It goes up when the tar writer, the compressor's version or its
// level changes the output, so that a layer kept from before is not taken for what would be made now.
const format = "1"

// level is the best ratio that stays hidden behind the maintainer scripts, which use one core
// while layers are compressed on the other.
const level = 4

// A Layer is a tree as it is in the store: the blob that registries carry, and what it unpacks to.
type Layer struct {
	DiffID tree.Digest `json:"diff_id"` // of the uncompressed tar
	Digest tree.Digest `json:"digest"`  // of the gzip blob
	Size   int64       `json:"size"`    // of the gzip blob, bytes
	Tree   tree.Digest `json:"tree"`    // of the listing
}

const noteKind = "layer"

func noteKey(listing tree.Digest) string { return listing.Hex() + "-" + format }

// Write returns the layer that t is, made now or found in the store. Files must be in the store. When
// note is not nil, what was made is noted in it.
func Write(s *store.Store, t tree.Tree, note func(kind, key string, v any) error) (Layer, error) {
	listing, err := s.PutTree(t)
	if err != nil {
		return Layer{}, err
	}
	var l Layer
	if err := s.Cached(noteKind, noteKey(listing), &l); err == nil {
		if size, err := s.Size(l.Digest); err == nil && size == l.Size && l.Tree == listing {
			return l, nil
		}
	} else if !errors.Is(err, store.ErrNotFound) {
		return Layer{}, err
	}
	if l, err = compress(s, t); err != nil {
		return Layer{}, fmt.Errorf("layer: %w", err)
	}
	l.Tree = listing
	return l, note(noteKind, noteKey(listing), l)
}

func compress(s *store.Store, t tree.Tree) (Layer, error) {
	blob, err := s.Create()
	if err != nil {
		return Layer{}, err
	}
	defer blob.Discard()
	buffered := bufio.NewWriterSize(blob, 256<<10)
	zip, err := gzip.NewWriterLevel(buffered, level)
	if err != nil {
		return Layer{}, err
	}
	diff := sha256.New()
	open := func(e tree.Entry) (io.ReadCloser, error) { return s.OpenVerifiedFile(e) }
	w := bufio.NewWriterSize(io.MultiWriter(diff, zip), 256<<10)
	err = tarball.Write(w, t, open)
	if err := errors.Join(err, w.Flush(), zip.Close(), buffered.Flush()); err != nil {
		return Layer{}, err
	}
	digest, size, err := blob.Close()
	return Layer{DiffID: tree.Digest("sha256:" + hex.EncodeToString(diff.Sum(nil))), Digest: digest, Size: size}, err
}

// A Group is what one layer will hold: the files of one source package, or of several.
type Group struct {
	Sources []string  // names of source packages, sorted
	Members []string  // "name version" of the binary packages, sorted
	Tree    tree.Tree // their files
}

// Join brings groups down to at most limit, by putting the smallest into one. The order of groups is
// kept; the joined one comes first. Ties of size are broken by name, so that the result depends on
// the groups alone.
func Join(groups []Group, limit int) []Group {
	if len(groups) <= limit {
		return groups
	}
	bySize := slices.Clone(groups)
	slices.SortFunc(bySize, func(a, b Group) int {
		return cmp.Or(cmp.Compare(b.Tree.Size(), a.Tree.Size()), slices.Compare(a.Sources, b.Sources))
	})
	small := map[string]bool{}
	for _, g := range bySize[limit-1:] {
		small[g.Sources[0]] = true
	}
	joined := Group{Tree: tree.Tree{}}
	rest := []Group{}
	for _, g := range groups {
		if !small[g.Sources[0]] {
			rest = append(rest, g)
			continue
		}
		joined.Sources = append(joined.Sources, g.Sources...)
		joined.Members = append(joined.Members, g.Members...)
		joined.Tree.Apply(g.Tree)
	}
	slices.Sort(joined.Sources)
	slices.Sort(joined.Members)
	return append([]Group{joined}, rest...)
}
