package indextest

import (
	"fmt"
	"math/rand/v2"
	"time"

	"brickyard/internal/catalog/index"
	"brickyard/internal/store"
	"brickyard/internal/tree"
)

// Many puts n images into s that differ as those of a house with many services do: about one recipe to a hundred images, on
// a few bases that are baked anew each month, twenty layers each, most of them shared; every tenth has a tag. Only their
// records are there, and the listings of their layers; the same n and seed give the same images.
func Many(s *store.Store, n int, seed uint64) error {
	g := &generator{s: s, c: index.New(s), r: rand.New(rand.NewPCG(seed, 1)), batch: s.Batch(), start: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)}
	if err := g.bases(max(2, n/2000)); err != nil {
		return err
	}
	for i := range n {
		if err := g.image(i, n); err != nil {
			return err
		}
	}
	return g.batch.Commit()
}

type generator struct {
	s     *store.Store
	c     *index.Catalog
	r     *rand.Rand
	batch *store.Batch
	start time.Time
	from  []index.Record // bases
}

// baseLayers and ownLayers are how many layers an image has from its base, and how many of its own.
const baseLayers, ownLayers = 15, 5

// bases makes what images are built on.
func (g *generator) bases(n int) error {
	for i := range n {
		r := index.Record{Name: fmt.Sprint("base-", i%4), Arch: "amd64", Owner: "platform", By: "ci@forge", Baked: g.start.AddDate(0, i/4, 0)}
		for j := range baseLayers {
			version := 1 + (i/4*7+j)%(i/4+1) // some packages are newer each month
			name := fmt.Sprintf("lib%d-%d", i%4, j)
			r.Packages = append(r.Packages, index.Package{Name: name, Version: fmt.Sprint(version, ".0-1"), Arch: "amd64", Source: name, SourceVersion: fmt.Sprint(version, ".0-1"), From: "debian/stable"})
			l, err := g.layer(fmt.Sprint(name, "-", version), 40)
			if err != nil {
				return err
			}
			r.Layers = append(r.Layers, l)
		}
		r.Image = store.Sum(fmt.Append(nil, "base ", i))
		if err := g.c.Add(g.batch, r); err != nil {
			return err
		}
		g.from = append(g.from, r)
	}
	return nil
}

// image makes the i-th of n images.
func (g *generator) image(i, n int) error {
	service := g.r.IntN(max(1, n/100))
	age := float64(i) / float64(n)
	base := g.from[min(len(g.from)-1, int(age*float64(len(g.from)))+service%4)]
	r := index.Record{
		Image: store.Sum(fmt.Append(nil, "image ", i)), Name: fmt.Sprint("service-", service), Arch: "amd64", By: "ci@forge",
		Baked: g.start.Add(time.Duration(age * float64(2*365*24*time.Hour))), Parent: base.Image,
		Packages: append([]index.Package(nil), base.Packages...), Layers: append([]index.Layer(nil), base.Layers...),
	}
	if service%10 > 0 {
		r.Owner = fmt.Sprint("team-", service%17)
	}
	if service%3 == 0 {
		r.Expires = r.Baked.AddDate(0, 3, 0)
	}
	for j := range ownLayers {
		version := i
		if j > 0 { // what a service needs besides changes now and then, its own program each time
			version = i / (n/20 + 1)
		}
		name := fmt.Sprintf("app%d-%d", service, j)
		r.Packages = append(r.Packages, index.Package{Name: name, Version: fmt.Sprint(version), Arch: "amd64", Source: name, SourceVersion: fmt.Sprint(version), From: "file"})
		l, err := g.layer(fmt.Sprint(name, "-", version), 10)
		if err != nil {
			return err
		}
		r.Layers = append(r.Layers, l)
	}
	if err := g.c.Add(g.batch, r); err != nil {
		return err
	}
	if i%10 > 0 {
		return nil
	}
	return g.c.Tag(g.batch, fmt.Sprintf("%s:%d", r.Name, i), r.Image, true, r.By, r.Baked)
}

// layer makes the listing of a layer with some files, whose names and contents come of its name.
func (g *generator) layer(name string, files int) (index.Layer, error) {
	r := rand.New(rand.NewPCG(seedOf(name), 2))
	t := tree.Tree{"usr": {Type: tree.Dir, Mode: 0o755}}
	var size int64
	for i := range files {
		content := store.Sum(fmt.Append(nil, name, i))
		if i%4 == 0 { // a quarter of the files is in many packages
			content = store.Sum(fmt.Append(nil, "common ", r.IntN(100)))
		}
		e := tree.Entry{Type: tree.Regular, Mode: 0o644, Digest: content, Size: 100 + int64(seedOf(string(content))%100_000)}
		t[fmt.Sprintf("usr/%s-%d", name, i)] = e
		size += e.Size
	}
	d, err := g.s.PutTree(t)
	return index.Layer{
		Digest: store.Sum(fmt.Append(nil, "blob ", name)), DiffID: store.Sum(fmt.Append(nil, "diff ", name)),
		Tree: d, Size: size / 3, Kind: index.LayerPackages, Packages: []string{name},
	}, err
}

func seedOf(s string) (n uint64) {
	for _, c := range []byte(store.Sum([]byte(s)).Hex()[:16]) {
		n = n<<4 | uint64(c&15)
	}
	return n
}
