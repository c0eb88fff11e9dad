package resolve

import (
	"cmp"
	"maps"
	"slices"

	"brickyard/internal/bake/apt"
)

// Weights of apt's problem resolver: what a package counts when two can't both stay.
const (
	scoreEssential      = 100
	scoreProtected      = 10000
	scoreEssentialAgain = 5000
	maxRounds           = 20
)

var (
	scorePriority = [...]int{apt.NoPriority: 0, apt.Required: 3, apt.Important: 2, apt.Standard: 1, apt.Optional: -1, apt.Extra: -2}
	scoreField    = map[apt.Field]int{apt.PreDepends: 1, apt.Depends: 1, apt.Recommends: 1, apt.Conflicts: -1, apt.Breaks: -1}
)

// repair looks at chosen packages with unmet needs, the most valued first. One that is protected gets what it needs if
// that is possible without more ado; any other is taken out, or what conflicts with it is. It goes on until nothing changes.
func (s *solver) repair() {
	if !slices.ContainsFunc(s.sorted(), func(n *apt.Name) bool { return s.broken(n, false) }) {
		return
	}
	score := s.scores()
	order := s.sorted()
	slices.SortStableFunc(order, func(a, b *apt.Name) int { return cmp.Compare(score[b], score[a]) })
	r := repairer{solver: s, score: score, tried: make(map[*apt.Name]bool)}
	for round := range maxRounds {
		changed := false
		for _, n := range order {
			if s.broken(n, false) && r.fix(n, round) {
				changed = true
			}
		}
		if !changed {
			return
		}
		for n := range s.chosen { // what was chosen on the way comes last
			if !slices.Contains(order, n) {
				order = append(order, n)
			}
		}
	}
}

// sorted returns the chosen names by ID.
func (s *solver) sorted() []*apt.Name {
	return slices.SortedFunc(maps.Keys(s.chosen), func(a, b *apt.Name) int { return cmp.Compare(a.ID, b.ID) })
}

// repairer is one call of repair.
type repairer struct {
	*solver
	score map[*apt.Name]int
	tried map[*apt.Name]bool // was put in once to mend something
}

// fix looks at the unmet needs of n and says whether anything changed.
func (r *repairer) fix(n *apt.Name, round int) bool {
	p := r.state(n).chosen
	changed := false
	var out []*apt.Package // to be taken out
	for _, d := range r.needsOf(p) {
		if !d.critical || r.met(n, d) {
			continue
		}
		if !d.negative {
			if r.state(n).protected {
				r.putIn(n, d)
				continue
			}
			r.blame(n, clash{need: d, of: p})
			return r.takeOut(n) || changed
		}
		gaveUp := false
		for _, v := range r.conflicting(n, d) {
			other := v.Of
			switch {
			case r.score[n] > r.score[other]:
				if !r.state(other).protected {
					out = append(out, v)
				}
			case !r.state(n).protected:
				r.blame(n, clash{need: d, of: p, with: v})
				changed = r.takeOut(n) || changed
				gaveUp = true
			}
			if gaveUp {
				break
			}
		}
		if gaveUp {
			break
		}
	}
	if r.state(n).chosen == nil {
		return changed
	}
	for _, v := range out {
		if r.takeOut(v.Of) {
			changed = true
		}
		if round > 1 && r.score[n] > r.score[v.Of] {
			r.score[v.Of] = r.score[n]
			changed = true
		}
	}
	return changed
}

// conflicting returns what is chosen in conflict with n.
func (r *repairer) conflicting(n *apt.Name, d need) []*apt.Package {
	var list []*apt.Package
	r.matches(n, d, d.clause[0], r.chosenOf, func(v *apt.Package) bool { list = append(list, v); return true })
	return list
}

func (r *repairer) takeOut(n *apt.Name) bool {
	return r.state(n).install && r.keepOut(n, 0)
}

// putIn tries to put in what meets a need of a protected package, once for each package.
func (r *repairer) putIn(n *apt.Name, d need) {
	for _, v := range r.solutions(n, d) {
		other := v.Of
		if r.tried[other] || r.state(other).protected {
			continue
		}
		r.tried[other] = true
		if !r.mark(other, false, false, 0, link{r.state(n).chosen, d}) {
			continue
		}
		if r.putInNeeds(other) {
			return
		}
		r.keepOut(other, 0)
	}
}

// putInNeeds puts in what the chosen version of n needs, and says whether all is there then.
func (r *repairer) putInNeeds(n *apt.Name) bool {
	for _, d := range r.needsOf(r.state(n).chosen) {
		if !d.critical || d.negative || r.met(n, d) {
			continue
		}
		if r.putIn(n, d); !r.met(n, d) {
			return false
		}
	}
	return true
}

// scores values every chosen package: by its priority, by who needs it, and by how much these are valued.
func (s *solver) scores() map[*apt.Name]int {
	score := make(map[*apt.Name]int)
	names := s.sorted()
	for _, n := range names {
		p := s.state(n).chosen
		if n.Essential || n.Protected {
			score[n] += scoreEssential
		}
		score[n] += scorePriority[p.Priority]
		for _, d := range s.needsOf(p) {
			s.eachMeeting(n, d, func(v *apt.Package) { score[v.Of] += scoreField[d.field] })
		}
	}
	first := maps.Clone(score)
	for _, n := range names {
		for _, d := range s.needsOf(s.state(n).chosen) {
			if !d.negative && first[n] > 0 {
				s.eachMeeting(n, d, func(v *apt.Package) { score[v.Of] += first[n] })
			}
		}
	}
	for _, n := range names {
		if s.state(n).protected {
			score[n] += scoreProtected
		}
		if n.Essential || n.Protected {
			score[n] += scoreEssentialAgain
		}
	}
	return score
}

// eachMeeting calls f with every chosen package that a need is about.
func (s *solver) eachMeeting(n *apt.Name, d need, f func(*apt.Package)) {
	for _, r := range d.clause {
		s.matches(n, d, r, s.chosenOf, func(v *apt.Package) bool { f(v); return true })
	}
}
