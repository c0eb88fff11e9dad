package index

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"brickyard/internal/store"
	"brickyard/internal/tree"
)

// latest is the tag of a name that stands alone.
const latest = "latest"

// What names and tags may be: OCI distribution specification, "Pulling manifests".
var (
	nameForm = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
	tagForm  = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
	hexForm  = regexp.MustCompile(`^[0-9a-f]{1,64}$`)
)

// maxKey is how long an escaped name:tag may be: it is the name of a file.
const maxKey = 240

// minPrefix is how many hex digits name an image at least.
const minPrefix = 6

// A Ref is a name:tag.
type Ref struct {
	Name, Tag string
}

// ParseRef reads name:tag; a name that stands alone has the tag "latest".
func ParseRef(s string) (Ref, error) {
	name, tag, ok := strings.Cut(s, ":")
	if !ok {
		tag = latest
	}
	r := Ref{name, tag}
	if !nameForm.MatchString(name) || !tagForm.MatchString(tag) || len(r.key()) > maxKey {
		return Ref{}, fmt.Errorf("%q is not a name:tag: names are lower-case letters, digits and single . _ - / between them", s)
	}
	if name == "sha256" {
		return Ref{}, fmt.Errorf("%q is not a name:tag: sha256:… is a digest", s)
	}
	return r, nil
}

func (r Ref) String() string { return r.Name + ":" + r.Tag }

func (r Ref) key() string { return url.PathEscape(r.String()) }

// A Tag is what a name:tag points at.
type Tag struct {
	Ref      string      `json:"ref"` // name:tag
	Image    tree.Digest `json:"image"`
	At       time.Time   `json:"at"`
	By       string      `json:"by"` // user@host
	Previous tree.Digest `json:"previous,omitzero"`
}

// A TagUsedError means that a tag points at another image.
type TagUsedError struct {
	Ref   string
	Image tree.Digest // that it points at
}

func (e *TagUsedError) Error() string {
	return fmt.Sprintf("%s is the name of another image already, %s", e.Ref, e.Image)
}

// Hint says what to do about it.
func (e *TagUsedError) Hint() string { return "--move moves it to this image" }

// A NotFoundError means that there is no such image.
type NotFoundError struct {
	Ref    string
	Tags   []string // all that have the name
	Images []string // digests of images without a tag that were baked from a recipe of that name
	Near   []string // tags with similar names
}

func (e *NotFoundError) Error() string {
	if e.Ref == "" {
		return "an empty name is no image's"
	}
	return "no image " + e.Ref
}

// Hint lists what there is.
func (e *NotFoundError) Hint() string {
	switch {
	case len(e.Tags) > 0:
		return "there is " + strings.Join(e.Tags, ", ")
	case len(e.Images) > 0:
		return "without a tag there is " + strings.Join(e.Images, ", ")
	case len(e.Near) > 0:
		return "did you mean " + strings.Join(e.Near, " or ") + "?"
	}
	return "see: brickyard images"
}

// An AmbiguousError means that a prefix names several images.
type AmbiguousError struct {
	Prefix string
	Images []tree.Digest
}

func (e *AmbiguousError) Error() string {
	return fmt.Sprintf("%s is the start of %d digests", e.Prefix, len(e.Images))
}

// Hint lists them.
func (e *AmbiguousError) Hint() string {
	var names []string
	for _, d := range e.Images {
		names = append(names, string(d))
	}
	return "one of " + strings.Join(names, ", ")
}

// Lock makes sure that no other process changes tags until unlock is called. Whoever calls Tag takes it
// first and keeps it until the batch is committed. wait is as in [store.Store.Lock].
func (c *Catalog) Lock(ctx context.Context, wait func()) (unlock func() error, err error) {
	return c.store.Lock(ctx, "tags", wait)
}

// Tag makes the name:tag ref point at image once b is committed. Errors: unless move is set, TagUsedError when it
// points at another one, and NoteError when nobody knows what it points at.
func (c *Catalog) Tag(b *store.Batch, ref string, image tree.Digest, move bool, by string, now time.Time) error {
	r, err := ParseRef(ref)
	if err != nil {
		return err
	}
	old, err := c.tag(r)
	switch {
	case err == nil && old.Image == image:
		return nil
	case err == nil && !move:
		return &TagUsedError{r.String(), old.Image}
	case err != nil && !errors.Is(err, store.ErrNotFound) && !move:
		return err
	}
	if err := c.holdTagged(b, r.Name, image, by, now); err != nil {
		return err
	}
	return b.Set(kindTag, r.key(), Tag{Ref: r.String(), Image: image, At: now.UTC(), By: by, Previous: old.Image})
}

// Tagged returns what the name:tag ref points at. Errors: [store.ErrNotFound], NoteError.
func (c *Catalog) Tagged(ref string) (Tag, error) {
	r, err := ParseRef(ref)
	if err != nil {
		return Tag{}, err
	}
	return c.tag(r)
}

