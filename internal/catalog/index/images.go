package index

import (
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"brickyard/internal/store"
	"brickyard/internal/tree"
)

// An Image is what lists of images tell of one.
type Image struct {
	Digest    tree.Digest // manifest
	Name      string      // of the recipe
	Tags      []string    // name:tag, sorted
	Arch      string
	Owner     string
	Lifecycle string
	By        string
	Baked     time.Time
	Expires   time.Time // zero: never
	Parent    tree.Digest
	Size      int64 // bytes of the blobs of all layers
	Layers    int
	Packages  int
	Alike     int64  // images with the same number have the very same packages
	Origin    string // as in Record

	id int64 // in the index
}

// Expired says whether the image's time is over.
func (im Image) Expired(now time.Time) bool { return !im.Expires.IsZero() && now.After(im.Expires) }

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

// Images lists the images that f takes, by recipe name, the newest of a name first, and what is wrong with the
// images and tags that can't be read.
func (c *Catalog) Images(f Filter) ([]Image, []*NoteError, error) {
	db, err := c.index()
	if err != nil {
		return nil, nil, err
	}
	damaged, err := c.damaged(db)
	if err != nil {
		return nil, nil, err
	}
	q, err := f.query(db)
	if err != nil {
		return nil, nil, err
	}
	images, err := q.images(db)
	return images, damaged, err
}

// damaged says what is wrong with the notes that can't be read.
func (c *Catalog) damaged(db *sql.DB) ([]*NoteError, error) {
	rows, err := db.Query("SELECT kind, key FROM note WHERE bad ORDER BY kind DESC, key")
	if err != nil {
		return nil, err
	}
	var bad []change
	var ch change
	if err := each(rows, func() { bad = append(bad, ch) }, &ch.kind, &ch.Key); err != nil {
		return nil, err
	}
	var damaged []*NoteError
	for _, ch := range bad {
		if e := c.fault(ch.kind, ch.Key); e != nil {
			damaged = append(damaged, e)
		}
	}
	return damaged, nil
}

// Damaged reads all notes, and what they lead to, and says what is wrong with them.
func (c *Catalog) Damaged() ([]*NoteError, error) {
	var damaged []*NoteError
	for _, kind := range indexed {
		keys, err := c.store.Notes(kind)
		if err != nil {
			return nil, err
		}
		for _, key := range keys {
			if e := c.fault(kind, key); e != nil {
				damaged = append(damaged, e)
			}
		}
	}
	return damaged, nil
}

// fault says what is wrong with a note, nil if nothing is any more.
func (c *Catalog) fault(kind, key string) *NoteError {
	err := c.readNote(&change{kind: kind, NoteFile: store.NoteFile{Key: key}})
	bad, _ := errors.AsType[*NoteError](err)
	return bad
}

// A query is a filter in SQL.
type query struct {
	where []string // all must hold
	args  []any
}

func (q *query) and(where string, args ...any) {
	q.where, q.args = append(q.where, where), append(q.args, args...)
}

// query puts the filter into SQL. What it has of patterns is looked up first: those of paths are not SQLite's.
func (f Filter) query(db *sql.DB) (*query, error) {
	q := &query{}
	if len(f.Names) > 0 {
		if err := q.named(db, f.Names); err != nil {
			return nil, err
		}
	}
	if f.Owner != "" {
		q.and("owner = ?", f.Owner)
	}
	if f.Lifecycle != "" {
		q.and("lifecycle = ?", f.Lifecycle)
	}
	if name, version, exact := strings.Cut(f.Package, "="); f.Package != "" {
		q.and("packageset IN (SELECT packageset FROM packageset_package JOIN package ON package.id = package"+
			" WHERE package.name = ? AND (? OR package.version = ?))", name, !exact, version)
	}
	if f.Expired != nil {
		q.and("(expires > 0 AND expires < ?) = ?", f.Now.UnixNano(), *f.Expired)
	}
	if f.Tagged != nil {
		q.and("EXISTS (SELECT 1 FROM tag WHERE tag.image = image.digest) = ?", *f.Tagged)
	}
	return q, nil
}

// named chooses the images of which a name, a name:tag or the start of the digest fits one of the patterns.
func (q *query) named(db *sql.DB, globs []string) error {
	fits := func(s string) bool {
		return slices.ContainsFunc(globs, func(g string) bool { ok, _ := path.Match(g, s); return ok })
	}
	var ors []string
	var args []any
	or := func(where string, more ...any) { ors, args = append(ors, where), append(args, more...) }
	names, err := texts(db, "SELECT DISTINCT name FROM image")
	if err != nil {
		return err
	}
	or("name IN (SELECT value FROM json_each(?))", list(names, fits))
	refs, err := texts(db, "SELECT ref FROM tag")
	if err != nil {
		return err
	}
	or("digest IN (SELECT image FROM tag WHERE ref IN (SELECT value FROM json_each(?)))", list(refs, func(ref string) bool {
		name, _, _ := strings.Cut(ref, ":")
		return fits(ref) || fits(name)
	}))
	for _, g := range globs {
		if from, to, ok := digestRange(g); ok {
			or("digest BETWEEN ? AND ?", from, to)
		}
	}
	q.and("("+strings.Join(ors, " OR ")+")", args...)
	return nil
}

