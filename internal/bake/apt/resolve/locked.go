package resolve

import (
	"errors"
	"slices"

	"brickyard/internal/bake/apt"
)

// A Locked is one package of an earlier answer.
type Locked struct {
	Name    string
	Version string
	SHA256  string // of the .deb; "" for any
}

// resolveLocked keeps the versions of an earlier answer, as far as they are still to be had and aren't to be
// updated. Where a kept version stands in the way, it is let go, and only then.
func resolveLocked(u *apt.Universe, r Request) (*Result, error) {
	locks := make(map[*apt.Name]*apt.Package)
	for _, l := range r.Locked {
		if slices.Contains(r.Update, l.Name) {
			continue
		}
		if p := lockedPackage(u, l); p != nil {
			locks[p.Of] = p
		}
	}
	for {
		result, err := resolveOnce(u, r, locks)
		failed, ok := errors.AsType[*UnsatisfiableError](err)
		if !ok || len(locks) == 0 {
			return result, err
		}
		in := inTheWay(u, r, locks, failed)
		if len(in) == 0 { // nothing is known to be: let all go
			clear(locks)
		}
		for _, n := range in {
			delete(locks, n)
		}
	}
}

func lockedPackage(u *apt.Universe, l Locked) *apt.Package {
	n := u.Name(l.Name)
	if n == nil {
		return nil
	}
	for _, p := range n.Versions {
		if p.Version == l.Version && (l.SHA256 == "" || p.SHA256 == l.SHA256) {
			return p
		}
	}
	return nil
}

// inTheWay returns the names with a kept version that isn't the candidate without locks, and that took part in
// the failure.
func inTheWay(u *apt.Universe, r Request, locks map[*apt.Name]*apt.Package, failed *UnsatisfiableError) []*apt.Name {
	var list []*apt.Name
	for _, name := range failed.names {
		if p := locks[name]; p != nil && candidate(name, r.Pins) != p && !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	return list
}
