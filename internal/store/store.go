// Package store keeps bytes by digest on one machine's disk: blobs, the files of unpacked trees, and
// small notes about them. It knows no images.
//
// Below the home directory:
//
//	blobs/sha256/HEX     a blob, whole; verified whenever it is read
//	files/HE/X…          a regular file with owner, mode, times and attributes set, to be hard-linked
//	notes/KIND/KE/KEY    JSON; what is known of a blob or a tree
//	roots/HEX            directories assembled from files
//	tmp/                 what is being written
//	locks/               one file a lock
//	trash/               what was taken away, until it is emptied
//
// A blob is read by its digest and checked to the end, so a torn one is never used. A file of files/
// has no such check when it is linked; it counts only once a note leads to a tree that lists it, and
// Batch.Commit writes notes after everything before them is on disk.
package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"brickyard/internal/tree"

	"golang.org/x/sys/unix"
)

// ErrNotFound means that the store has no such thing; ErrDigest, that bytes are not those their
// digest promises.
var (
	ErrNotFound = errors.New("not in the store")
	ErrDigest   = errors.New("content does not match its digest")
)

// A Store is one home directory. Its methods may be called from several goroutines and processes.
type Store struct {
	dir   string
	fresh sync.Map // keys of files that this Store has written or compared, and so need not verify
}

// Open returns the store below dir, which is made if it is not there.
func Open(dir string) (*Store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	// What images hold, password hashes for one, is not for every user of the machine.
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("home: %w", err)
	}
	for _, d := range []string{"blobs/sha256", "files", "notes", "roots", "tmp", "locks", "trash"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return nil, fmt.Errorf("home: %w", err)
		}
	}
	s := &Store{dir: dir}
	return s, s.sweep(time.Now())
}

// Dir is the absolute path of the home directory.
func (s *Store) Dir() string { return s.dir }

func (s *Store) path(elem ...string) string {
	return filepath.Join(append([]string{s.dir}, elem...)...)
}

// BlobPath is where the blob d is, or would be. Whoever opens it must verify it: see Blob.
func (s *Store) BlobPath(d tree.Digest) string { return s.path("blobs", "sha256", d.Hex()) }

// Size returns the size of the blob d in bytes. Errors: ErrNotFound.
func (s *Store) Size(d tree.Digest) (int64, error) {
	if len(d.Hex()) != 2*sha256.Size {
		return 0, fmt.Errorf("%q is no digest: %w", d, ErrNotFound)
	}
	fi, err := os.Stat(s.BlobPath(d))
	if err != nil {
		return 0, notFound(err, d)
	}
	return fi.Size(), nil
}

func notFound(err error, what any) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%v: %w", what, ErrNotFound)
	}
	return err
}

// Put writes what r has as a blob.
func (s *Store) Put(r io.Reader) (d tree.Digest, size int64, err error) {
	w, err := s.Create()
	if err != nil {
		return "", 0, err
	}
	defer w.Discard()
	if _, err := io.Copy(w, r); err != nil {
		return "", 0, err
	}
	return w.Close()
}

// PutExpect is Put for bytes whose digest is known; others are refused with ErrDigest.
func (s *Store) PutExpect(want tree.Digest, r io.Reader) error {
	w, err := s.Create()
	if err != nil {
		return err
	}
	defer w.Discard()
	if _, err := io.Copy(w, r); err != nil {
		return err
	}
	if got := w.Digest(); got != want {
		return fmt.Errorf("%s: %w (got %s)", want, ErrDigest, got)
	}
	_, _, err = w.Close()
	return err
}

// Adopt makes the file at path, which was verified to be d and lies below the home, the blob d.
func (s *Store) Adopt(path string, d tree.Digest) error {
	if err := os.Chmod(path, 0o644); err != nil {
		return err
	}
	return os.Rename(path, s.BlobPath(d))
}

// Partial is where a file of this name may be put together over several attempts, below the home. What is
// not gone on with is swept after a day.
func (s *Store) Partial(name string) string { return s.path("tmp", "partial-"+name) }

// Discard puts the blob d into the trash. Errors: ErrNotFound.
func (s *Store) Discard(d tree.Digest) error {
	return notFound(os.Rename(s.BlobPath(d), s.path("trash", "blob-"+d.Hex())), d)
}

// A Writer writes one blob. Close makes it count; Discard, which may always be called, does not.
type Writer struct {
	s    *Store
	f    *os.File
	hash hash.Hash
	size int64
}

// Create starts a blob.
func (s *Store) Create() (*Writer, error) {
	f, err := os.CreateTemp(s.path("tmp"), "blob-")
	if err != nil {
		return nil, err
	}
	return &Writer{s: s, f: f, hash: sha256.New()}, nil
}

