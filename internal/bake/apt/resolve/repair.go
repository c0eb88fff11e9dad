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
	order := sortLikeApt(s.u.InAptsOrder(), score)
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
		if d.negative {
			more, gaveUp := r.clear(n, d)
			if out = append(out, more...); gaveUp {
				changed = true
				break
			}
			continue
		}
		if !r.state(n).protected {
			r.blame(n, clash{need: d, of: p})
			return r.takeOut(n) || changed
		}
		r.putIn(n, d)
	}
	if r.state(n).chosen == nil {
		return changed
	}
	for _, v := range out {
		kept := r.keepOut(v.Of, 0)
		if (!kept || round > 1) && r.score[n] > r.score[v.Of] {
			r.score[v.Of] = r.score[n]
			changed = true
		}
		changed = changed || kept
	}
	return changed
}

// clear looks at what is chosen in conflict with n: what is valued less is to be taken out; for what is valued more n is
// given up, unless n stays.
func (r *repairer) clear(n *apt.Name, d need) (out []*apt.Package, gaveUp bool) {
	for _, v := range r.conflicting(n, d) {
		other := v.Of
		switch {
		case r.score[n] > r.score[other]:
			if !r.state(other).protected {
				out = append(out, v)
			}
		case r.state(n).protected:
			if r.mend(n, other, d) {
				return out, false
			}
		default:
			r.blame(n, clash{need: d, of: r.state(n).chosen, with: v})
			return out, r.takeOut(n)
		}
	}
	return out, false
}

// conflicting returns what is chosen in conflict with n: the package named, then those that provide it, the last in
// the indexes first.
func (r *repairer) conflicting(n *apt.Name, d need) []*apt.Package {
	var list []*apt.Package
	t := r.target(d.clause[0])
	r.matches(n, d, d.clause[0], r.chosenOf, func(v *apt.Package) bool { list = append(list, v); return true })
	if len(list) > 0 && list[0].Of == t {
		slices.Reverse(list[1:])
	} else {
		slices.Reverse(list)
	}
	return list
}

func (r *repairer) takeOut(n *apt.Name) bool {
	return r.state(n).install && r.keepOut(n, 0)
}

// putIn tries to put in what meets a need of a package that stays: of each alternative one, until the need is met. What
// is put in need not be the version that meets it.
func (r *repairer) putIn(n *apt.Name, d need) {
	for _, rel := range d.clause {
		if r.met(n, d) {
			return
		}
		for _, other := range r.able(rel) {
			if r.mend(n, other, d) {
				break
			}
		}
	}
}

// mend puts other in for a need of n, which it is valued no more than from then on.
func (r *repairer) mend(n, other *apt.Name, d need) bool {
	if !r.tryPut(other, link{r.state(n).chosen, d}) {
		return false
	}
	r.score[other] = min(r.score[other], r.score[n])
	return true
}

// able returns the names with a version, candidate or not, that a relation is about: itself, then its providers, the last in
// the indexes first.
func (r *repairer) able(rel control.Relation) []*apt.Name {
	var list []*apt.Name
	t := r.target(rel)
	if t == nil {
		return nil
	}
	if slices.ContainsFunc(t.Versions, func(v *apt.Package) bool { return rel.Op.Holds(v.Version, rel.Version) }) {
		list = append(list, t)
	}
	for _, p := range slices.Backward(t.Providers) {
		if provides(rel, p) {
			list = append(list, p.Package.Of)
		}
	}
	return list
}

// tryPut puts in n, once, and what it needs, or nothing of n.
func (r *repairer) tryPut(n *apt.Name, why link) bool {
	if r.tried[n] || r.requested[n] || r.state(n).candidate == nil {
		return false
	}
	r.tried[n] = true
	if !r.mark(n, false, false, 0, why) {
		return false
	}
	for _, d := range r.needsOf(r.state(n).chosen) {
		if d.critical && !r.tryNeed(n, d) {
			r.keepOut(n, 0)
			return false
		}
	}
	return true
}

// tryNeed puts in what meets a need of n: the first of its alternatives that can be. A conflict is left to the next round,
// but for one with what stays.
func (r *repairer) tryNeed(n *apt.Name, d need) bool {
	failed := false
	for _, rel := range d.clause {
		if r.met(n, d) {
			break
		}
		t := r.means(n, rel)
		switch {
		case t != nil && r.state(t).protected:
			failed = true
		case t != nil && r.possibleBy(n, d, rel) != d.negative:
			if r.tryPut(t, link{r.state(n).chosen, d}) {
				return true
			}
			failed = true
		case d.negative:
			return !failed
		default:
			failed = true
		}
	}
	return !failed
}

// means is the package that a relation of n is about: what has the name, or the last in the indexes that provides it.
func (r *repairer) means(n *apt.Name, rel control.Relation) *apt.Name {
	t := r.target(rel)
	if t == nil || len(t.Versions) > 0 {
		return t
	}
	for _, p := range slices.Backward(t.Providers) {
		if p.Package.Of != n {
			return p.Package.Of
		}
	}
	return t
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
				s.scoreRelation(score, n, d, r)
			}
		}
	}
	first := maps.Clone(score)
	for _, n := range names {
		for _, d := range s.needsOf(s.state(n).chosen) {
			for _, r := range d.clause {
				if t := s.named(r); !d.negative && t != nil && s.state(t).chosen != nil && first[n] > 0 {
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

// scoreRelation values what a relation of n names and what provides that. One with a version counts only where what has the
// very name has such a version.
func (s *solver) scoreRelation(score map[*apt.Name]int, n *apt.Name, d need, r control.Relation) {
	weight := scoreField[d.field]
	t := s.named(r)
	if t == nil {
		return
	}
	if !d.negative || t != n {
		if v := s.state(t).chosen; r.Op != control.Any && (v == nil || !r.Op.Holds(v.Version, r.Version)) {
			return
		}
		score[t] += weight
	}
	meant := s.target(r)
	if meant == nil {
		return
	}
	if meant != t && s.state(meant).chosen != nil {
		score[meant] += weight // named with its architecture
	}
	seen := make(map[*apt.Name]bool)
	for _, p := range meant.Providers {
		owner := p.Package.Of
		if !seen[owner] && s.state(owner).chosen == p.Package && provides(r, p) && !(d.negative && owner == n) {
			seen[owner] = true
			score[owner] += weight
		}
	}
}

// named is what a relation names to the letter: with an architecture that is no package, but something that one provides.
func (s *solver) named(r control.Relation) *apt.Name {
	switch r.Arch {
	case "":
		return s.u.Name(r.Name)
	case "native":
		return s.u.Name(r.Name + ":" + s.u.Arch)
	}
	return s.u.Name(r.Name + ":" + r.Arch)
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
