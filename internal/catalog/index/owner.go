package index

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"brickyard/internal/store"
	"brickyard/internal/tree"

	"go.yaml.in/yaml/v4"
)

// The kinds of owners, beside those of layers.
const (
	OwnerPackage = "package"
	OwnerScript  = "script"
	OwnerRecipe  = "recipe"
	OwnerRootfs  = "rootfs"
	OwnerOther   = "other"
)

// EncodeOwners returns the blob that Record.Owners names: a line for each path, sorted, with the path, a
// tab, and the index in Record.Packages of the one that brought it; of several, their indexes, increasing,
// with commas between. A path may hold tabs: the last one counts. One that holds a newline is left out.
func EncodeOwners(owners map[string][]int) []byte {
	var b bytes.Buffer
	for _, p := range slices.Sorted(maps.Keys(owners)) {
		if strings.Contains(p, "\n") {
			continue
		}
		b.WriteString(p)
		sep := byte('\t')
		for _, i := range slices.Sorted(slices.Values(owners[p])) {
			b.WriteByte(sep)
			b.WriteString(strconv.Itoa(i))
			sep = ','
		}
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// DecodeOwners reads what EncodeOwners wrote, about n packages.
func DecodeOwners(data []byte, n int) (map[string][]int, error) {
	owners := make(map[string][]int, bytes.Count(data, []byte{'\n'}))
	line := 0
	for text := range strings.Lines(string(data)) {
		line++
		text = strings.TrimSuffix(text, "\n")
		tab := strings.LastIndexByte(text, '\t')
		if tab < 0 {
			return nil, fmt.Errorf("owners: line %d: no tab", line)
		}
		for word := range strings.SplitSeq(text[tab+1:], ",") {
			i, err := strconv.Atoi(word)
			if err != nil || i < 0 || i >= n {
				return nil, fmt.Errorf("owners: line %d: no package %q", line, word)
			}
			owners[text[:tab]] = append(owners[text[:tab]], i)
		}
	}
	return owners, nil
}

// owners reads which packages of r brought which path.
func (c *Catalog) owners(r Record) (map[string][]int, error) {
	if r.Owners == "" {
		return nil, nil
	}
	data, err := c.store.ReadBlob(r.Owners, maxOwners)
	if err != nil {
		return nil, fmt.Errorf("owners of %s: %w", r.Image, err)
	}
	return DecodeOwners(data, len(r.Packages))
}

// An Owner says where a path of an image comes from.
type Owner struct {
	Path  string     `json:"path"` // as asked, absolute
	Real  string     `json:"real"` // where it is, after symbolic links on the way
	Entry tree.Entry `json:"-"`

	Kind     string    `json:"kind"`               // an Owner constant
	Packages []Package `json:"packages,omitempty"` // that brought the path, or of a directory, what is in it
	OneOf    bool      `json:"one_of,omitempty"`   // which of Packages is not recorded
	Place    *Place    `json:"place,omitempty"`    // OwnerRecipe
	Text     string    `json:"text,omitempty"`     // the recipe's entry, as it was rendered, on one line
	File     string    `json:"file,omitempty"`     // the recipe's

	Image tree.Digest `json:"image"` // that brought it: this one or one that it is based on
	Baked time.Time   `json:"baked"`
	By    string      `json:"by"`
	Layer int         `json:"layer"` // index, lowest first
}

// Owner says where path of the image r comes from: the packages or the line of the recipe that put it
// there, or that a maintainer script did. Symbolic links on the way are followed, the last component is not.
//
// Errors: [fs.ErrNotExist] when the image has no such path.
func (c *Catalog) Owner(r Record, path string) (Owner, error) {
	layers, root, err := c.trees(r)
	if err != nil {
		return Owner{}, err
	}
	real, e, err := Find(root, path, false)
	if err != nil {
		return Owner{}, err
	}
	o := Owner{Path: "/" + strings.Trim(path, "/"), Real: Abs(real), Entry: e}
	o.Layer = originLayer(layers, real, e)
	r, err = c.origin(r, o.Layer)
	if err != nil {
		return Owner{}, err
	}
	o.Image, o.Baked, o.By = r.Image, r.Baked, r.By
	return o, c.judge(&o, r, real)
}

// Find returns the entry of path in root, and its path there after symbolic links on the way; the last
// component is followed, too, when follow is set. A root without an entry of its own is a directory.
//
// Errors: [fs.ErrNotExist].
func Find(root tree.Tree, path string, follow bool) (real string, e tree.Entry, err error) {
	real, ok := root.Resolve(path)
	if follow {
		real, ok = root.ResolveAll(path)
	}
	e, there := root[real]
	if real == "." && !there {
		e, there = tree.Entry{Type: tree.Dir, Mode: 0o755}, true
	}
	if !ok || !there {
		return "", e, &fs.PathError{Op: "find", Path: "/" + strings.Trim(path, "/"), Err: fs.ErrNotExist}
	}
	return real, e, nil
}

// Abs is how people write a path of a tree: from the root on.
func Abs(p string) string {
	if p == "." {
		return "/"
	}
	return "/" + p
}

// trees reads the listings of all layers, and puts them on top of each other.
func (c *Catalog) trees(r Record) (layers []tree.Tree, root tree.Tree, err error) {
	root = tree.Tree{}
	for i := range r.Layers {
		t, err := c.Listing(r, i)
		if err != nil {
			return nil, nil, fmt.Errorf("image %s: listing of layer %d: %w", r.Image, i, err)
		}
		layers = append(layers, t)
		root.Apply(t)
	}
	return layers, root, nil
}

// originLayer is the layer that e at path p is from: the topmost that has the path, or for a directory
// the lowest since it was last gone: layers hold the directories above what they bring, too.
func originLayer(layers []tree.Tree, p string, e tree.Entry) int {
	origin := 0
	below := false // the layer below has the directory
	for i, t := range layers {
		got, ok := t[p]
		switch {
		case ok && got.Type == tree.Whiteout:
			below = false
		case ok && (e.Type != tree.Dir || !below || !got.Equal(layers[origin][p])):
			origin = i
			below = got.Type == tree.Dir
		}
	}
	return origin
}

// origin is the record of the first image, on the way up from r, that has the layer. It stops where a
// parent is not in the catalogue.
func (c *Catalog) origin(r Record, layer int) (Record, error) {
	for r.Parent != "" {
		parent, err := c.Record(r.Parent)
		if unusable(err) {
			return r, nil
		}
		if err != nil {
			return r, err
		}
		if layer >= len(parent.Layers) || layer >= len(r.Layers) || parent.Layers[layer].DiffID != r.Layers[layer].DiffID {
			return r, nil
		}
		r = parent
	}
	return r, nil
}

// judge sets Kind and what belongs to it.
func (c *Catalog) judge(o *Owner, r Record, p string) error {
	owners, err := c.owners(r)
	if err != nil {
		return err
	}
	of := owners[p]
	if o.Entry.Type == tree.Dir && len(of) == 0 {
		of = ownersBelow(owners, p)
	}
	for _, i := range of {
		o.Packages = append(o.Packages, r.Packages[i])
	}
	kind := LayerOther
	if o.Layer < len(r.Layers) {
		kind = r.Layers[o.Layer].Kind
	}
	if o.Entry.Type == tree.Dir && len(of) > 0 && kind == LayerScripts {
		kind = LayerPackages // scripts come after packages: they changed the directory, and did not make it
	}
	switch kind {
	case LayerPackages:
		o.Kind = OwnerPackage
		if len(o.Packages) == 0 {
			o.Packages = r.packagesOf(r.Layers[o.Layer])
			o.OneOf = len(o.Packages) > 1
		}
	case LayerScripts:
		o.Kind = OwnerScript
	case LayerRecipe:
		o.Kind = OwnerRecipe
		return c.place(o, r, p)
	case LayerRootfs:
		o.Kind = OwnerRootfs
	default:
		o.Kind = OwnerOther
	}
	return nil
}

// ownersBelow are the packages that brought something below the directory dir: it is there for them.
func ownersBelow(owners map[string][]int, dir string) []int {
	prefix := dir + "/"
	if dir == "." {
		prefix = ""
	}
	found := map[int]bool{}
	for p, of := range owners {
		if strings.HasPrefix(p, prefix) {
			for _, i := range of {
				found[i] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// packagesOf are the packages whose files are in a layer: the nearest to an answer when no list says more.
func (r Record) packagesOf(l Layer) []Package {
	var ps []Package
	for _, p := range r.Packages {
		if slices.Contains(l.Packages, p.Name+" "+p.Version) {
			ps = append(ps, p)
		}
	}
	return ps
}

// place finds the entry of the recipe. The places of a parent come first in those of r, with lines of
// another file: they are not meant.
func (c *Catalog) place(o *Owner, r Record, p string) error {
	o.File = r.File
	places := r.Places
	if parent, err := c.Record(r.Parent); r.Parent != "" && err == nil {
		if n := len(parent.Places); n <= len(places) && slices.Equal(places[:n], parent.Places) {
			places = places[n:]
		}
	}
	place, ok := nearest(places, p)
	if !ok {
		return nil
	}
	o.Place = &place
	text, err := c.store.ReadBlob(r.Recipe, maxConfig)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err == nil {
		o.Text, err = recipeEntry(text, place.What)
	}
	if err != nil {
		return fmt.Errorf("recipe of %s: %w", r.Image, err)
	}
	return nil
}

// nearest is the last Place of p, or of the nearest directory above it.
func nearest(places []Place, p string) (Place, bool) {
	for {
		for _, pl := range slices.Backward(places) {
			if pl.Path == p || pl.Path == Abs(p) {
				return pl, true
			}
		}
		if p == "." {
			return Place{}, false
		}
		p = tree.Parent(p)
	}
}

// recipeEntry returns the part of a rendered recipe that a Place's What names, on one line; "" when it
// is not there.
func recipeEntry(text []byte, what string) (string, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return "", err
	}
	list, rest, _ := strings.Cut(what, "[")
	if len(doc.Content) == 0 || doc.Content[0].Kind != yaml.MappingNode {
		return "", nil
	}
	entries := doc.Content[0].Content // key, value, key, value …
	for i := 0; i+1 < len(entries); i += 2 {
		if entries[i].Value != list {
			continue
		}
		n := entries[i+1]
		if rest == "" {
			return oneLine(n)
		}
		k, err := strconv.Atoi(strings.TrimSuffix(rest, "]"))
		if err != nil || k < 0 || k >= len(n.Content) {
			return "", nil
		}
		return oneLine(n.Content[k])
	}
	return "", nil
}

func oneLine(n *yaml.Node) (string, error) {
	flow(n)
	var b strings.Builder
	enc := yaml.NewEncoder(&b)
	if err := enc.Encode(n); err != nil {
		return "", err
	}
	if err := enc.Close(); err != nil {
		return "", err
	}
	return strings.Join(strings.Fields(b.String()), " "), nil
}

func flow(n *yaml.Node) {
	n.Style = yaml.FlowStyle
	if n.Kind == yaml.ScalarNode && strings.Contains(n.Value, "\n") {
		n.Style = yaml.DoubleQuotedStyle
	}
	n.HeadComment, n.LineComment, n.FootComment = "", "", ""
	for _, child := range n.Content {
		flow(child)
	}
}