func (w *Writer) Write(p []byte) (int, error) {
	n, err := w.f.Write(p)
	w.hash.Write(p[:n])
	w.size += int64(n)
	return n, err
}

// Digest is that of the bytes written so far.
func (w *Writer) Digest() tree.Digest { return digestOf(w.hash) }

// Close puts the blob in its place, whether one is there or not: what is there may be torn.
func (w *Writer) Close() (tree.Digest, int64, error) {
	d := w.Digest()
	err := errors.Join(w.f.Chmod(0o644), w.f.Close())
	if err == nil {
		err = os.Rename(w.f.Name(), w.s.BlobPath(d))
	}
	if err != nil {
		os.Remove(w.f.Name())
		return "", 0, err
	}
	w.f = nil
	return d, w.size, nil
}

// Discard throws away what was written unless Close has put it in its place.
func (w *Writer) Discard() {
	if w.f != nil {
		w.f.Close()
		os.Remove(w.f.Name())
		w.f = nil
	}
}

func digestOf(h hash.Hash) tree.Digest {
	return tree.Digest("sha256:" + hex.EncodeToString(h.Sum(nil)))
}

// Sum is the digest of data.
func Sum(data []byte) tree.Digest {
	h := sha256.Sum256(data)
	return tree.Digest("sha256:" + hex.EncodeToString(h[:]))
}

// Blob opens the blob d. A mismatch is reported by Read, as ErrDigest, in place of io.EOF: read to the
// end before believing anything. A blob that does not match is put aside, in the trash. Errors: ErrNotFound.
func (s *Store) Blob(d tree.Digest) (io.ReadCloser, error) {
	f, err := os.Open(s.BlobPath(d))
	if err != nil {
		return nil, notFound(err, d)
	}
	return s.verifier(f, d), nil
}

// verifier reads the blob d. One that is damaged goes to the trash: whatever can make or fetch it again, does.
func (s *Store) verifier(f *os.File, d tree.Digest) *verifier {
	return &verifier{f: f, want: d, hash: sha256.New(), damaged: func() {
		os.Rename(s.BlobPath(d), s.path("trash", "damaged-"+d.Hex()))
	}}
}

type verifier struct {
	f       *os.File
	want    tree.Digest
	hash    hash.Hash
	damaged func() // called on a mismatch; may be nil
}

func (v *verifier) Read(p []byte) (int, error) {
	n, err := v.f.Read(p)
	v.hash.Write(p[:n])
	if err == io.EOF {
		if got := digestOf(v.hash); got != v.want {
			if v.damaged != nil {
				v.damaged()
			}
			return n, fmt.Errorf("%s: %w (got %s)", v.want, ErrDigest, got)
		}
	}
	return n, err
}

func (v *verifier) Close() error { return v.f.Close() }

// ReadBlob returns the whole blob d, verified, when it has at most limit bytes.
func (s *Store) ReadBlob(d tree.Digest, limit int64) ([]byte, error) {
	size, err := s.Size(d)
	if err != nil {
		return nil, err
	}
	if size > limit {
		return nil, fmt.Errorf("%s: %d bytes, more than the %d that make sense here", d, size, limit)
	}
	r, err := s.Blob(d)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// OpenVerified reads the blob d once to verify it, and opens it for random access.
func (s *Store) OpenVerified(ctx context.Context, d tree.Digest) (*os.File, error) {
	f, err := os.Open(s.BlobPath(d))
	if err != nil {
		return nil, notFound(err, d)
	}
	if _, err := io.Copy(io.Discard, ctxReader{ctx, s.verifier(f, d)}); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (c ctxReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// TempDir makes a directory below the home for work in progress, on the file system of the store so
// that files can be linked and renamed. It is locked as long as the process lives: whatever a process
// leaves behind when it is killed, the next Open takes away. The caller calls release when done.
func (s *Store) TempDir(name string) (dir string, release func() error, err error) {
	lock, err := os.CreateTemp(s.path("tmp"), name+"-")
	if err != nil {
		return "", nil, err
	}
	dir = lock.Name() + ".dir"
	err = unix.Flock(int(lock.Fd()), unix.LOCK_EX) // before it has the name that sweep looks for
	if err == nil {
		err = os.Mkdir(dir, 0o700)
	}
	if err == nil {
		err = os.Rename(lock.Name(), dir+lockSuffix)
	}
	if err != nil {
		return "", nil, errors.Join(err, os.RemoveAll(dir), os.Remove(lock.Name()), lock.Close())
	}
	return dir, func() error {
		err := removeTree(dir)
		return errors.Join(err, os.Remove(dir+lockSuffix), lock.Close())
	}, nil
}
