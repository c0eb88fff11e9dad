package bake

import (
	"encoding/json"
	"errors"
	"fmt"

	"brickyard/internal/store"
	"brickyard/internal/tree"
)

// kindImage notes hold Images, by the hex digits of their manifests' digests. Bases are read from them.
const kindImage = "image"

// A Base is the image that another is baked on.
type Base struct {
	Image  Image
	Digest tree.Digest // manifest
	config config
	root   tree.Tree
}

// A BaseError means that an image can't be baked on.
type BaseError struct {
	Image tree.Digest
	Err   error
}

func (e *BaseError) Error() string {
	if errors.Is(e.Err, store.ErrNotFound) {
		return fmt.Sprintf("base image %s was not baked here, or parts of it are gone: %v", e.Image, e.Err)
	}
	return fmt.Sprintf("base image %s: %v", e.Image, e.Err)
}

func (e *BaseError) Unwrap() error { return e.Err }

// Hint says what to do.
func (e *BaseError) Hint() string { return "bake the base's own recipe again, here" }

// OpenBase reads an image that was baked here, to bake on. Errors: *BaseError.
func OpenBase(s *store.Store, manifest tree.Digest) (*Base, error) {
	b := &Base{Digest: manifest}
	err := s.Note(kindImage, manifest.Hex(), &b.Image)
	if err == nil && b.Image.Manifest != manifest {
		err = &store.DamagedError{Path: s.NotePath(kindImage, manifest.Hex()), Err: fmt.Errorf("it is about %q", b.Image.Manifest)}
	}
	if err == nil {
		err = b.read(s)
	}
	if err != nil {
		return nil, &BaseError{manifest, err}
	}
	return b, nil
}

// read reads what the image's note leads to.
func (b *Base) read(s *store.Store) error {
	data, err := s.ReadBlob(b.Image.Config, 64<<20)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, &b.config); err != nil {
		return fmt.Errorf("configuration %s: %w", b.Image.Config, err)
	}
	b.root, err = s.Tree(b.Image.Root)
	return err
}

// mend writes the note that a base is read from anew when it is gone or damaged.
func (b *Baker) mend(img *Image) error {
	var noted Image
	if err := b.Store.Cached(kindImage, img.Manifest.Hex(), &noted); err == nil && noted.Manifest == img.Manifest {
		return nil
	}
	batch := b.Store.Batch()
	if err := batch.Set(kindImage, img.Manifest.Hex(), img); err != nil {
		return err
	}
	return batch.Commit()
}
