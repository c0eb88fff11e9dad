// Package sprawl counts what a catalogue has too much of.
package sprawl

import (
	"cmp"
	"slices"
	"time"

	"brickyard/internal/catalog/index"
	"brickyard/internal/tree"
)

// A Report is a catalogue in numbers. Bytes are those of compressed layers, as they are stored and sent.
type Report struct {
	Images int   `json:"images"`
	Names  int   `json:"names"`  // of recipes and repositories
	Layers int   `json:"layers"` // distinct ones
	Each   int64 `json:"each"`   // bytes, were every image stored by itself
	Stored int64 `json:"stored"` // bytes of the distinct layers
	Shared int64 `json:"shared"` // bytes of those that more than one image has

	Owners []Group `json:"owners"` // the most bytes of their own first; "" for none
	Bases  []Group `json:"bases"`  // by the image that they are built on; "" for none
	Ages   []Group `json:"ages"`   // by how old they are, the youngest first
	Months []Group `json:"months"` // by the month in which they were baked, oldest first; Own is what the month added

	Alike    []Alike       `json:"alike"` // images with the very same packages, the most bytes of their own first
	Findings []Finding     `json:"findings"`
	Largest  []ImageBytes  `json:"largest"` // the most bytes of their own first: what leaves with them
	Now      time.Time     `json:"now"`
	Parents  []tree.Digest `json:"missing_parents,omitempty"` // images are built on these, and they are not here
}

// A Group is some of the images.
type Group struct {
	Name   string `json:"name"`
	Images int    `json:"images"`
	Each   int64  `json:"each"` // as in Report
	Own    int64  `json:"own"`  // bytes of layers that only images of this group have: what leaves with them
}

// Alike are images of one set of packages.
type Alike struct {
	Images   []tree.Digest `json:"images"` // newest first
	Names    []string      `json:"names"`
	Packages int           `json:"packages"`
	Own      int64         `json:"own"` // bytes that only the older ones have
}

// A Finding counts images with something to be said of them.
type Finding struct {
	Kind   string   `json:"kind"` // as "without owner"
	Images int      `json:"images"`
	Own    int64    `json:"own"`    // bytes that only they have
	Some   []string `json:"some"`   // a few of them, as people name them
	Filter string   `json:"filter"` // of "brickyard images", "" where there is none
}

// ImageBytes are the bytes of one image.
type ImageBytes struct {
	Image tree.Digest `json:"image"`
	Name  string      `json:"name"`
	Tags  []string    `json:"tags"`
	Size  int64       `json:"size"`
	Own   int64       `json:"own"`
}

// few is how many examples and largest images there are.
const few = 5

// survey is what a Report is made from.
type survey struct {
	now    time.Time
	images []index.Image
	uses   []index.LayerUse
}

// Look makes the report of a catalogue.
func Look(c *index.Catalog, now time.Time) (*Report, []*index.NoteError, error) {
	images, damaged, err := c.Images(index.Filter{})
	if err != nil {
		return nil, nil, err
	}
	uses, err := c.LayerUses(images)
	if err != nil {
		return nil, nil, err
	}
	s := &survey{now, images, uses}
	return s.report(), damaged, nil
}

func (s *survey) report() *Report {
	r := &Report{Images: len(s.images), Layers: len(s.uses), Now: s.now.UTC()}
	names := map[string]bool{}
	for _, im := range s.images {
		names[im.Name] = true
		r.Each += im.Size
	}
	r.Names = len(names)
	for _, u := range s.uses {
		r.Stored += u.Size
		if len(u.Images) > 1 {
			r.Shared += u.Size
		}
	}
	byOwn := func(a, b Group) int { return cmp.Or(cmp.Compare(b.Own, a.Own), cmp.Compare(a.Name, b.Name)) }
	r.Owners = s.groups(func(im index.Image) string { return im.Owner })
	slices.SortFunc(r.Owners, byOwn)
	r.Bases, r.Parents = s.bases()
	slices.SortFunc(r.Bases, byOwn)
	r.Ages = s.groups(func(im index.Image) string { return age(s.now.Sub(im.Baked)) })
	slices.SortFunc(r.Ages, func(a, b Group) int { return slices.Index(ages, a.Name) - slices.Index(ages, b.Name) })
	r.Months = s.months()
	r.Alike = s.alike()
	r.Findings = s.findings()
	r.Largest = s.largest()
	return r
}

// groups divides the images by a key.
func (s *survey) groups(key func(index.Image) string) []Group {
	at := map[string]int{}
	of := make([]int, len(s.images)) // the group of each image
	var list []Group
	for i, im := range s.images {
		k := key(im)
		g, ok := at[k]
		if !ok {
			g = len(list)
			at[k], list = g, append(list, Group{Name: k})
		}
		of[i] = g
		list[g].Images++
		list[g].Each += im.Size
	}
	for _, u := range s.uses {
		g := of[u.Images[0]]
		if !slices.ContainsFunc(u.Images, func(i int) bool { return of[i] != g }) {
			list[g].Own += u.Size
		}
	}
	return list
}

