package resolve

import (
	"path"
	"slices"

	"brickyard/internal/bake/apt"
)

// A Pin is one stanza of apt_preferences(5): a priority for packages by name or glob, of a version or from where.
type Pin struct {
	Package  string // name or glob; "*" for whole sources
	Version  string // version or glob; or:
	Release  string // suite or codename; and, or:
	Origin   string // Origin of the Release file
	Priority int
}

// Priorities that sources have without a pin (apt_preferences(5)).
const (
	priorityNormal       = 500
	priorityNotAutomatic = 1
	priorityButAutomatic = 100
)

// candidate is the version that is installed unless another is named: that of the highest priority, of several
// the newest. Nothing of a negative priority, or of zero, is.
func candidate(n *apt.Name, pins []Pin) *apt.Package {
	var best *apt.Package
	highest := 0
	for _, p := range n.Versions {
		if prio := priority(p, pins); prio > highest {
			best, highest = p, prio
		}
	}
	return best
}

// priority is that of the first pin for the package, else the highest of its sources.
func priority(p *apt.Package, pins []Pin) int {
	for _, pin := range pins {
		if pin.Package != "*" && pin.names(p) && pin.versions(p) {
			return pin.Priority
		}
	}
	if len(p.In) == 0 {
		return priorityNormal
	}
	highest := sourcePriority(p.In[0], pins)
	for _, r := range p.In[1:] {
		highest = max(highest, sourcePriority(r, pins))
	}
	return highest
}

func (pin Pin) names(p *apt.Package) bool {
	ok, err := path.Match(pin.Package, p.Of.Name)
	return err == nil && ok
}

func (pin Pin) versions(p *apt.Package) bool {
	if pin.Version != "" {
		ok, err := path.Match(pin.Version, p.Version)
		return pin.Version == p.Version || err == nil && ok
	}
	return slices.ContainsFunc(p.In, pin.from)
}

// from says whether the pin is for packages of this source.
func (pin Pin) from(r *apt.Release) bool {
	if pin.Release == "" && pin.Origin == "" {
		return false
	}
	suite := pin.Release == "" || pin.Release == r.Suite || pin.Release == r.Codename || pin.Release == r.Source.Suite
	return suite && (pin.Origin == "" || pin.Origin == r.Origin)
}

func sourcePriority(r *apt.Release, pins []Pin) int {
	for _, pin := range pins {
		if pin.Package == "*" && pin.Version == "" && pin.from(r) {
			return pin.Priority
		}
	}
	switch {
	case r.NotAutomatic && r.ButAutomatic:
		return priorityButAutomatic
	case r.NotAutomatic:
		return priorityNotAutomatic
	}
	return priorityNormal
}
