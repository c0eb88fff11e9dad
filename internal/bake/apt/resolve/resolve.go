package resolve

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"brickyard/internal/bake/apt"
	"brickyard/internal/bake/apt/control"
)

// A Variant is what is there before anything is asked for.
type Variant string

const (
	None      Variant = "none"      // nothing
	Essential Variant = "essential" // what says Essential: yes
	Minbase   Variant = "minbase"   // and what has Priority: required, and apt
)

// A Request says what must be in the set.
type Request struct {
	Variant    Variant
	Ask        []Ask
	Exclude    []string // names that must not be in it
	Recommends bool     // Recommends are needs too, where they can be met
	Pins       []Pin    // the first that fits counts
	Locked     []Locked // an earlier answer, to be kept where possible
	Update     []string // names that are not kept
}

// An Ask is one package that is wanted. The order matters, as it does to apt.
type Ask struct {
	Name    string
	Version string       // exact, "" for the candidate
	Arch    string       // "", or the universe's
	Package *apt.Package // this very one, of a local file or of the base; the rest is not looked at
	InBase  bool         // the base image has it
}

// A Result is the set.
type Result struct {
	Packages []Chosen // sorted by name
	index    map[*apt.Name]int
}

// A Chosen is one package of the set.
type Chosen struct {
	*apt.Package
	Name      string
	Essential bool // Essential: yes, or needed by one that is
	Asked     bool // asked for by name, not for the variant or as a need
	// PreDepends and Depends order unpacking and configuring.
	PreDepends, Depends []control.Clause

	why link
}

// Resolve returns the set for r. It may be called by several goroutines for one universe.
//
// Errors: [UnknownError], [ForeignError], [UnsatisfiableError], [ExcludedError]; a malformed field.
func Resolve(u *apt.Universe, r Request) (*Result, error) {
	if len(r.Locked) > 0 {
		return resolveLocked(u, r)
	}
	return resolveOnce(u, r, nil)
}

// resolveOnce decides with the locks given.
func resolveOnce(u *apt.Universe, r Request, locks map[*apt.Name]*apt.Package) (*Result, error) {
	s := newSolver(u, r, locks)
	wanted, err := s.wanted(r)
	if err != nil {
		return nil, err
	}
	for _, name := range r.Exclude {
		if n := u.Name(name); n != nil {
			s.state(n).protected = true // as not chosen: nothing can choose it from here on
			s.excluded[n] = true
		}
	}
	for _, w := range wanted {
		if err := s.choose(w); err != nil {
			return nil, err
		}
	}
	for _, w := range wanted {
		s.mark(w.pkg.Of, true, true, 0, link{})
	}
	s.repair()
	if s.err != nil {
		return nil, s.err
	}
	if err := s.verdict(wanted); err != nil {
		return nil, err
	}
	s.sweep()
	return s.result(wanted)
}

// want is a package that must be in the set.
type want struct {
	pkg   *apt.Package
	asked bool // by the request, not the variant
	base  bool // by the base image
}

// wanted finds the packages of the variant, by name, and then those asked for, in their order.
func (s *solver) wanted(r Request) ([]want, error) {
	var list []want
	for _, n := range s.variant(r.Variant) {
		if c := s.state(n).candidate; c != nil {
			list = append(list, want{pkg: c})
		}
	}
	var errs []error
	for _, a := range r.Ask {
		p, err := s.find(a)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		same := slices.IndexFunc(list, func(w want) bool { return w.pkg.Of == p.Of })
		switch {
		case same < 0:
			list = append(list, want{pkg: p, asked: true, base: a.InBase})
		case list[same].asked && list[same].pkg != p:
			errs = append(errs, fmt.Errorf("%s is asked for as %s and as %s", p.Of.Name, list[same].pkg.Version, p.Version))
		default:
			list[same] = want{pkg: p, asked: true, base: a.InBase}
		}
	}
	for _, w := range list {
		if slices.Contains(r.Exclude, w.pkg.Of.Name) {
			errs = append(errs, &ExcludedError{Name: w.pkg.Of.Name, Chain: []string{s.asks(w)}})
		}
	}
	return list, errors.Join(errs...)
}

