package index

import (
	"cmp"
	"slices"

	"brickyard/internal/tree"
)

// A Step is one image in the line of those that are based on each other.
type Step struct {
	Image   tree.Digest
	Record  Record   // zero when Missing
	Tags    []string // name:tag, sorted
	Missing bool     // the catalogue has no record of it, or none that can be read
	// Packages says what changed against the image before, or what there is when there is none before.
	Packages []PackageChange
}

// History lists the images that r is based on, the first one first, and r last.
func (c *Catalog) History(r Record) ([]Step, error) {
	tags, _, err := c.Tags()
	if err != nil {
		return nil, err
	}
	names := map[tree.Digest][]string{}
	for _, t := range tags {
		names[t.Image] = append(names[t.Image], t.Ref)
	}
	steps := []Step{{Image: r.Image, Record: r, Tags: names[r.Image]}}
	for parent := r.Parent; parent != ""; {
		step := Step{Image: parent, Tags: names[parent]}
		step.Record, err = c.Record(parent)
		if unusable(err) {
			step.Missing = true
		} else if err != nil {
			return nil, err
		}
		steps = append(steps, step)
		parent = step.Record.Parent
	}
	slices.Reverse(steps)
	for i := range steps {
		var before []Package
		if i > 0 {
			if steps[i-1].Missing {
				continue
			}
			before = steps[i-1].Record.Packages
		}
		steps[i].Packages = ComparePackages(before, steps[i].Record.Packages)
	}
	return steps, nil
}

// A PackageChange is one package that two images do not agree on. Old or New is empty when the package
// is only in one of them.
type PackageChange struct {
	Name string `json:"name"`
	Arch string `json:"arch"`
	Old  string `json:"old,omitempty"` // version
	New  string `json:"new,omitempty"`
}

// ComparePackages lists, sorted by name, what must change to make b out of a.
func ComparePackages(a, b []Package) []PackageChange {
	type key struct{ name, arch string }
	old := map[key]string{}
	for _, p := range a {
		old[key{p.Name, p.Arch}] = p.Version
	}
	var cs []PackageChange
	for _, p := range b {
		k := key{p.Name, p.Arch}
		if old[k] != p.Version {
			cs = append(cs, PackageChange{p.Name, p.Arch, old[k], p.Version})
		}
		delete(old, k)
	}
	for k, version := range old {
		cs = append(cs, PackageChange{k.name, k.arch, version, ""})
	}
	slices.SortFunc(cs, func(x, y PackageChange) int {
		return cmp.Or(cmp.Compare(x.Name, y.Name), cmp.Compare(x.Arch, y.Arch))
	})
	return cs
}
