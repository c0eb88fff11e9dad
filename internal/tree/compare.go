package tree

import (
	"maps"
	"slices"
)

// A Kind says how a path differs.
type Kind string

// The kinds of a Change.
const (
	Added   Kind = "added"
	Removed Kind = "removed"
	Changed Kind = "changed" // type, content or link target
	Meta    Kind = "meta"    // only mode, owner, group or extended attributes
)

// A Change is one path that two trees do not agree on.
type Change struct {
	Path string
	Kind Kind
	Old  Entry // zero when Added
	New  Entry // zero when Removed
}

// Compare lists, sorted by path, what must change to make b out of a. Times are not compared.
func Compare(a, b Tree) []Change {
	var cs []Change
	for p, old := range a {
		e, ok := b[p]
		switch {
		case !ok:
			cs = append(cs, Change{p, Removed, old, Entry{}})
		case !old.SameContent(e):
			cs = append(cs, Change{p, Changed, old, e})
		case !old.SameOwnership(e):
			cs = append(cs, Change{p, Meta, old, e})
		}
	}
	for p, e := range maps.All(b) {
		if _, ok := a[p]; !ok {
			cs = append(cs, Change{p, Added, Entry{}, e})
		}
	}
	slices.SortFunc(cs, func(x, y Change) int {
		if x.Path < y.Path {
			return -1
		}
		return 1
	})
	return cs
}
