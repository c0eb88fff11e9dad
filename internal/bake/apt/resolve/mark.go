package resolve

import (
	"slices"

	"brickyard/internal/bake/apt"
)

// maxDepth bounds how deep needs of needs are followed, as in apt.
const maxDepth = 3000

// link says what a package was chosen for: a need of another package.
type link struct {
	from *apt.Package // nil: asked for, or of the variant
	need need
}

// mayChange says whether a package may be put into the set (install) or taken out.
func (s *solver) mayChange(n *apt.Name, install, fromUser bool, depth int) bool {
	if depth > maxDepth || len(n.Versions) == 0 {
		return false
	}
	st := s.state(n)
	return fromUser || st.install == install || !st.protected
}

// mark puts the candidate of n into the set, and with auto what it needs. It says whether all went well. A package that
// couldn't be chosen is given up for good, but what was chosen for it on the way stays: so it is in apt.
func (s *solver) mark(n *apt.Name, auto, fromUser bool, depth int, why link) bool {
	st := s.state(n)
	if !s.mayChange(n, true, fromUser, depth) || st.candidate == nil {
		return false
	}
	if !st.protected && st.install && !s.broken(n, true) {
		return true
	}
	if auto && !s.satisfiable(n) {
		return false
	}
	if fromUser {
		s.put(n, fromUser, why)
	}
	p := st.candidate
	// What is protected must stay, so a failure is noted and the rest is done nevertheless.
	lenient := st.protected || fromUser
	ok := true
	var positive []need
	if auto {
		var negative []need
		positive, negative = s.open(n, p)
		if !s.removeConflicting(n, p, negative, lenient, depth) {
			if !lenient {
				return false
			}
			ok = false
		}
	}
	if !fromUser {
		s.put(n, fromUser, why)
	}
	if !auto {
		return ok
	}
	wasProtected := st.protected
	st.protected = true // while its needs are looked at
	met := s.meetNeeds(n, p, positive, wasProtected, fromUser, depth)
	st.protected = wasProtected
	if !met && !lenient {
		s.drop(n)
		return false
	}
	return ok && met
}

// satisfiable says whether every critical need of n's candidate is met or could be. Otherwise n is given up.
func (s *solver) satisfiable(n *apt.Name) bool {
	st := s.state(n)
	for _, d := range s.needsOf(st.candidate) {
		if d.negative || !d.critical || s.met(n, d) || s.possible(n, d) {
			continue
		}
		s.blame(n, clash{need: d, of: st.candidate})
		if !st.protected {
			st.candidate = nil
			st.install = false
		}
		return false
	}
	return true
}

// put makes the candidate of n the chosen version.
func (s *solver) put(n *apt.Name, fromUser bool, why link) {
	st := s.state(n)
	if st.protected && st.chosen == st.candidate {
		return
	}
	if st.chosen == nil {
		st.why = why
	}
	st.install = true
	st.chosen = st.candidate
	st.automatic = !fromUser
	s.update(n)
}

// keepOut takes n out of the set, and says whether that was possible.
func (s *solver) keepOut(n *apt.Name, depth int) bool {
	if !s.mayChange(n, false, false, depth) {
		return false
	}
	st := s.state(n)
	if !st.install {
		return true
	}
	st.install = false
	st.chosen = nil
	s.update(n)
	return true
}

// drop takes n out of the set and gives it up.
func (s *solver) drop(n *apt.Name) {
	st := s.state(n)
	st.install = false
	st.chosen = nil
	s.update(n)
	st.candidate = nil
}

// open returns the needs of a package that are to be worked on: those that are not met, and for one that is
// protected all of them, because it protects what alone can meet them.
func (s *solver) open(n *apt.Name, p *apt.Package) (positive, negative []need) {
	for _, d := range s.needsOf(p) {
		if !s.important(d) || !s.state(n).protected && s.met(n, d) {
			continue
		}
		if d.negative {
			negative = append(negative, d)
		} else {
			positive = append(positive, d)
		}
	}
	return positive, negative
}

