package resolve

import (
	"slices"

	"brickyard/internal/bake/apt"
	"brickyard/internal/bake/apt/control"
)

// solver is one run of Resolve.
type solver struct {
	u          *apt.Universe
	pins       []Pin
	recommends bool
	locks      map[*apt.Name]*apt.Package // candidates that an earlier answer fixes
	excluded   map[*apt.Name]bool
	requested  map[*apt.Name]bool

	states  []state             // by Name.ID
	chosen  map[*apt.Name]bool  // names with a chosen version
	reasons map[*apt.Name]clash // why a package could not be chosen: the first reason

	// original is the candidates at the start, where they were looked at; a state's is nil once the package was
	// given up. lost is, for each name, which of its packages were known to be given up when anything about the name
	// last changed. apt looks at dependencies through such remembered answers, and where it looks matters.
	original map[*apt.Name]*apt.Package
	lost     map[*apt.Name]map[*apt.Name]bool

	needs map[*apt.Package][]need
	err   error // a malformed field, found on the way
}

// state is what is decided of one name.
type state struct {
	known     bool         // candidate has been set
	install   bool         // it is in the set
	protected bool         // what was decided stays
	automatic bool         // not asked for
	candidate *apt.Package // the version that may be chosen, nil when none may
	chosen    *apt.Package // the version that is, nil when none is
	why       link         // the need it was chosen for
}

// need is one clause of a package's relations.
type need struct {
	field    apt.Field
	clause   control.Clause
	negative bool // Conflicts, Breaks
	critical bool // not Recommends
}

func newSolver(u *apt.Universe, r Request, locks map[*apt.Name]*apt.Package) *solver {
	return &solver{
		u:          u,
		pins:       r.Pins,
		recommends: r.Recommends,
		locks:      locks,
		excluded:   make(map[*apt.Name]bool),
		requested:  make(map[*apt.Name]bool),
		states:     make([]state, u.Len()),
		chosen:     make(map[*apt.Name]bool),
		reasons:    make(map[*apt.Name]clash),
		original:   make(map[*apt.Name]*apt.Package),
		lost:       make(map[*apt.Name]map[*apt.Name]bool),
		needs:      make(map[*apt.Package][]need),
	}
}

func (s *solver) state(n *apt.Name) *state {
	st := &s.states[n.ID]
	if !st.known {
		st.known = true
		if st.candidate = s.locks[n]; st.candidate == nil {
			st.candidate = candidate(n, s.pins)
		}
		s.original[n] = st.candidate
	}
	return st
}

// fields whose clauses are needs, in apt's order.
var needFields = []apt.Field{apt.PreDepends, apt.Depends, apt.Conflicts, apt.Breaks, apt.Recommends}

// needsOf returns the clauses of a package. A malformed field is remembered in s.err.
func (s *solver) needsOf(p *apt.Package) []need {
	if list, ok := s.needs[p]; ok {
		return list
	}
	var list []need
	for _, f := range needFields {
		clauses, err := p.Relations(f)
		if err != nil && s.err == nil {
			s.err = err
		}
		for _, c := range clauses {
			list = append(list, need{f, c, f == apt.Conflicts || f == apt.Breaks, f != apt.Recommends})
		}
	}
	s.needs[p] = list
	return list
}

// important says whether a need is one that packages are chosen for.
func (s *solver) important(d need) bool { return d.critical || s.recommends }

// target is the name that a relation is about, nil when no package here can be meant.
func (s *solver) target(r control.Relation) *apt.Name {
	switch r.Arch {
	case "", "native", s.u.Arch:
		return s.u.Name(r.Name)
	case "any":
		return s.u.Name(r.Name + ":any")
	}
	return nil
}

// provides says whether what a provider provides is what the relation names.
func provides(r control.Relation, p apt.Provider) bool {
	return r.Op == control.Any || p.Version != "" && r.Op.Holds(p.Version, r.Version)
}

