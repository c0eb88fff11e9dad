package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"brickyard/internal/tree"

	"golang.org/x/sys/unix"
)

// A DamagedError is a note that is there and holds what it should not.
type DamagedError struct {
	Path string
	Err  error
}

func (e *DamagedError) Error() string { return fmt.Sprintf("%s is damaged: %v", e.Path, e.Err) }
func (e *DamagedError) Unwrap() error { return e.Err }

// NotePath is where the note key of a kind is, or would be.
func (s *Store) NotePath(kind, key string) string { return s.path("notes", kind, shard(key), key) }

// hexKey begins keys that are digests.
var hexKey = regexp.MustCompile(`^[0-9a-f]{64}`)

// shard is the directory of a note: the first two digits of a key that is a digest, else of the key's own digest. Who wants
// to know what has changed among a hundred thousand notes looks at 256 directories.
func shard(key string) string {
	if !hexKey.MatchString(key) {
		key = Sum([]byte(key)).Hex()
	}
	return key[:2]
}

// Note reads the note key of a kind into v. Errors: ErrNotFound, *DamagedError.
func (s *Store) Note(kind, key string, v any) error {
	data, err := os.ReadFile(s.NotePath(kind, key))
	if err != nil {
		return notFound(err, kind+" "+key)
	}
	if err := json.Unmarshal(data, v); err != nil {
		return &DamagedError{s.NotePath(kind, key), err}
	}
	return nil
}

// Cached is Note for what can be made again: a note that can't be understood is as good as none.
func (s *Store) Cached(kind, key string, v any) error {
	err := s.Note(kind, key, v)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return err
}

// Notes lists the keys of a kind, sorted.
func (s *Store) Notes(kind string) ([]string, error) {
	shards, err := s.NoteShards(kind)
	if err != nil {
		return nil, err
	}
	var keys []string
	for _, sh := range shards {
		notes, err := s.NotesIn(kind, sh.Name)
		if err != nil {
			return nil, err
		}
		for _, n := range notes {
			keys = append(keys, n.Key)
		}
	}
	slices.Sort(keys)
	return keys, nil
}

// NotesFrom lists the keys of a kind that are digests and begin with prefix, two hex digits or more, sorted.
func (s *Store) NotesFrom(kind, prefix string) ([]string, error) {
	notes, err := s.NotesIn(kind, prefix[:2])
	var keys []string
	for _, n := range notes {
		if hexKey.MatchString(n.Key) && strings.HasPrefix(n.Key, prefix) {
			keys = append(keys, n.Key)
		}
	}
	slices.Sort(keys)
	return keys, err
}

// A NoteShard is one of the directories that notes of a kind are in.
type NoteShard struct {
	Name string // two hex digits
	// Changed is when a note in it was last written or taken away, nanoseconds of the file system's clock.
	Changed int64
}

// NoteShards lists the directories with notes of a kind, sorted.
func (s *Store) NoteShards(kind string) ([]NoteShard, error) {
	des, err := os.ReadDir(s.path("notes", kind))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var shards []NoteShard
	for _, de := range des {
		if fi, err := de.Info(); err == nil && fi.IsDir() && len(de.Name()) == 2 {
			shards = append(shards, NoteShard{de.Name(), fi.ModTime().UnixNano()})
		}
	}
	return shards, err
}

// A NoteFile is a note that is there, unread. One that is written anew is another file, at another time.
type NoteFile struct {
	Key     string
	Inode   uint64
	Changed int64 // nanoseconds of the file system's clock
}

// NotesIn lists the notes of a shard, in no order.
func (s *Store) NotesIn(kind, shard string) ([]NoteFile, error) {
	des, err := os.ReadDir(s.path("notes", kind, shard))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var notes []NoteFile
	for _, de := range des {
		if strings.HasPrefix(de.Name(), ".") {
			continue
		}
		fi, err := de.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // gone since it was listed
		}
		if err != nil {
			return nil, err
		}
		notes = append(notes, NoteFile{de.Name(), fi.Sys().(*syscall.Stat_t).Ino, fi.ModTime().UnixNano()})
	}
	return notes, err
}

// Tree reads a tree that PutTree wrote, verified. Errors: ErrNotFound, ErrDigest, tree.ErrFormat.
func (s *Store) Tree(d tree.Digest) (tree.Tree, error) {
	data, err := s.ReadBlob(d, 1<<30) // a million paths have about 200 MB
	if err != nil {
		return nil, err
	}
	return tree.Decode(data)
}

