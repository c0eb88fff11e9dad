package index

import (
	"cmp"
	"slices"
	"strings"

	"brickyard/internal/tree"
)

// Sizes says what of an unpacked image takes the space.
type Sizes struct {
	Bytes       int64   `json:"bytes"` // of all regular files; other names of a file count once
	Files       int     `json:"files"`
	Packages    []Share `json:"packages"`    // largest first; "" is what no package brought
	Directories []Share `json:"directories"` // largest first, at most two levels deep, each with all below
}

// A Share is one part of the space.
type Share struct {
	Name  string `json:"name"`
	Bytes int64  `json:"bytes"`
	Files int    `json:"files"`
}

// Sizes adds up the files of the image r. A file that several packages brought counts for the first.
func (c *Catalog) Sizes(r Record) (*Sizes, error) {
	root, err := c.Root(r)
	if err != nil {
		return nil, err
	}
	owners, err := c.owners(r)
	if err != nil {
		return nil, err
	}
	s := &Sizes{}
	packages, dirs := map[string]Share{}, map[string]Share{}
	for p, e := range root {
		if e.Type != tree.Regular || e.Hard != "" {
			continue
		}
		s.Bytes += e.Size
		s.Files++
		name := ""
		if is := owners[p]; len(is) > 0 {
			name = r.Packages[is[0]].Name
		}
		add(packages, name, e)
		parts := strings.SplitN(p, "/", 3)
		for depth := 1; depth < len(parts); depth++ {
			add(dirs, "/"+strings.Join(parts[:depth], "/"), e)
		}
	}
	s.Packages, s.Directories = ranked(packages), ranked(dirs)
	return s, nil
}

func add(shares map[string]Share, name string, e tree.Entry) {
	s := shares[name]
	shares[name] = Share{name, s.Bytes + e.Size, s.Files + 1}
}

func ranked(shares map[string]Share) []Share {
	list := make([]Share, 0, len(shares))
	for _, s := range shares {
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b Share) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Name, b.Name))
	})
	return list
}