// list is a JSON array of those texts that are wanted: one argument, however many there are.
func list(texts []string, wanted func(string) bool) string {
	data, err := json.Marshal(slices.DeleteFunc(texts, func(s string) bool { return !wanted(s) }))
	if err != nil {
		panic(err) // texts
	}
	return string(data)
}

// digestRange are the first and the last digest that begin with the digits of s.
func digestRange(s string) (from, to []byte, ok bool) {
	digits := strings.TrimPrefix(s, "sha256:")
	if len(digits) < minPrefix || !hexForm.MatchString(digits) {
		return nil, nil, false
	}
	missing := 2*sha256.Size - len(digits)
	from, err1 := hex.DecodeString(digits + strings.Repeat("0", missing))
	to, err2 := hex.DecodeString(digits + strings.Repeat("f", missing))
	return from, to, err1 == nil && err2 == nil
}

// texts is a column of texts.
func texts(db *sql.DB, query string, args ...any) ([]string, error) {
	rows, err := db.Query(query, args...)
	if err != nil {
		return nil, err
	}
	var list []string
	var s string
	return list, each(rows, func() { list = append(list, s) }, &s)
}

// images runs the query.
func (q *query) images(db *sql.DB) ([]Image, error) {
	where := "1"
	if len(q.where) > 0 {
		where = strings.Join(q.where, " AND ")
	}
	rows, err := db.Query("SELECT digest, name, arch, owner, lifecycle, by, baked, expires, parent, size, layers, packages, packageset, origin, id FROM image WHERE "+
		where+" ORDER BY name, baked DESC, digest", q.args...)
	if err != nil {
		return nil, err
	}
	var images []Image
	var im Image
	var d, parent []byte
	var baked, expires int64
	err = each(rows, func() {
		im.Digest, im.Parent, im.Baked, im.Expires = digest(d), digest(parent), moment(baked), moment(expires)
		images = append(images, im)
	}, &d, &im.Name, &im.Arch, &im.Owner, &im.Lifecycle, &im.By, &baked, &expires, &parent, &im.Size, &im.Layers, &im.Packages, &im.Alike, &im.Origin, &im.id)
	if err != nil {
		return nil, err
	}
	return images, addTags(db, images)
}

// addTags fills in the tags.
func addTags(db *sql.DB, images []Image) error {
	at := make(map[tree.Digest]*Image, len(images))
	for i := range images {
		at[images[i].Digest] = &images[i]
	}
	query, args := "SELECT ref, image FROM tag ORDER BY ref", []any(nil)
	const few = 100 // from where on reading all tags is faster
	if len(images) <= few {
		query = "SELECT ref, image FROM tag WHERE image IN (?" + strings.Repeat(", ?", max(0, len(images)-1)) + ") ORDER BY ref"
		for d := range at {
			args = append(args, bytesOf(d))
		}
		if len(args) == 0 {
			return nil
		}
	}
	rows, err := db.Query(query, args...)
	if err != nil {
		return err
	}
	var ref string
	var image []byte
	return each(rows, func() {
		if im := at[digest(image)]; im != nil {
			im.Tags = append(im.Tags, ref)
		}
	}, &ref, &image)
}

// A LayerUse says which images have a layer.
type LayerUse struct {
	Digest tree.Digest
	Size   int64 // bytes of its blob
	Images []int // places in the list of images
}

// LayerUses lists the layers of images, which Images has listed, all of them.
func (c *Catalog) LayerUses(images []Image) ([]LayerUse, error) {
	db, err := c.index()
	if err != nil {
		return nil, err
	}
	at := make(map[int64]int, len(images))
	for i, im := range images {
		at[im.id] = i
	}
	rows, err := db.Query("SELECT id, digest, size FROM layer")
	if err != nil {
		return nil, err
	}
	var uses []LayerUse
	place := map[int64]int{}
	var id int64
	var d []byte
	var size int64
	err = each(rows, func() {
		place[id] = len(uses)
		uses = append(uses, LayerUse{Digest: digest(d), Size: size})
	}, &id, &d, &size)
	if err != nil {
		return nil, err
	}
	if rows, err = db.Query("SELECT image, layer FROM image_layer ORDER BY image"); err != nil {
		return nil, err
	}
	var layer int64
	err = each(rows, func() {
		if i, ok := at[id]; ok {
			u := &uses[place[layer]]
			if n := len(u.Images); n == 0 || u.Images[n-1] != i { // an image may have a layer twice
				u.Images = append(u.Images, i)
			}
		}
	}, &id, &layer)
	return slices.DeleteFunc(uses, func(u LayerUse) bool { return len(u.Images) == 0 }), err
}