// bases divides the images by what they are built on, and lists what of that is not here.
func (s *survey) bases() (list []Group, missing []tree.Digest) {
	names := map[tree.Digest]string{}
	for _, im := range s.images {
		names[im.Digest] = label(im)
	}
	gone := map[tree.Digest]bool{}
	list = s.groups(func(im index.Image) string {
		if im.Parent == "" {
			return ""
		}
		if names[im.Parent] == "" {
			gone[im.Parent] = true
			return string(im.Parent)
		}
		return names[im.Parent]
	})
	for d := range gone {
		missing = append(missing, d)
	}
	slices.Sort(missing)
	return list, missing
}

// label is what people call an image: its first tag, else its name and the start of its digest.
func label(im index.Image) string {
	if len(im.Tags) > 0 {
		return im.Tags[0]
	}
	const digits = 12
	return im.Name + "@" + im.Digest.Hex()[:digits]
}

// ages are the names of spans, the shortest first.
var ages = []string{"a week", "a month", "three months", "a year", "older"}

func age(d time.Duration) string {
	const day = 24 * time.Hour
	for i, limit := range []time.Duration{7 * day, 30 * day, 91 * day, 365 * day} {
		if d <= limit {
			return ages[i]
		}
	}
	return ages[len(ages)-1]
}

// months divides the images by the month of their bake. Own is the bytes of layers that came with it.
func (s *survey) months() []Group {
	month := func(im index.Image) string { return im.Baked.UTC().Format("2006-01") }
	list := s.groups(month)
	slices.SortFunc(list, func(a, b Group) int { return cmp.Compare(a.Name, b.Name) })
	at := map[string]*Group{}
	for i := range list {
		list[i].Own = 0
		at[list[i].Name] = &list[i]
	}
	for _, u := range s.uses {
		first := slices.MinFunc(u.Images, func(i, j int) int { return s.images[i].Baked.Compare(s.images[j].Baked) })
		at[month(s.images[first])].Own += u.Size
	}
	return list
}

// alike finds images that have the very same packages.
func (s *survey) alike() []Alike {
	sets := map[int64][]int{}
	for i, im := range s.images {
		if im.Packages > 0 {
			sets[im.Alike] = append(sets[im.Alike], i)
		}
	}
	own := s.own()
	var list []Alike
	for _, set := range sets {
		if len(set) < 2 {
			continue
		}
		slices.SortFunc(set, func(i, j int) int {
			return cmp.Or(s.images[j].Baked.Compare(s.images[i].Baked), cmp.Compare(s.images[i].Digest, s.images[j].Digest))
		})
		a := Alike{Packages: s.images[set[0]].Packages}
		for n, i := range set {
			a.Images, a.Names = append(a.Images, s.images[i].Digest), append(a.Names, label(s.images[i]))
			if n > 0 {
				a.Own += own[i]
			}
		}
		list = append(list, a)
	}
	slices.SortFunc(list, func(a, b Alike) int {
		return cmp.Or(cmp.Compare(b.Own, a.Own), cmp.Compare(len(b.Images), len(a.Images)), cmp.Compare(a.Images[0], b.Images[0]))
	})
	return list
}

// own counts for each image the bytes that it alone has.
func (s *survey) own() map[int]int64 {
	own := map[int]int64{}
	for _, u := range s.uses {
		if len(u.Images) == 1 {
			own[u.Images[0]] += u.Size
		}
	}
	return own
}

// findings counts what is to be looked at.
func (s *survey) findings() []Finding {
	var list []Finding
	for _, f := range []struct {
		kind, filter string
		of           func(index.Image) bool
	}{
		{"without owner", "", func(im index.Image) bool { return im.Owner == "" }},
		{"expired", "expired=yes", func(im index.Image) bool { return im.Expired(s.now) }},
		{"never expires", "", func(im index.Image) bool { return im.Expires.IsZero() }},
		{"without a tag", "tagged=no", func(im index.Image) bool { return len(im.Tags) == 0 }},
		{"without recipe", "", func(im index.Image) bool { return im.Origin != "" }},
	} {
		found := Finding{Kind: f.kind, Filter: f.filter}
		in := make([]bool, len(s.images))
		for i, im := range s.images {
			if in[i] = f.of(im); in[i] {
				found.Images++
				if len(found.Some) < few {
					found.Some = append(found.Some, label(im))
				}
			}
		}
		for _, u := range s.uses {
			if !slices.ContainsFunc(u.Images, func(i int) bool { return !in[i] }) {
				found.Own += u.Size
			}
		}
		if found.Images > 0 {
			list = append(list, found)
		}
	}
	return list
}

// largest lists the images with the most bytes of their own.
func (s *survey) largest() []ImageBytes {
	own := s.own()
	order := make([]int, len(s.images))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int {
		return cmp.Or(cmp.Compare(own[j], own[i]), cmp.Compare(s.images[j].Size, s.images[i].Size), cmp.Compare(s.images[i].Digest, s.images[j].Digest))
	})
	var list []ImageBytes
	for _, i := range order[:min(few, len(order))] {
		im := s.images[i]
		list = append(list, ImageBytes{im.Digest, im.Name, im.Tags, im.Size, own[i]})
	}
	return list
}
