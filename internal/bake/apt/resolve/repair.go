package resolve

import (
	"cmp"
	"maps"
	"slices"

	"brickyard/internal/bake/apt"
	"brickyard/internal/bake/apt/control"
)

// Weights of apt's problem resolver: what a package counts when two can't both stay.
const (
	scoreEssential      = 100
	scoreRequested      = 10000
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
	order := slices.Collect(s.u.Names())
	slices.SortFunc(order, func(a, b *apt.Name) int { return cmp.Or(cmp.Compare(score[b], score[a]), cmp.Compare(a.ID, b.ID)) })
	r := repairer{solver: s, score: score, tried: make(map[*apt.Name]bool)}
	for round := range maxRounds {
		changed := false
		for _, n := range order {
			if s.chosen[n] && s.broken(n, false) && r.fix(n, round) {
				changed = true
			}
		}
		if !changed {
			return
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

// putIn tries to put in what meets a need of a package that stays, each package once. It says whether it did.
func (r *repairer) putIn(n *apt.Name, d need) bool {
	for _, other := range r.able(n, d) {
		if !r.tryPut(other, link{r.state(n).chosen, d}) {
			continue
		}
		if r.score[other] > r.score[n] {
			r.score[other] = r.score[n]
		}
		return true
	}
	return false
}

// able returns the names with a version, candidate or not, that could meet a need of n: for each alternative itself,
// then its providers, the last in the indexes first.
func (r *repairer) able(n *apt.Name, d need) []*apt.Name {
	var list []*apt.Name
	for _, rel := range d.clause {
		t := r.target(rel)
		if t == nil {
			continue
		}
		if slices.ContainsFunc(t.Versions, func(v *apt.Package) bool { return rel.Op.Holds(v.Version, rel.Version) }) {
			list = append(list, t)
		}
		for _, p := range slices.Backward(t.Providers) {
			if provides(rel, p) {
				list = append(list, p.Package.Of)
			}
		}
	}
	return list
}

// tryPut puts in n and what it needs, or nothing of n.
func (r *repairer) tryPut(n *apt.Name, why link) bool {
	if r.tried[n] || r.state(n).protected || r.state(n).candidate == nil {
		return false
	}
	r.tried[n] = true
	if !r.mark(n, false, false, 0, why) {
		return false
	}
	for _, d := range r.needsOf(r.state(n).chosen) {
		if !d.critical || r.met(n, d) {
			continue
		}
		if d.negative { // left to the next round, but for what is there to stay
			if t := r.target(d.clause[0]); t == nil || !r.state(t).protected {
				continue
			}
		} else if r.putIn(n, d) {
			continue
		}
		r.keepOut(n, 0)
		return false
	}
	return true
}

// scores values every package: what is chosen by its priority and by who needs it, and then by how much these are valued.
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
			for _, r := range d.clause {
				if t := s.target(r); t != nil && s.state(t).chosen == nil && r.Op == control.Any {
					score[t] += scoreField[d.field]
				}
			}
			s.eachMeeting(n, d, func(v *apt.Package) { score[v.Of] += scoreField[d.field] })
		}
	}
	first := maps.Clone(score)
	for _, n := range names {
		for _, d := range s.needsOf(s.state(n).chosen) {
			for _, r := range d.clause {
				if t := s.target(r); !d.negative && t != nil && s.state(t).chosen != nil && first[n] > 0 {
					score[t] += first[n]
				}
			}
		}
	}
	s.scoreProviders(score, first)
	for n := range s.requested {
		score[n] += scoreRequested
	}
	for n := range s.u.Names() {
		if n.Essential || n.Protected {
			score[n] += scoreEssentialAgain
		}
	}
	return score
}

// scoreProviders gives what a chosen package inherited to those that provide its name too.
func (s *solver) scoreProviders(score, first map[*apt.Name]int) {
	for _, n := range s.sorted() {
		inherited := score[n] - first[n]
		seen := make(map[*apt.Name]bool)
		for _, p := range n.Providers {
			if owner := p.Package.Of; s.state(owner).chosen == p.Package && !seen[owner] {
				seen[owner] = true
				score[owner] += max(inherited, -inherited)
			}
		}
	}
}

// eachMeeting calls f with every chosen package that a need is about.
func (s *solver) eachMeeting(n *apt.Name, d need, f func(*apt.Package)) {
	for _, r := range d.clause {
		s.matches(n, d, r, s.chosenOf, func(v *apt.Package) bool { f(v); return true })
	}
}
