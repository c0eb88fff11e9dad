package index

import (
	"cmp"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"time"

	"brickyard/internal/store"
	"brickyard/internal/tree"

	"golang.org/x/sync/errgroup"
)

// settled is how old the last change of a shard must be for its time to be believed: within one tick of the file
// system's clock, another change would not show.
const settled = 2 * time.Second

// refresh brings the index up to date with the notes.
func (c *Catalog) refresh(db *sql.DB) error {
	stale, err := c.stale(db)
	if err != nil || len(stale) == 0 {
		return err
	}
	tx, err := db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	w := &indexWriter{c: c, tx: tx, statements: map[string]*sql.Stmt{}}
	if err := w.update(stale); err != nil {
		return fmt.Errorf("index: %w", err)
	}
	if _, err := tx.Exec(indexes); err != nil {
		return err
	}
	return tx.Commit()
}

// Reindex makes the index anew. each, if not nil, is called for every image that is read.
func (c *Catalog) Reindex(each func()) (images int, err error) {
	if err := errors.Join(c.Close(), c.dropIndex()); err != nil {
		return 0, err
	}
	fresh := &Catalog{store: c.store, each: each}
	db, err := fresh.index()
	if err == nil {
		err = db.QueryRow("SELECT count(*) FROM image").Scan(&images)
	}
	return images, errors.Join(err, fresh.Close())
}

// A staleShard is one in which notes may have changed.
type staleShard struct {
	kind string
	store.NoteShard
	gone bool
}

// indexed are the kinds of notes that the index is made of.
var indexed = []string{kindTag, kindRecord, kindManifest}

// stale lists the shards that are not as the index knows them.
func (c *Catalog) stale(db *sql.DB) ([]staleShard, error) {
	var stale []staleShard
	for _, kind := range indexed {
		shards, err := c.store.NoteShards(kind)
		if err != nil {
			return nil, err
		}
		known := map[string]int64{}
		rows, err := db.Query("SELECT name, changed FROM shard WHERE kind = ?", kind)
		if err != nil {
			return nil, err
		}
		var name string
		var changed int64
		if err := each(rows, func() { known[name] = changed }, &name, &changed); err != nil {
			return nil, err
		}
		for _, sh := range shards {
			if known[sh.Name] != sh.Changed {
				stale = append(stale, staleShard{kind: kind, NoteShard: sh})
			}
			delete(known, sh.Name)
		}
		for name := range known {
			stale = append(stale, staleShard{kind: kind, NoteShard: store.NoteShard{Name: name}, gone: true})
		}
	}
	return stale, nil
}

// each calls f for each row, whose columns are in into then.
func each(rows *sql.Rows, f func(), into ...any) error {
	defer rows.Close()
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		f()
	}
	return rows.Err()
}

// An indexWriter changes the index in one transaction.
type indexWriter struct {
	c          *Catalog
	tx         *sql.Tx
	statements map[string]*sql.Stmt
	layers     map[tree.Digest]int64 // ids, as far as known
	packages   map[Package]int64
	sets       map[[sha256.Size]byte]int64
}

// exec runs a statement, which is prepared once.
func (w *indexWriter) exec(query string, args ...any) (id int64, err error) {
	st, err := w.prepare(query)
	if err != nil {
		return 0, err
	}
	res, err := st.Exec(args...)
	if err != nil {
		return 0, err
	}
	return res.LastInsertId()
}

// number returns the only column of the first row, 0 when there is none.
func (w *indexWriter) number(query string, args ...any) (n int64, err error) {
	st, err := w.prepare(query)
	if err != nil {
		return 0, err
	}
	err = st.QueryRow(args...).Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return n, err
}

func (w *indexWriter) prepare(query string) (*sql.Stmt, error) {
	if st := w.statements[query]; st != nil {
		return st, nil
	}
	st, err := w.tx.Prepare(query) // closed with the transaction
	w.statements[query] = st
	return st, err
}

