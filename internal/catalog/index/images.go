package index

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"brickyard/internal/store"
	"brickyard/internal/tree"
)

// An Image is a record with the names that point at it.
type Image struct {
	Record
	Tags []string // name:tag, sorted
}

// Size is how many bytes the blobs of all layers have: what is stored and sent.
func (r Record) Size() int64 {
	var n int64
	for _, l := range r.Layers {
		n += l.Size
	}
	return n
}

// Expired says whether the image's time is over.
func (r Record) Expired(now time.Time) bool { return !r.Expires.IsZero() && now.After(r.Expires) }

// A Filter chooses images. The zero value takes all.
type Filter struct {
	Names     []string // globs of recipe names, names, name:tags, or starts of digests; one must match
	Owner     string
	Lifecycle string
	Package   string // name, or name=version
	Expired   *bool
	Tagged    *bool
	Now       time.Time // to tell what has expired
}

// ParseFilter reads filters: names as in Filter, owner=…, lifecycle=…, package=NAME[=VERSION],
// expired=yes|no, tagged=yes|no.
func ParseFilter(args []string, now time.Time) (Filter, error) {
	f := Filter{Now: now}
	for _, arg := range args {
		key, value, ok := strings.Cut(arg, "=")
		var err error
		switch {
		case arg == "" || ok && value == "":
			err = errors.New("it says nothing")
		case !ok:
			_, err = path.Match(arg, "")
			f.Names = append(f.Names, arg)
		case key == "owner":
			f.Owner = value
		case key == "lifecycle":
			f.Lifecycle = value
		case key == "package":
			f.Package = value
		case key == "expired":
			f.Expired, err = yesNo(value)
		case key == "tagged":
			f.Tagged, err = yesNo(value)
		default:
			err = errors.New("know only owner, lifecycle, package, expired and tagged")
		}
		if err != nil {
			return f, fmt.Errorf("filter %q: %w", arg, err)
		}
	}
	return f, nil
}

func yesNo(s string) (*bool, error) {
	yes := s == "yes"
	if !yes && s != "no" {
		return nil, errors.New("neither yes nor no")
	}
	return &yes, nil
}

// Match says whether f takes im.
func (f Filter) Match(im Image) bool {
	return (len(f.Names) == 0 || slices.ContainsFunc(f.Names, im.named)) &&
		(f.Owner == "" || f.Owner == im.Owner) &&
		(f.Lifecycle == "" || f.Lifecycle == im.Lifecycle) &&
		(f.Package == "" || im.hasPackage(f.Package)) &&
		(f.Expired == nil || *f.Expired == im.Expired(f.Now)) &&
		(f.Tagged == nil || *f.Tagged == (len(im.Tags) > 0))
}

func (im Image) named(glob string) bool {
	if hex := strings.TrimPrefix(glob, "sha256:"); len(hex) >= minPrefix && strings.HasPrefix(im.Image.Hex(), hex) {
		return true
	}
	if ok, _ := path.Match(glob, im.Name); ok {
		return true
	}
	return slices.ContainsFunc(im.Tags, func(tag string) bool {
		name, _, _ := strings.Cut(tag, ":")
		whole, _ := path.Match(glob, tag)
		alone, _ := path.Match(glob, name)
		return whole || alone
	})
}

func (im Image) hasPackage(want string) bool {
	name, version, exact := strings.Cut(want, "=")
	return slices.ContainsFunc(im.Packages, func(p Package) bool {
		return p.Name == name && (!exact || p.Version == version)
	})
}

// Images lists the images that f takes, by recipe name, the newest of a name first, and what is wrong with the
// images and tags that can't be read.
func (c *Catalog) Images(f Filter) ([]Image, []*NoteError, error) {
	tags, damaged, err := c.Tags()
	if err != nil {
		return nil, nil, err
	}
	names := map[tree.Digest][]string{}
	for _, t := range tags {
		names[t.Image] = append(names[t.Image], t.Ref)
	}
	keys, err := c.store.Notes(kindRecord)
	if err != nil {
		return nil, nil, err
	}
	var images []Image
	for _, k := range keys {
		d := tree.Digest("sha256:" + k)
		if !digestForm.MatchString(string(d)) {
			damaged = append(damaged, c.strayRecord(k))
			continue
		}
		r, err := c.Record(d)
		bad, isBad := errors.AsType[*NoteError](err)
		switch {
		case isBad:
			damaged = append(damaged, bad)
		case errors.Is(err, store.ErrNotFound): // gone since it was listed
		case err != nil:
			return nil, nil, err
		default:
			if im := (Image{r, names[d]}); f.Match(im) {
				images = append(images, im)
			}
		}
	}
	slices.SortFunc(images, func(a, b Image) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), b.Baked.Compare(a.Baked), cmp.Compare(a.Image, b.Image))
	})
	return images, damaged, nil
}
