package bake

import (
	"context"
	"fmt"

	"brickyard/internal/bake/apt/control"
	"brickyard/internal/bake/apt/resolve"
	"brickyard/internal/bake/recipe"
	"brickyard/internal/store"
)

// kindWhy notes hold resolve.Reasons, by the sha256 of the lock's text.
const kindWhy = "why"

func whyKey(lock *recipe.Lock) string { return store.Sum(lock.Encode()).Hex() }

func noteReasons(s *store.Store, lock *recipe.Lock, reasons resolve.Reasons) error {
	if len(reasons) == 0 {
		return nil
	}
	return s.Remember(kindWhy, whyKey(lock), reasons)
}

// Why says why a package is in a lock, by what was noted when that was made. It reads nothing but the store.
//
// Errors: *NotLockedError; store.ErrNotFound when the lock was not made in this home.
func Why(s *store.Store, lock *recipe.Lock, name string) ([]resolve.Link, error) {
	version, ok := lockedVersion(lock, name)
	if !ok {
		return nil, &NotLockedError{name, len(lock.Packages) == 0}
	}
	var reasons resolve.Reasons
	if err := s.Cached(kindWhy, whyKey(lock), &reasons); err != nil {
		return nil, err
	}
	chain := reasons.Why(name)
	if chain == nil || chain[len(chain)-1].Package != name+" "+version {
		return nil, fmt.Errorf("why %s: %w", name, store.ErrNotFound)
	}
	return chain, nil
}

// A NotLockedError is a package that a lock does not have.
type NotLockedError struct {
	Name string
	none bool // the lock has no packages at all
}

func (e *NotLockedError) Error() string {
	if e.none {
		return e.Name + ": this recipe has no packages"
	}
	return e.Name + ": not among the packages of this recipe"
}

func lockedVersion(lock *recipe.Lock, name string) (string, bool) {
	for _, p := range lock.Packages {
		if p.Name == name {
			return p.Version, true
		}
	}
	return "", false
}

// Why is the function Why for a lock that the store has no note of, or for none: it asks the archives, as Lock does.
// What they answer is noted when it is about this very lock; with an update it is about what that would come to.
//
// Errors: *NotLockedError, *StaleLockError, *MovedOnError, those of Lock.
func (l *Locker) Why(ctx context.Context, r *recipe.Recipe, base *Base, old *recipe.Lock, upd Update, name string) ([]resolve.Link, error) {
	kept := old != nil && upd.none()
	if kept && (old.Request != r.Request() || !sameBase(old, base)) {
		return nil, &StaleLockError{Recipe: r.Path, Why: "the recipe asks for something else since it was made, and why its packages are there was not noted in this home"}
	}
	lock, err := newLock(r, base)
	if err != nil {
		return nil, err
	}
	reasons, err := l.lockPackages(ctx, r, base, old, upd, lock)
	if err != nil {
		return nil, err
	}
	if kept {
		changes := recipe.DiffLocks(&recipe.Lock{Packages: old.Packages}, &recipe.Lock{Packages: lock.Packages}, control.Compare)
		if len(changes) > 0 {
			return nil, &MovedOnError{Name: name, Change: changes[0]}
		}
		if err := noteReasons(l.Store, old, reasons); err != nil {
			return nil, err
		}
	}
	if _, ok := reasons[name]; !ok {
		return nil, &NotLockedError{name, len(reasons) == 0}
	}
	return reasons.Why(name), nil
}

// A MovedOnError means that the archives, asked again, come to other packages than the lock has.
type MovedOnError struct {
	Name   string // that was asked about
	Change recipe.LockChange
}

func (e *MovedOnError) Error() string {
	return fmt.Sprintf("%s: nothing tells why it is there: the lock was not made in this home, and the archives have other packages by now (%s)", e.Name, e.Change)
}

// Hint says what to do.
func (e *MovedOnError) Hint() string {
	return "ask where it was locked, or lock with --update to what the archives have now"
}
