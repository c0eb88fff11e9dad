package resolve

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"brickyard/internal/bake/apt"
)

// A Link is one step from what was asked for to a package.
type Link struct {
	Package string `json:"package"`          // "nginx-light 1.22.1-9"
	Field   string `json:"field,omitempty"`  // by which it needs the next: "Depends", "Pre-Depends", "Recommends"; "" at the end
	Clause  string `json:"clause,omitempty"` // of that field: "libc6 (>= 2.36)"
	Reason  string `json:"reason,omitempty"` // in the first link: "asked for", "essential", …
}

// Reasons says why each package of a set is there, by name. It may be kept as JSON.
type Reasons map[string]Reason

// A Reason is the last step to one package.
type Reason struct {
	Package string `json:"package"`          // "libc6 2.36-9"
	Root    string `json:"root,omitempty"`   // of what nothing else leads to: "asked for", "essential", …
	From    string `json:"from,omitempty"`   // name of the package that needs it
	Field   string `json:"field,omitempty"`  // by which that needs it
	Clause  string `json:"clause,omitempty"` // of the field
}

// Reasons writes down why each package is there.
func (r *Result) Reasons() Reasons {
	all := make(Reasons, len(r.Packages))
	for _, c := range r.Packages {
		why := Reason{Package: c.String()}
		if c.why.from == nil {
			why.Root = c.reason()
		} else {
			why.From = c.why.from.Of.Name
			why.Field, why.Clause = c.why.need.field.String(), c.why.need.clause.String()
		}
		all[c.Name] = why
	}
	return all
}

// Why returns the shortest chain from something asked for, or of the variant, to a package: the package itself is the
// last link. It returns nil for a package that isn't there, or that no chain leads to.
func (rs Reasons) Why(name string) []Link {
	r, ok := rs[name]
	if !ok {
		return nil
	}
	chain := []Link{{Package: r.Package}}
	for r.Root == "" {
		from, ok := rs[r.From]
		if !ok || len(chain) > len(rs) {
			return nil
		}
		chain = append(chain, Link{Package: from.Package, Field: r.Field, Clause: r.Clause})
		r = from
	}
	slices.Reverse(chain)
	chain[0].Reason = r.Root
	return chain
}

func (c Chosen) reason() string {
	switch {
	case c.Asked:
		return "asked for"
	case c.Of.Essential:
		return "essential"
	}
	return "chosen on the way, or part of the variant"
}

// explain finds for every package the shortest chain to it, and which belong to the essential ones.
func (s *solver) explain(r *Result, wanted []want) {
	for i := range r.Packages {
		c := &r.Packages[i]
		if c.why = s.state(c.Of).why; c.why.from != nil && s.state(c.why.from.Of).chosen != c.why.from {
			c.why = link{} // was given up again
		}
	}
	var roots, essential []*apt.Name
	for _, w := range wanted {
		roots = append(roots, w.pkg.Of)
	}
	for _, c := range r.Packages {
		if c.Of.Essential {
			essential = append(essential, c.Of)
		}
	}
	s.reach(roots, func(n *apt.Name, why link) { r.Packages[r.index[n]].why = why })
	critical := *s
	critical.recommends = false
	critical.reach(essential, func(n *apt.Name, _ link) { r.Packages[r.index[n]].Essential = true })
}

// reach walks from the roots along met needs, nearest first, and calls visit once for each package.
func (s *solver) reach(roots []*apt.Name, visit func(*apt.Name, link)) {
	seen := make(map[*apt.Name]bool)
	queue := slices.Clone(roots)
	for _, n := range queue {
		if !seen[n] {
			seen[n] = true
			visit(n, link{})
		}
	}
	for len(queue) > 0 {
		n := queue[0]
		queue = queue[1:]
		p := s.state(n).chosen
		for _, d := range s.needsOf(p) {
			if d.negative || !s.important(d) {
				continue
			}
			next := s.meets(n, d)
			if next != nil && !seen[next] {
				seen[next] = true
				visit(next, link{p, d})
				queue = append(queue, next)
			}
		}
	}
}

// meets returns the chosen package that meets a need: of the first alternative that is, itself before providers.
func (s *solver) meets(n *apt.Name, d need) *apt.Name {
	for _, r := range d.clause {
		var found []*apt.Package
		s.matches(n, d, r, s.chosenOf, func(v *apt.Package) bool { found = append(found, v); return true })
		if len(found) > 0 {
			target := s.target(r)
			return slices.MinFunc(found, func(a, b *apt.Package) int { return s.prefer(target, a, b) }).Of
		}
	}
	return nil
}