// removeConflicting takes the candidates that p conflicts with out of the set. If n is protected, they are
// given up for good.
func (s *solver) removeConflicting(n *apt.Name, p *apt.Package, negative []need, lenient bool, depth int) bool {
	ok := true
	for _, d := range negative {
		for _, v := range s.solutions(n, d) {
			other := v.Of
			st := s.state(other)
			if st.candidate != v {
				continue
			}
			if st.install && !s.keepOut(other, depth) {
				s.blame(n, clash{need: d, of: p, with: v})
				ok = false
				if !lenient {
					return false
				}
				continue
			}
			if s.state(n).protected {
				s.blame(other, clash{need: d, of: p, with: v})
				st.candidate = st.chosen
				st.protected = true
			}
		}
	}
	return ok
}

// meetNeeds chooses packages for the needs of p. With protect, a need that only one package can meet protects it.
func (s *solver) meetNeeds(n *apt.Name, p *apt.Package, needs []need, protect, fromUser bool, depth int) bool {
	ok := true
	for _, d := range needs {
		var done bool
		if s.met(n, d) {
			done = !protect || !d.critical || s.protectOnly(n, p, d, depth)
		} else {
			done = s.meet(n, p, d, protect, depth) || !d.critical
			if !done {
				s.blame(n, clash{need: d, of: p})
			}
		}
		if !done {
			ok = false
			if !protect && !fromUser {
				return false
			}
		}
	}
	return ok
}

// protectOnly protects the package that meets a need, if no other could.
func (s *solver) protectOnly(n *apt.Name, p *apt.Package, d need, depth int) bool {
	only := s.solutions(n, d)
	slices.SortFunc(only, func(a, b *apt.Package) int { return int(a.Of.ID) - int(b.Of.ID) })
	if only = slices.Compact(only); len(only) != 1 {
		return true
	}
	st := s.state(only[0].Of)
	if st.protected {
		return true
	}
	st.protected = true
	return s.mark(only[0].Of, true, false, depth+1, link{p, d})
}

// meet chooses the first package that can meet a need.
func (s *solver) meet(n *apt.Name, p *apt.Package, d need, protect bool, depth int) bool {
	list := s.solutions(n, d)
	for _, v := range list {
		if s.state(v.Of).candidate != v {
			continue // given up meanwhile
		}
		if protect && d.critical && len(list) == 1 {
			if !s.mark(v.Of, false, false, depth+1, link{p, d}) {
				continue
			}
			s.state(v.Of).protected = true
		}
		if s.mark(v.Of, true, false, depth+1, link{p, d}) {
			return true
		}
	}
	return false
}

// solutions returns the candidates that a need of self is about, the preferred first: alternatives in their order,
// and the providers of each by preference. Of a positive need, those that must stay out are left out.
func (s *solver) solutions(self *apt.Name, d need) []*apt.Package {
	var list []*apt.Package
	for _, r := range d.clause {
		from := len(list)
		s.matches(self, d, r, s.candidateOf, func(v *apt.Package) bool { list = append(list, v); return true })
		target := s.target(r)
		slices.SortStableFunc(list[from:], func(a, b *apt.Package) int { return s.prefer(target, a, b) })
	}
	list = slices.Compact(list)
	if s.locks != nil { // what was locked counts as there already, and goes first
		slices.SortStableFunc(list, func(a, b *apt.Package) int { return -cmpBool(s.locks[a.Of] == a, s.locks[b.Of] == b) })
	}
	if d.negative {
		return list
	}
	return slices.DeleteFunc(list, func(v *apt.Package) bool {
		st := s.state(v.Of)
		return st.protected && !st.install
	})
}

// prefer orders two packages that provide target: negative when a is the better choice.
func (s *solver) prefer(target *apt.Name, a, b *apt.Package) int {
	if a.Of == b.Of {
		return 0
	}
	yes := [][2]bool{
		{s.state(a.Of).protected, s.state(b.Of).protected},
		{a.Of == target, b.Of == target},
		{a.Of.Essential, b.Of.Essential},
		{a.Of.Protected, b.Of.Protected},
	}
	for _, y := range yes {
		if c := cmpBool(y[0], y[1]); c != 0 {
			return -c
		}
	}
	if a.Priority != b.Priority {
		return int(a.Priority) - int(b.Priority)
	}
	return int(b.Of.ID) - int(a.Of.ID) // the later mentioned; apt can't decide either
}

// cmpBool orders false before true.
func cmpBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}