// Untag takes names away, name:tag each, and returns what they were: without Image where the note was damaged. The
// images stay. When one of the names can't be taken away, none is. Errors: NotFoundError.
func (c *Catalog) Untag(refs ...string) ([]Tag, error) {
	var keys []string
	var gone []Tag
	for _, ref := range refs {
		r, err := ParseRef(ref)
		if err != nil {
			return nil, err
		}
		old, err := c.tag(r)
		if errors.Is(err, store.ErrNotFound) {
			return nil, c.notFound(r.String())
		}
		if err != nil {
			if errors.Is(err, fs.ErrPermission) {
				return nil, err
			}
			old = Tag{Ref: r.String()}
		}
		if !slices.Contains(keys, r.key()) {
			keys, gone = append(keys, r.key()), append(gone, old)
		}
	}
	for i, key := range keys {
		if err := c.store.DropNote(kindTag, key); err != nil {
			return gone[:i], err
		}
	}
	return gone, nil
}

// Tags lists all tags, sorted by name, and what is wrong with those that can't be read.
func (c *Catalog) Tags() ([]Tag, []*NoteError, error) {
	keys, err := c.store.Notes(kindTag)
	if err != nil {
		return nil, nil, err
	}
	var tags []Tag
	var damaged []*NoteError
	for _, k := range keys {
		var t Tag
		r, err := c.refOf(k)
		if err == nil {
			t, err = c.tag(r)
		}
		bad, isBad := errors.AsType[*NoteError](err)
		switch {
		case isBad:
			damaged = append(damaged, bad)
		case errors.Is(err, store.ErrNotFound): // gone since it was listed
		case err != nil:
			return nil, nil, err
		default:
			tags = append(tags, t)
		}
	}
	slices.SortFunc(tags, func(a, b Tag) int { return cmp.Compare(a.Ref, b.Ref) })
	return tags, damaged, nil
}

// TagsOf lists the tags of one name, sorted.
func (c *Catalog) TagsOf(name string) ([]Tag, error) {
	db, err := c.index()
	if err != nil {
		return nil, err
	}
	refs, err := texts(db, "SELECT ref FROM tag WHERE ref > ? AND ref < ? ORDER BY ref", name+":", name+";") // the next character
	if err != nil {
		return nil, err
	}
	var tags []Tag
	for _, ref := range refs {
		t, err := c.Tagged(ref)
		if errors.Is(err, store.ErrNotFound) {
			continue // gone since
		}
		if err != nil {
			return nil, err
		}
		tags = append(tags, t)
	}
	return tags, nil
}

// Resolve returns the digest of the image that ref names: a name:tag; a name, for name:latest; a digest
// "sha256:…"; or the first six or more hex digits of one, with or without "sha256:". A tag goes before a
// digest that starts alike.
//
// Errors: NotFoundError, AmbiguousError, NoteError when the tag is there and can't be read.
func (c *Catalog) Resolve(ref string) (tree.Digest, error) {
	if r, err := ParseRef(ref); err == nil {
		t, err := c.tag(r)
		if err == nil {
			return t.Image, nil
		}
		if !errors.Is(err, store.ErrNotFound) {
			return "", err
		}
	}
	hex := strings.TrimPrefix(ref, "sha256:")
	if len(hex) < minPrefix || !hexForm.MatchString(hex) {
		return "", c.notFound(ref)
	}
	keys, err := c.store.NotesFrom(kindRecord, hex)
	if err != nil {
		return "", err
	}
	var found []tree.Digest
	for _, k := range keys {
		if d := tree.Digest("sha256:" + k); digestForm.MatchString(string(d)) {
			found = append(found, d)
		}
	}
	switch len(found) {
	case 0:
		return "", c.notFound(ref)
	case 1:
		return found[0], nil
	}
	return "", &AmbiguousError{ref, found}
}

// Lookup is Resolve and Record in one.
func (c *Catalog) Lookup(ref string) (Record, error) {
	d, err := c.Resolve(ref)
	if err != nil {
		return Record{}, err
	}
	return c.Record(d)
}

// notFound finds out what there is instead of ref.
func (c *Catalog) notFound(ref string) error {
	e := &NotFoundError{Ref: ref}
	if ref == "" {
		return e
	}
	images, _, err := c.Images(Filter{}) // what can't be read is not what was asked for
	if err != nil {
		return errors.Join(e, err)
	}
	name, _, _ := strings.Cut(ref, ":")
	for _, im := range images {
		for _, t := range im.Tags {
			switch tagged, _, _ := strings.Cut(t, ":"); {
			case tagged == name:
				e.Tags = append(e.Tags, t)
			case distance(name, tagged) <= max(1, len(name)/4):
				e.Near = append(e.Near, t)
			}
		}
		if len(im.Tags) == 0 && im.Name == name {
			e.Images = append(e.Images, string(im.Digest))
		}
	}
	slices.Sort(e.Tags)
	slices.Sort(e.Near)
	return e
}

// distance is how many bytes must be added, removed or replaced to make b out of a (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(diagonal+cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
