package store

import (
	"bytes"
	"context"
	"os"

	"brickyard/internal/tree"
)

// Root returns a directory that holds the tree t, assembled when it is not there yet. It is shared and
// must not be written to: put an overlay on it. t's text form names it.
func (s *Store) Root(ctx context.Context, t tree.Tree) (string, error) {
	listing := t.Encode()
	d := Sum(listing)
	if dir, ok := s.FindRoot(d); ok {
		return dir, nil
	}
	unlock, err := s.Lock(ctx, "root-"+d.Hex(), nil)
	if err != nil {
		return "", err
	}
	defer unlock()
	if dir, ok := s.FindRoot(d); ok {
		return dir, nil
	}
	tmp, release, err := s.TempDir("root")
	if err != nil {
		return "", err
	}
	defer release()
	root := tmp + "/root"
	if err := os.Mkdir(root, 0o755); err != nil {
		return "", err
	}
	if err := s.Assemble(t, root); err != nil {
		return "", err
	}
	if err := s.PutExpect(d, bytes.NewReader(listing)); err != nil { // by which Verify compares
		return "", err
	}
	if err := s.Sync(); err != nil {
		return "", err
	}
	return s.AdoptRoot(root, d)
}

// FindRoot returns the directory of the tree whose text form has the digest d, and whether it is there.
func (s *Store) FindRoot(d tree.Digest) (dir string, ok bool) {
	dir = s.path("roots", d.Hex())
	_, err := os.Lstat(dir)
	return dir, err == nil
}

// AdoptRoot makes dir, a directory below the home that holds the tree d, the one that FindRoot finds, unless there is
// one already. All in it must be on disk (Sync): whatever has this name is taken for whole, after a crash too.
func (s *Store) AdoptRoot(dir string, d tree.Digest) (string, error) {
	at, ok := s.FindRoot(d)
	if ok {
		return at, nil
	}
	err := os.Rename(dir, at)
	if _, ok := s.FindRoot(d); ok { // another process's, perhaps
		err = nil
	}
	return at, err
}