func (s *solver) asks(w want) string {
	switch {
	case w.base:
		return w.pkg.Of.Name + " is in the base image"
	case w.asked:
		return w.pkg.Of.Name + " is asked for"
	}
	return w.pkg.Of.Name + " is part of the base system"
}

// variant returns the names that belong to it, sorted.
func (s *solver) variant(v Variant) []*apt.Name {
	var list []*apt.Name
	if v != Essential && v != Minbase {
		return nil
	}
	for n := range s.u.Names() {
		c := s.state(n).candidate
		if c == nil {
			continue
		}
		if n.Essential || v == Minbase && (c.Priority == apt.Required || n.Name == "apt") {
			list = append(list, n)
		}
	}
	slices.SortFunc(list, func(a, b *apt.Name) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// find returns the version that an Ask is for. Of a name that only one package provides it is that one, as in apt.
func (s *solver) find(a Ask) (*apt.Package, error) {
	if a.Package != nil {
		return a.Package, nil
	}
	n := s.u.Name(a.Name)
	if n == nil || len(n.Versions) == 0 && len(n.Providers) == 0 {
		return nil, s.unknown(a.Name)
	}
	if a.Arch != "" && a.Arch != s.u.Arch && a.Arch != "all" && a.Arch != "any" && a.Arch != "native" {
		return nil, &ForeignError{Name: a.Name, Arch: a.Arch, Have: s.u.Arch}
	}
	if len(n.Versions) == 0 {
		return s.provider(n)
	}
	if a.Version == "" {
		if c := s.state(n).candidate; c != nil {
			return c, nil
		}
		return nil, &UnsatisfiableError{Chains: []string{fmt.Sprintf("%s is asked for; no version of it may be installed: its pins are negative", a.Name)}}
	}
	for _, p := range n.Versions {
		if p.Version == a.Version {
			return p, nil
		}
	}
	return nil, &UnsatisfiableError{Chains: []string{fmt.Sprintf("%s is asked for in version %s; it has only %s", a.Name, a.Version, versions(n))}}
}

// A ForeignError is a package that is asked for of another architecture than that of the set: there are no sets of
// several.
type ForeignError struct{ Name, Arch, Have string }

func (e *ForeignError) Error() string {
	return fmt.Sprintf("package %s:%s: only packages for %s are looked at", e.Name, e.Arch, e.Have)
}

func (e *ForeignError) Hint() string {
	return "an image is for one architecture: with arch: " + e.Arch + " under from, all of it is for that"
}

// provider returns the only package that provides n.
func (s *solver) provider(n *apt.Name) (*apt.Package, error) {
	var names []string
	var found *apt.Package
	for _, p := range n.Providers {
		if s.state(p.Package.Of).candidate == p.Package && !slices.Contains(names, p.Package.Of.Name) {
			names = append(names, p.Package.Of.Name)
			found = p.Package
		}
	}
	if len(names) != 1 {
		slices.Sort(names)
		return nil, &UnknownError{Name: n.Name, Providers: names}
	}
	return found, nil
}

// choose fixes the version of a wanted package and that it is in the set, before anything is decided about its needs.
func (s *solver) choose(w want) error {
	n := w.pkg.Of
	st := s.state(n)
	if st.candidate != w.pkg {
		s.original[n] = w.pkg
		st.candidate = w.pkg
		s.update(n)
	}
	st.protected = true
	s.requested[n] = true
	s.mark(n, false, true, 0, link{})
	return s.err
}

// result writes down what was chosen.
func (s *solver) result(wanted []want) (*Result, error) {
	r := &Result{index: make(map[*apt.Name]int)}
	for n := range s.chosen {
		p := s.state(n).chosen
		c := Chosen{Package: p, Name: n.Name}
		var err1, err2 error
		c.PreDepends, err1 = p.Relations(apt.PreDepends)
		c.Depends, err2 = p.Relations(apt.Depends)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		r.Packages = append(r.Packages, c)
	}
	slices.SortFunc(r.Packages, func(a, b Chosen) int { return strings.Compare(a.Name, b.Name) })
	for i, c := range r.Packages {
		r.index[c.Of] = i
	}
	for _, w := range wanted {
		r.Packages[r.index[w.pkg.Of]].Asked = w.asked
	}
	s.explain(r, wanted)
	return r, nil
}
