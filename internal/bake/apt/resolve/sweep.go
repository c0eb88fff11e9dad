package resolve

import (
	"slices"

	"brickyard/internal/bake/apt"
)

// sweep takes out what was chosen on the way to something that was given up again, as apt's autoremover does with
// packages that are new: all that can't be reached by met needs from what was asked for, is protected or essential.
// Recommends hold a package even where they don't bring one in.
func (s *solver) sweep() {
	needed := make(map[*apt.Name]bool)
	var queue []*apt.Name
	need := func(n *apt.Name) {
		if !needed[n] {
			needed[n] = true
			queue = append(queue, n)
		}
	}
	for n := range s.chosen {
		if st := s.state(n); !st.automatic || st.protected || n.Essential || n.Protected {
			need(n)
		}
	}
	for len(queue) > 0 {
		n := queue[0]
		queue = queue[1:]
		for _, d := range s.needsOf(s.state(n).chosen) {
			if !d.negative {
				s.eachMeeting(n, d, func(v *apt.Package) { need(v.Of) })
			}
		}
	}
	garbage := make(map[*apt.Name]*apt.Package)
	for n := range s.chosen {
		if !needed[n] {
			garbage[n] = s.state(n).chosen
			s.set(n, nil)
		}
	}
	s.save(garbage)
}

// set puts a version of n into the set, or nothing of it.
func (s *solver) set(n *apt.Name, p *apt.Package) {
	st := s.state(n)
	st.chosen, st.install = p, p != nil
	if p == nil {
		delete(s.chosen, n)
		return
	}
	s.chosen[n] = true
}

// save puts back what was taken out and is named, or provides what is named, by a need of what stays, met or not: so does apt
// as soon as anything misses anything.
func (s *solver) save(garbage map[*apt.Name]*apt.Package) {
	missing := func(n *apt.Name) bool { return s.broken(n, true) }
	if len(garbage) == 0 || !slices.ContainsFunc(s.sorted(), missing) {
		return
	}
	back := func(n *apt.Name, p *apt.Package) bool {
		if p == nil || garbage[n] != p {
			return false
		}
		delete(garbage, n)
		s.set(n, p)
		return true
	}
	for again := true; again; {
		again = false
		for _, t := range s.allNamed() {
			again = back(t, garbage[t]) || again
			for _, p := range t.Providers {
				again = back(p.Package.Of, p.Package) || again
			}
		}
	}
}

// allNamed is every name that a chosen package has a need of.
func (s *solver) allNamed() []*apt.Name {
	var all []*apt.Name
	for n := range s.chosen {
		for _, d := range s.needsOf(s.state(n).chosen) {
			if d.negative || !s.important(d) {
				continue
			}
			for _, r := range d.clause {
				if t := s.named(r); t != nil {
					all = append(all, t)
				}
			}
		}
	}
	return all
}

// eachMeeting calls f with every chosen package that a need is about.
func (s *solver) eachMeeting(n *apt.Name, d need, f func(*apt.Package)) {
	for _, r := range d.clause {
		s.matches(n, d, r, s.chosenOf, func(v *apt.Package) bool { f(v); return true })
	}
}
