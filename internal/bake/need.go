package bake

import (
	"brickyard/internal/bake/recipe"
	"brickyard/internal/store"
	"brickyard/internal/tree"
)

// A Need is what a bake of a lock will have to bring.
type Need struct {
	InBase   int   // packages that the base has
	Packages int   // packages that neither the base nor the store has
	Bytes    int64 // of these
}

// NeedOf looks what a bake of the lock on the base, which may be nil, will have to bring.
func NeedOf(s *store.Store, lock *recipe.Lock, base *Base) Need {
	debs := notInBase(lock.Packages, base)
	need := Need{InBase: len(lock.Packages) - len(debs)}
	for _, p := range debs {
		if !hasDeb(s, p) {
			need.Packages++
			need.Bytes += p.Size
		}
	}
	return need
}

// notInBase lists the packages that the base, which may be nil, does not have: those that a bake unpacks.
func notInBase(debs []recipe.LockedDeb, base *Base) []recipe.LockedDeb {
	if base == nil {
		return debs
	}
	have := map[string]bool{}
	for _, p := range base.Image.Packages {
		have[p.Name+":"+p.Arch+"="+p.Version] = true
	}
	var out []recipe.LockedDeb
	for _, p := range debs {
		if !have[p.Name+":"+p.Arch+"="+p.Version] {
			out = append(out, p)
		}
	}
	return out
}

// hasDeb says whether the store has a package, by its digest and size.
func hasDeb(s *store.Store, p recipe.LockedDeb) bool {
	size, err := s.Size(tree.Digest("sha256:" + p.SHA256))
	return err == nil && size == p.Size
}