// matches calls yield with each package that the relation of self is about, until it returns false: those versions
// that version returns for their name. A package never conflicts with itself.
func (s *solver) matches(self *apt.Name, d need, r control.Relation, version func(*apt.Name) *apt.Package, yield func(*apt.Package) bool) {
	n := s.target(r)
	if n == nil {
		return
	}
	if len(n.Versions) > 0 && !(d.negative && n == self) {
		if v := version(n); v != nil && r.Op.Holds(v.Version, r.Version) && !yield(v) {
			return
		}
	}
	for _, p := range n.Providers {
		owner := p.Package.Of
		if d.negative && owner == self || version(owner) != p.Package || !provides(r, p) {
			continue
		}
		if !yield(p.Package) {
			return
		}
	}
}

// any says whether the relation is about at least one of the versions.
func (s *solver) any(self *apt.Name, d need, r control.Relation, version func(*apt.Name) *apt.Package) bool {
	found := false
	s.matches(self, d, r, version, func(*apt.Package) bool { found = true; return false })
	return found
}

func (s *solver) chosenOf(n *apt.Name) *apt.Package    { return s.state(n).chosen }
func (s *solver) candidateOf(n *apt.Name) *apt.Package { return s.state(n).candidate }

// met says whether a need is met by what is chosen. A conflict is met when nothing chosen is in conflict.
func (s *solver) met(self *apt.Name, d need) bool {
	for _, r := range d.clause {
		if s.any(self, d, r, s.chosenOf) {
			return !d.negative
		}
	}
	return d.negative
}

// possible says whether candidates could meet a need, as last looked at.
func (s *solver) possible(self *apt.Name, d need) bool {
	return slices.ContainsFunc(d.clause, func(r control.Relation) bool { return s.possibleBy(self, d, r) })
}

// possibleBy says whether a candidate is what the relation is about, as last looked at.
func (s *solver) possibleBy(self *apt.Name, d need, r control.Relation) bool {
	lost := s.lost[s.target(r)]
	return s.any(self, d, r, func(n *apt.Name) *apt.Package {
		s.state(n)
		if lost[n] {
			return nil
		}
		return s.original[n]
	})
}

// broken says whether a critical need of what is chosen of n isn't met; with policy, any important one.
func (s *solver) broken(n *apt.Name, policy bool) bool {
	p := s.state(n).chosen
	if p == nil {
		return false
	}
	for _, d := range s.needsOf(p) {
		if (d.critical || policy && s.important(d)) && !s.met(n, d) {
			return true
		}
	}
	return false
}

// update notes what is known of n and the names it provides, now that its state changed.
func (s *solver) update(n *apt.Name) {
	st := s.state(n)
	if st.chosen != nil {
		s.chosen[n] = true
	} else {
		delete(s.chosen, n)
	}
	s.note(n)
	if st.candidate == nil {
		return
	}
	for _, c := range s.provided(st.candidate) {
		s.note(c)
	}
}

// provided returns the names that a package provides.
func (s *solver) provided(p *apt.Package) []*apt.Name {
	var names []*apt.Name
	add := func(name string) {
		if n := s.u.Name(name); n != nil {
			names = append(names, n)
		}
	}
	clauses, _ := p.Relations(apt.Provides) // was read when the package entered the universe
	for _, c := range clauses {
		add(c[0].Name)
		add(c[0].Name + ":any")
	}
	add(p.Of.Name + ":any")
	return names
}

// note remembers which packages behind a name are given up.
func (s *solver) note(n *apt.Name) {
	var lost map[*apt.Name]bool
	check := func(n *apt.Name) {
		if s.state(n).candidate == nil && s.original[n] != nil {
			if lost == nil {
				lost = make(map[*apt.Name]bool)
			}
			lost[n] = true
		}
	}
	check(n)
	for _, p := range n.Providers {
		check(p.Package.Of)
	}
	if lost == nil {
		delete(s.lost, n)
		return
	}
	s.lost[n] = lost
}
