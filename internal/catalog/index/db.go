package index

import (
	"crypto/sha256"
	"database/sql"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// The index answers questions about many images. It holds nothing that notes and records do not say: it is brought up to
// date before each question, and made anew when it is missing, damaged or of another version.

var (
	//go:embed schema.sql
	schema string
	//go:embed indexes.sql
	indexes string
)

// indexFormat goes up when other things are put into the tables.
const indexFormat = "1"

// schemaVersion stands for the tables, and what is put into them.
var schemaVersion = func() int32 {
	sum := sha256.Sum256([]byte(indexFormat + schema + indexes))
	return int32(binary.BigEndian.Uint32(sum[:])>>1 | 1) // 0 is that of a new database
}()

// lazyDB is the index, opened when it is asked for.
type lazyDB struct {
	mu     sync.Mutex // guards what follows: requests of a registry ask at the same time
	db     *sql.DB
	closed bool
}

// Close closes the index, if it was opened.
func (c *Catalog) Close() error {
	c.lazy.mu.Lock()
	defer c.lazy.mu.Unlock()
	c.lazy.closed = true
	if c.lazy.db == nil {
		return nil
	}
	return c.lazy.db.Close()
}

var errClosed = errors.New("the catalogue is closed")

// index is the index, up to date. One that is unsound is made anew; one that can't be written is made in memory.
func (c *Catalog) index() (*sql.DB, error) {
	c.lazy.mu.Lock()
	defer c.lazy.mu.Unlock()
	if c.lazy.closed {
		return nil, errClosed
	}
	var err error
	if c.lazy.db == nil {
		if c.lazy.db, err = c.openIndex(); err != nil {
			return nil, err
		}
	}
	if err = c.refresh(c.lazy.db); err == nil || !unsound(err) && !unwritable(err) {
		return c.lazy.db, err
	}
	cerr := c.lazy.db.Close()
	c.lazy.db = nil
	switch {
	case unwritable(err):
		c.lazy.db, err = openDB(inMemory)
	case cerr != nil:
		err = errors.Join(err, cerr)
	default:
		if err = c.dropIndex(); err == nil {
			c.lazy.db, err = c.openIndex()
		}
	}
	if err != nil {
		return nil, err
	}
	return c.lazy.db, c.refresh(c.lazy.db)
}

// inMemory is the name of an index that nobody else has.
const inMemory = ":memory:"

// unwritable says whether an index can't be written where it is: the disk is full, say, or another's.
func unwritable(err error) bool {
	return isCode(err, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL)
}

// indexPath is the file of the index. Others with its name and an ending belong to it.
func (c *Catalog) indexPath() string { return filepath.Join(c.store.Dir(), "indexes", "images.sqlite") }

// dropIndex takes the index away.
func (c *Catalog) dropIndex() error {
	names, err := filepath.Glob(c.indexPath() + "*")
	for _, name := range names {
		err = errors.Join(err, os.Remove(name))
	}
	return err
}

// openIndex opens the index, or makes an empty one. Where there may be none, it is in memory.
func (c *Catalog) openIndex() (*sql.DB, error) {
	path := c.indexPath()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return openDB(inMemory)
	}
	file := (&url.URL{Scheme: "file", Path: path}).String()
	db, err := openDB(file)
	switch {
	case err == nil:
		return db, nil
	case unsound(err):
		if err := c.dropIndex(); err != nil {
			return nil, err
		}
		return openDB(file)
	case unwritable(err):
		return openDB(inMemory)
	}
	return nil, err
}

// openDB opens a database and makes sure that it has our tables. A crash leaves the old state of it or the new.
func openDB(name string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", name+"?_pragma=busy_timeout(60000)&_pragma=journal_mode(wal)&_pragma=synchronous(normal)&_pragma=cache_size(-65536)&_txlock=immediate")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1) // one at a time is fast enough, and an index in memory is its connection's own
	var version int32
	err = db.QueryRow("PRAGMA user_version").Scan(&version)
	if err == nil && version == 0 {
		err = makeTables(db)
	} else if err == nil && version != schemaVersion {
		err = errVersion
	}
	if err != nil {
		return nil, fmt.Errorf("index %s: %w", name, errors.Join(err, db.Close()))
	}
	return db, nil
}

// makeTables makes the tables, unless another process has just done so.
func makeTables(db *sql.DB) error {
	tx, err := db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	var version int32
	if err := tx.QueryRow("PRAGMA user_version").Scan(&version); err != nil || version == schemaVersion {
		return err
	}
	if _, err := tx.Exec(schema + fmt.Sprintf("PRAGMA user_version = %d;", schemaVersion)); err != nil {
		return err
	}
	return tx.Commit()
}

// errVersion means that the index is of another version of the program.
var errVersion = errors.New("of another version")

// unsound says whether an index is of no use, but for making it anew.
func unsound(err error) bool {
	return errors.Is(err, errVersion) || isCode(err, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)
}

// isCode says whether err is one of SQLite's with one of these primary result codes (sqlite.org/rescode.html).
func isCode(err error, codes ...int) bool {
	e, ok := errors.AsType[*sqlite.Error](err)
	for _, c := range codes {
		if ok && e.Code()&0xff == c {
			return true
		}
	}
	return false
}
