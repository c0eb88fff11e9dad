package rootfs

import (
	"bytes"
	"errors"
	"fmt"

	"brickyard/internal/bake/apt/control"
)

// An OpenError means that the packages of a lock do not stand by themselves: one needs what is not there, as
// after a line was lost in a merge.
type OpenError struct {
	Package string // "file 1:5.44-3"
	Field   string // Depends, Pre-Depends
	Needs   string // "libmagic1 (= 1:5.44-3)"
}

func (e *OpenError) Error() string {
	return fmt.Sprintf("package %s: its %s has %s, which the lock does not", e.Package, e.Field, e.Needs)
}

// Hint says what to do.
func (e *OpenError) Hint() string {
	return "the lock was changed by hand: take back the change, or lock anew with --update"
}

// have maps the names that packages have and provide to versions; "" is a name without one.
type have map[string][]string

func (h have) add(paragraph *control.Stanza) error {
	name := paragraph.Get("Package")
	h[name] = append(h[name], paragraph.Get("Version"))
	provides, err := control.ParseRelations(paragraph.Get("Provides"))
	for _, clause := range provides {
		for _, p := range clause {
			h[p.Name] = append(h[p.Name], p.Version)
		}
	}
	return err
}

// meets says whether one of the alternatives is there (Debian Policy 7.1; 7.5 for what is provided).
func (h have) meets(alternatives control.Clause) bool {
	for _, rel := range alternatives {
		for _, v := range h[rel.Name] {
			if rel.Version == "" || v != "" && rel.Op.Holds(v, rel.Version) {
				return true
			}
		}
	}
	return false
}

// installed is what dpkg in the root has already.
func (b *Builder) installed(r *Root) (have, error) {
	h := have{}
	return h, b.eachInstalled(r, h.add)
}

// closed checks that all that the packages need is among them or installed. Errors: OpenError, joined.
func closed(pkgs []*Package, h have) error {
	paragraphs := map[*Package]*control.Stanza{}
	for _, p := range pkgs {
		st, err := control.NewReader(bytes.NewReader([]byte(p.Paragraph))).Next()
		if err == nil {
			err = h.add(st)
		}
		if err != nil {
			return fmt.Errorf("package %s: %w", p.Name, err)
		}
		paragraphs[p] = st
	}
	var errs []error
	for _, p := range pkgs {
		for _, field := range []string{"Pre-Depends", "Depends"} {
			clauses, err := control.ParseRelations(paragraphs[p].Get(field))
			if err != nil {
				return fmt.Errorf("package %s: %s: %w", p.Name, field, err)
			}
			for _, c := range clauses {
				if !h.meets(c) {
					errs = append(errs, &OpenError{Package: p.Name + " " + p.Version, Field: field, Needs: c.String()})
				}
			}
		}
	}
	return errors.Join(errs...)
}
