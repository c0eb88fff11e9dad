package bake

import (
	"fmt"
	"runtime"
	"slices"

	"brickyard/internal/bake/recipe"
	"brickyard/internal/binfmt"
)

// An ArchError means that an image has programs to run while it is baked, and this machine can't run them.
type ArchError struct {
	Path       string // of the recipe
	Want, Have string // architectures, Debian's names
	What       string // has to run
}

func (e *ArchError) Error() string {
	return fmt.Sprintf("%s: an image for %s can't be baked here: this machine is %s, and %s", e.Path, e.Want, e.Have, e.What)
}

// Hint says what to do.
func (e *ArchError) Hint() string {
	return "bake it on a machine for " + e.Want + ", or install qemu-user-static, by which this one runs its programs; " +
		"nothing has to run with scripts: none, or without dpkg in the image, and without run"
}

// CheckArch refuses to bake for an architecture whose programs this machine can't run, when there are some to run: the
// recipe's steps, or scripts of packages that the base does not have yet. Nothing was fetched by then.
//
// Errors: [ArchError].
func CheckArch(r *recipe.Recipe, lock *recipe.Lock, base *Base) error {
	if binfmt.Runs(goArch[lock.Arch][0]) {
		return nil
	}
	e := &ArchError{Path: r.Path, Want: lock.Arch, Have: DebianArch(runtime.GOARCH)}
	switch {
	case len(r.Run) > 0:
		e.What = "the steps of run are for that"
	case r.Scripts != recipe.ScriptsNone && runsScripts(lock, base):
		e.What = "maintainer scripts run for real"
	default:
		return nil
	}
	return e
}

// runsScripts says whether packages are put in and there is a dpkg to configure them, or maybe one in a tarball.
func runsScripts(lock *recipe.Lock, base *Base) bool {
	dpkg, more := lock.Rootfs != "", false
	for _, p := range lock.Packages {
		dpkg = dpkg || p.Name == "dpkg"
		more = more || base == nil || !slices.ContainsFunc(base.Image.Packages, func(q recipe.LockedDeb) bool {
			return p.Name == q.Name && p.Version == q.Version
		})
	}
	return dpkg && more
}