// update looks through the shards, and takes in what has changed in them.
func (w *indexWriter) update(stale []staleShard) error {
	w.layers, w.packages, w.sets = map[tree.Digest]int64{}, map[Package]int64{}, map[[sha256.Size]byte]int64{}
	var changes []change
	for _, sh := range stale {
		now := time.Now()
		more, err := w.compare(sh)
		if err != nil {
			return err
		}
		changes = append(changes, more...)
		if sh.gone {
			_, err = w.exec("DELETE FROM shard WHERE kind = ? AND name = ?", sh.kind, sh.Name)
		} else {
			believed := sh.Changed
			if now.UnixNano()-believed < int64(settled) {
				believed = 0
			}
			_, err = w.exec("INSERT OR REPLACE INTO shard VALUES (?, ?, ?)", sh.kind, sh.Name, believed)
		}
		if err != nil {
			return err
		}
	}
	return w.apply(changes)
}

// A change is a note that is new, another or gone.
type change struct {
	kind, shard string
	store.NoteFile
	gone bool

	record *Record // of one of kindRecord
	tag    *Tag    // of one of kindTag
	held   *Held   // of one of kindManifest
	bad    bool
}

// compare finds out what has changed in a shard.
func (w *indexWriter) compare(sh staleShard) ([]change, error) {
	notes, err := w.c.store.NotesIn(sh.kind, sh.Name)
	if err != nil {
		return nil, err
	}
	rows, err := w.tx.Query("SELECT key, inode, changed, bad FROM note WHERE kind = ? AND shard = ?", sh.kind, sh.Name)
	if err != nil {
		return nil, err
	}
	known := map[string]store.NoteFile{}
	var n store.NoteFile
	var bad bool
	if err := each(rows, func() {
		if bad { // what it leads to may be there again
			n.Inode = 0
		}
		known[n.Key] = n
	}, &n.Key, &n.Inode, &n.Changed, &bad); err != nil {
		return nil, err
	}
	var changes []change
	for _, n := range notes {
		if known[n.Key] != n {
			changes = append(changes, change{kind: sh.kind, shard: sh.Name, NoteFile: n})
		}
		delete(known, n.Key)
	}
	for key := range known {
		changes = append(changes, change{kind: sh.kind, shard: sh.Name, NoteFile: store.NoteFile{Key: key}, gone: true})
	}
	return changes, nil
}

// batchSize is how many notes are read before they are taken in.
const batchSize = 512

// apply reads what has changed, many notes at a time, and takes in one lot while the next is read.
func (w *indexWriter) apply(changes []change) error {
	lots := slices.Collect(slices.Chunk(changes, batchSize))
	read := make([]chan error, len(lots))
	for i := range read {
		read[i] = make(chan error, 1)
	}
	go func() {
		for i, lot := range lots {
			read[i] <- w.c.readChanges(lot)
		}
	}()
	var failed error
	for i, lot := range lots {
		if err := <-read[i]; err != nil || failed != nil { // whoever reads is waited for
			failed = cmp.Or(failed, err)
			continue
		}
		failed = w.takeAll(lot)
		clear(lot)
	}
	return failed
}

// takeAll takes in changes that were read.
func (w *indexWriter) takeAll(changes []change) error {
	for _, ch := range changes {
		if err := w.take(ch); err != nil {
			return fmt.Errorf("%s %s: %w", ch.kind, ch.Key, err)
		}
		if w.c.each != nil && ch.kind == kindRecord {
			w.c.each()
		}
	}
	return nil
}

// readChanges reads what notes lead to, several at a time.
func (c *Catalog) readChanges(changes []change) error {
	var g errgroup.Group
	g.SetLimit(2 * runtime.NumCPU())
	for i := range changes {
		g.Go(func() error { return c.readChange(&changes[i]) })
	}
	return g.Wait()
}