// clash is why a package could not be chosen: a need that can't be met, or a conflict.
type clash struct {
	of   *apt.Package // whose need it is
	need need
	with *apt.Package // what a conflict is with
}

// blame notes why n could not be chosen, if that isn't known yet.
func (s *solver) blame(n *apt.Name, c clash) {
	if _, known := s.reasons[n]; !known {
		s.reasons[n] = c
	}
}

// An UnsatisfiableError is a set that can't be. Each chain says, in words, how requirements lead to a clash.
type UnsatisfiableError struct {
	Chains []string
	names  []*apt.Name // that took part
}

func (e *UnsatisfiableError) Error() string {
	return "no set of packages meets the request: " + strings.Join(e.Chains, "\n\t")
}

// An ExcludedError is a package that must stay out, but is needed.
type ExcludedError struct {
	Name  string
	Chain []string // who needs it, from what was asked for
}

func (e *ExcludedError) Error() string {
	return fmt.Sprintf("package %s is excluded, but needed: %s", e.Name, strings.Join(e.Chain, "; "))
}

func (e *ExcludedError) Hint() string {
	return "take -" + e.Name + " out of packages, or name an alternative that it isn't needed for"
}

// An UnknownError is a name that no package has.
type UnknownError struct {
	Name      string
	Near      []string // names that are spelled alike
	Providers []string // for a name that several packages provide
}

func (e *UnknownError) Error() string {
	if len(e.Providers) > 0 {
		return fmt.Sprintf("package %s: several packages provide it, none has the name", e.Name)
	}
	return fmt.Sprintf("package %s: there is none of this name", e.Name)
}

func (e *UnknownError) Hint() string {
	switch {
	case len(e.Providers) > 0:
		return "name one of them: " + strings.Join(e.Providers, ", ")
	case len(e.Near) > 0:
		return "do you mean " + strings.Join(e.Near, ", ") + "?"
	}
	return "it may be in another component or archive: see components: and archives:"
}

// verdict is nil when every wanted package is chosen and nothing chosen is broken.
func (s *solver) verdict(wanted []want) error {
	failed := &UnsatisfiableError{}
	var excluded *ExcludedError
	tell := func(p *apt.Package, steps []string) {
		t := teller{solver: s, steps: steps, seen: make(map[*apt.Name]bool)}
		t.tell(p.Of, p)
		failed.Chains = append(failed.Chains, strings.Join(t.steps, "; "))
		failed.names = append(failed.names, t.names...)
		if t.blocked != "" && excluded == nil {
			excluded = &ExcludedError{Name: t.blocked, Chain: t.steps}
		}
	}
	isWanted := make(map[*apt.Name]bool)
	for _, w := range wanted {
		isWanted[w.pkg.Of] = true
		if s.state(w.pkg.Of).chosen != w.pkg || s.broken(w.pkg.Of, false) {
			tell(w.pkg, []string{s.asks(w)})
		}
	}
	for _, n := range s.sorted() {
		if !isWanted[n] && s.broken(n, false) {
			tell(s.state(n).chosen, s.chainTo(n))
		}
	}
	switch {
	case excluded != nil:
		return excluded
	case len(failed.Chains) > 0:
		return failed
	}
	return nil
}

// chainTo says how a chosen package came to be chosen.
func (s *solver) chainTo(n *apt.Name) []string {
	var steps []string
	for range maxDepth {
		why := s.state(n).why
		if why.from == nil {
			return slices.Insert(steps, 0, n.Name+" is asked for")
		}
		steps = slices.Insert(steps, 0, says(why.from, why.need))
		n = why.from.Of
	}
	return steps
}

// says is a need in words: "web 1.0 depends on libc6 (>= 2.36)".
func says(p *apt.Package, d need) string {
	verb := map[apt.Field]string{apt.PreDepends: "pre-depends on", apt.Depends: "depends on", apt.Conflicts: "conflicts with",
		apt.Breaks: "breaks", apt.Recommends: "recommends"}[d.field]
	return fmt.Sprintf("%s %s %s", p, verb, d.clause)
}

// teller tells why a package can't be there.
type teller struct {
	*solver
	steps   []string
	names   []*apt.Name
	seen    map[*apt.Name]bool
	blocked string // an excluded name that was met
}