// PutTree writes the text form of t as a blob.
func (s *Store) PutTree(t tree.Tree) (tree.Digest, error) {
	w, err := s.Create()
	if err != nil {
		return "", err
	}
	defer w.Discard()
	if _, err := w.Write(t.Encode()); err != nil {
		return "", err
	}
	d, _, err := w.Close()
	return d, err
}

// A Batch collects notes about blobs and files that may not be on disk yet. It is not for use by
// several goroutines at once.
type Batch struct {
	s     *Store
	notes []note
}

type note struct {
	kind, key string
	data      []byte
}

// Remember writes a note at once, without writing the rest of the store to disk: for notes that speak of nothing
// in it.
func (s *Store) Remember(kind, key string, v any) error {
	b := s.Batch()
	if err := b.Set(kind, key, v); err != nil {
		return err
	}
	p := s.NotePath(kind, key)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		return err
	}
	return WriteFile(p, b.notes[0].data, 0o644)
}

// Batch starts one.
func (s *Store) Batch() *Batch { return &Batch{s: s} }

// Set adds a note. A kind is one word; a key may not hold a slash.
func (b *Batch) Set(kind, key string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("note %s/%s: %w", kind, key, err)
	}
	if key == "" || strings.HasPrefix(key, ".") || strings.ContainsRune(key, '/') {
		return fmt.Errorf("note %s: bad key %q", kind, key)
	}
	b.notes = append(b.notes, note{kind, key, append(data, '\n')})
	return nil
}

// Join adds the notes of another batch, which is empty then.
func (b *Batch) Join(other *Batch) {
	b.notes = append(b.notes, other.notes...)
	other.notes = nil
}

// Commit writes everything that was put in the store so far to disk, and then the notes: whoever
// reads a note after a crash finds all that it speaks of. Each note is the old or the new.
func (b *Batch) Commit() error {
	if len(b.notes) == 0 {
		return nil
	}
	// The notes' bytes go to disk with all the rest; after that, only names change.
	temps, err := b.write()
	if err == nil {
		err = b.s.Sync()
	}
	if err == nil {
		err = b.rename(temps)
	}
	if err != nil {
		for _, t := range temps {
			os.Remove(t)
		}
		return err
	}
	b.notes = nil
	return nil
}

// write writes each note to a temporary file, and returns their names. An error leaves those before it.
func (b *Batch) write() (temps []string, err error) {
	for _, n := range b.notes {
		if err := os.MkdirAll(filepath.Dir(b.s.NotePath(n.kind, n.key)), 0o755); err != nil {
			return temps, err
		}
		f, err := os.CreateTemp(b.s.path("tmp"), "note-")
		if err != nil {
			return temps, err
		}
		temps = append(temps, f.Name())
		_, err = f.Write(n.data)
		if err := errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
			return temps, err
		}
	}
	return temps, nil
}

// rename gives what write wrote its names.
func (b *Batch) rename(temps []string) error {
	for i, n := range b.notes {
		if err := os.Rename(temps[i], b.s.NotePath(n.kind, n.key)); err != nil {
			return err
		}
	}
	return b.s.Sync()
}

// Sync writes all of the store's file system to disk.
func (s *Store) Sync() error {
	d, err := os.Open(s.dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := unix.Syncfs(int(d.Fd())); err != nil {
		return fmt.Errorf("sync %s: %w", s.dir, err)
	}
	return nil
}

// DropNote takes a note away; one that is not there is no error.
func (s *Store) DropNote(kind, key string) error {
	err := os.Remove(s.NotePath(kind, key))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// WriteFile writes data to path so that a crash leaves the old file or the new one, and the new one
// is on disk when it returns. An error names path.
func WriteFile(path string, data []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-")
	if err != nil {
		return WriteError(path, err)
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return WriteError(path, err)
	}
	return syncDir(filepath.Dir(path))
}

// WriteError is err, which came of writing a temporary file that was to become path, about path: nobody knows the
// other name.
func WriteError(path string, err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return &fs.PathError{Op: "write", Path: path, Err: e.Err}
	}
	if e, ok := errors.AsType[*os.LinkError](err); ok {
		return &fs.PathError{Op: "write", Path: path, Err: e.Err}
	}
	return err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