// readChange reads what a note leads to. One that can't be used is bad; one that went meanwhile is gone.
func (c *Catalog) readChange(ch *change) error {
	if ch.gone {
		return nil
	}
	err := c.readNote(ch)
	if _, isBad := errors.AsType[*NoteError](err); isBad {
		ch.bad, err = true, nil
	}
	if errors.Is(err, store.ErrNotFound) {
		ch.gone, err = true, nil
	}
	return err
}

// readNote reads what a note leads to. Errors: *NoteError when it can't be used, store.ErrNotFound when it is not there.
func (c *Catalog) readNote(ch *change) (err error) {
	switch ch.kind {
	case kindRecord:
		d := tree.Digest("sha256:" + ch.Key)
		if !digestForm.MatchString(string(d)) {
			return c.strayRecord(ch.Key)
		}
		ch.record = new(Record)
		*ch.record, err = c.Record(d)
	case kindTag:
		var r Ref
		if r, err = c.refOf(ch.Key); err == nil {
			ch.tag = new(Tag)
			*ch.tag, err = c.tag(r)
		}
	case kindManifest:
		ch.held = new(Held)
		*ch.held, err = c.heldBy(ch.Key)
	}
	return err
}

// take puts a change into the tables.
func (w *indexWriter) take(ch change) error {
	var err error
	if ch.gone {
		_, err = w.exec("DELETE FROM note WHERE kind = ? AND shard = ? AND key = ?", ch.kind, ch.shard, ch.Key)
	} else {
		_, err = w.exec("INSERT OR REPLACE INTO note VALUES (?, ?, ?, ?, ?, ?)", ch.kind, ch.shard, ch.Key, int64(ch.Inode), ch.Changed, ch.bad)
	}
	if err != nil {
		return err
	}
	switch ch.kind {
	case kindTag:
		return w.takeTag(ch)
	case kindManifest:
		return w.takeManifest(ch)
	}
	return w.takeImage(ch)
}

func (w *indexWriter) takeManifest(ch change) error {
	_, err := w.exec("DELETE FROM manifest WHERE key = ?", ch.Key)
	if err == nil {
		_, err = w.exec("DELETE FROM part WHERE key = ?", ch.Key)
	}
	if err != nil || ch.gone || ch.bad {
		return err
	}
	if _, err := w.exec("INSERT INTO manifest VALUES (?, ?, ?, ?)", ch.Key, ch.held.Repo, bytesOf(ch.held.Digest), bytesOf(ch.held.Subject)); err != nil {
		return err
	}
	var rows []any
	for _, p := range ch.held.Parts {
		rows = append(rows, ch.Key, bytesOf(p))
	}
	return w.insert("part", 2, rows)
}

func (w *indexWriter) takeTag(ch change) error {
	var err error
	if ch.gone || ch.bad {
		if r, rerr := w.c.refOf(ch.Key); rerr == nil {
			_, err = w.exec("DELETE FROM tag WHERE ref = ?", r.String())
		}
		return err
	}
	_, err = w.exec("INSERT OR REPLACE INTO tag VALUES (?, ?)", ch.tag.Ref, bytesOf(ch.tag.Image))
	return err
}

// bytesOf is a digest as the tables have it; nil for none.
func bytesOf(d tree.Digest) []byte {
	b, err := hex.DecodeString(d.Hex())
	if err != nil || len(b) == 0 {
		return nil
	}
	return b
}

// digest is the inverse of bytesOf.
func digest(raw []byte) tree.Digest {
	if raw == nil {
		return ""
	}
	return tree.Digest("sha256:" + hex.EncodeToString(raw))
}