func (t *teller) say(format string, args ...any) {
	t.steps = append(t.steps, fmt.Sprintf(format, args...))
}

// tell goes on from package p of n: with the need that is not met, or the conflict.
func (t *teller) tell(n *apt.Name, p *apt.Package) {
	t.names = append(t.names, n)
	if t.seen[n] {
		return
	}
	t.seen[n] = true
	if t.excluded[n] {
		t.blocked = n.Name
		t.say("%s is excluded", n.Name)
		return
	}
	for _, d := range t.needsOf(p) {
		if t.state(n).chosen != p || !d.critical || t.met(n, d) {
			continue
		}
		t.tellNeed(p, d, nil)
		return
	}
	if c, ok := t.reasons[n]; ok {
		t.tellNeed(c.of, c.need, c.with)
	}
}

// tellNeed says a need of p, and why nothing meets it. with is what a conflict is with, if it is known.
func (t *teller) tellNeed(p *apt.Package, d need, with *apt.Package) {
	t.say("%s", says(p, d))
	if d.negative {
		t.matches(p.Of, d, d.clause[0], t.chosenOf, func(v *apt.Package) bool { with = v; return false })
		if with != nil {
			t.names = append(t.names, with.Of, p.Of)
			if with.Of.Name != d.clause[0].Name {
				t.say("%s provides that", with)
			}
			t.steps = append(t.steps, t.holder(with))
		}
		return
	}
	for _, r := range d.clause {
		n := t.target(r)
		if n == nil || len(n.Versions) == 0 && len(n.Providers) == 0 {
			t.say("there is no %s", r.Name)
			continue
		}
		t.names = append(t.names, n)
		found := false
		t.matches(p.Of, d, r, func(n *apt.Name) *apt.Package { t.state(n); return t.original[n] }, func(v *apt.Package) bool {
			found = true
			t.tell(v.Of, v)
			return true
		})
		switch {
		case found:
		case len(n.Versions) == 0:
			t.say("no version of a package that may be installed provides %s", r)
		case t.original[n] == nil:
			t.say("no version of %s may be installed: its pins are negative", n.Name)
		case slices.ContainsFunc(n.Versions, func(v *apt.Package) bool { return r.Op.Holds(v.Version, r.Version) }):
			t.say("the version of %s that would be installed is %s", n.Name, t.original[n].Version)
		default:
			t.say("%s has only %s", n.Name, versions(n))
		}
	}
}

// holder says why the package at the other end of a conflict has to be there.
func (t *teller) holder(p *apt.Package) string {
	why := t.state(p.Of).why
	if why.from == nil {
		return p.Of.Name + " is asked for"
	}
	return says(why.from, why.need)
}

// versions lists what there is of a name: "1.9 in debian/bookworm".
func versions(n *apt.Name) string {
	var list []string
	for _, p := range n.Versions {
		list = append(list, p.Version+" in "+p.SourceID())
	}
	return strings.Join(list, ", ")
}

// maxNear is how many names a hint shows.
const maxNear = 5

// unknown looks for names that are spelled alike.
func (s *solver) unknown(name string) error {
	distance := make(map[string]int)
	limit := max(1, len(name)/4)
	for n := range s.u.Names() {
		if len(n.Versions) == 0 && len(n.Providers) == 0 || strings.HasSuffix(n.Name, ":any") {
			continue
		}
		if d := editDistance(name, n.Name, limit); d <= limit {
			distance[n.Name] = d
		} else if len(name) > 3 && strings.HasPrefix(n.Name, name) {
			distance[n.Name] = limit + len(n.Name) - len(name)
		}
	}
	near := slices.SortedFunc(maps.Keys(distance), func(a, b string) int {
		return cmp.Or(cmp.Compare(distance[a], distance[b]), strings.Compare(a, b))
	})
	return &UnknownError{Name: name, Near: near[:min(maxNear, len(near))]}
}

// editDistance counts the insertions, deletions and changes from a to b; more than limit is limit+1.
func editDistance(a, b string, limit int) int {
	if len(a)-len(b) > limit || len(b)-len(a) > limit {
		return limit + 1
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		lowest := row[0]
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
			lowest = min(lowest, cost)
		}
		if lowest > limit {
			return limit + 1
		}
	}
	return min(row[len(b)], limit+1)
}