func (w *indexWriter) takeImage(ch change) error {
	d := bytesOf(tree.Digest("sha256:" + ch.Key))
	if d == nil {
		return nil // no digest at all
	}
	old, err := w.number("SELECT id FROM image WHERE digest = ?", d)
	if err == nil && old != 0 {
		_, err = w.exec("DELETE FROM image_layer WHERE image = ?", old)
		if err == nil {
			_, err = w.exec("DELETE FROM image WHERE id = ?", old)
		}
	}
	if err != nil || ch.gone || ch.bad {
		return err
	}
	r := ch.record
	set, err := w.packageSet(r.Packages)
	if err != nil {
		return err
	}
	id, err := w.exec("INSERT INTO image VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", d, bytesOf(r.Config), r.Name, r.Arch, r.Owner, r.Lifecycle, r.By,
		nano(r.Baked), nano(r.Expires), bytesOf(r.Parent), r.Size(), len(r.Layers), len(r.Packages), set, r.Origin)
	if err != nil {
		return err
	}
	var rows []any
	for i, l := range r.Layers {
		layer, err := w.layer(l)
		if err != nil {
			return err
		}
		rows = append(rows, id, i, layer)
	}
	return w.insert("image_layer", 3, rows)
}

// insert adds rows of as many columns to a table, several with a statement.
func (w *indexWriter) insert(table string, columns int, values []any) error {
	const most = 32 // rows
	for some := range slices.Chunk(values, most*columns) {
		row := ", (?" + strings.Repeat(", ?", columns-1) + ")"
		_, err := w.exec("INSERT OR IGNORE INTO "+table+" VALUES"+strings.Repeat(row, len(some)/columns)[1:], some...)
		if err != nil {
			return err
		}
	}
	return nil
}

// nano is a time as the tables have it.
func nano(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// moment is nano's inverse.
func moment(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}

// layer is the id of a layer.
func (w *indexWriter) layer(l Layer) (int64, error) {
	if id := w.layers[l.Digest]; id != 0 {
		return id, nil
	}
	id, err := w.number("SELECT id FROM layer WHERE digest = ?", bytesOf(l.Digest))
	if err == nil && id == 0 {
		id, err = w.exec("INSERT INTO layer VALUES (NULL, ?, ?)", bytesOf(l.Digest), l.Size)
	}
	w.layers[l.Digest] = id
	return id, err
}

// packageSet is the id of a set of packages.
func (w *indexWriter) packageSet(list []Package) (int64, error) {
	h := sha256.New()
	for i := range list {
		p := &list[i]
		p.Path, p.SHA256, p.Asked = "", "", false // which is another matter
		for _, s := range []string{p.Name, p.Version, p.Arch, p.Source, p.SourceVersion, p.From} {
			io.WriteString(h, s+"\x00")
		}
	}
	sum := [sha256.Size]byte(h.Sum(nil))
	if id := w.sets[sum]; id != 0 {
		return id, nil
	}
	id, err := w.number("SELECT id FROM packageset WHERE sum = ?", sum[:])
	if err == nil && id == 0 {
		id, err = w.newPackageSet(sum[:], list)
	}
	w.sets[sum] = id
	return id, err
}

func (w *indexWriter) newPackageSet(sum []byte, list []Package) (int64, error) {
	set, err := w.exec("INSERT INTO packageset VALUES (NULL, ?)", sum)
	if err != nil {
		return 0, err
	}
	var rows []any
	for _, p := range list {
		id, err := w.pkg(p)
		if err != nil {
			return 0, err
		}
		rows = append(rows, set, id)
	}
	return set, w.insert("packageset_package", 2, rows)
}

// pkg is the id of a package.
func (w *indexWriter) pkg(p Package) (int64, error) {
	if id := w.packages[p]; id != 0 {
		return id, nil
	}
	columns := []any{p.Name, p.Version, p.Arch, p.Source, p.SourceVersion, p.From}
	id, err := w.number("SELECT id FROM package WHERE name = ? AND version = ? AND arch = ? AND source = ? AND source_version = ? AND origin = ?", columns...)
	if err == nil && id == 0 {
		id, err = w.exec("INSERT INTO package VALUES (NULL, ?, ?, ?, ?, ?, ?)", columns...)
	}
	w.packages[p] = id
	return id, err
}
