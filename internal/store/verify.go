package store

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"

	"brickyard/internal/tree"

	"golang.org/x/sync/errgroup"
)

// A Fault is something in the store that is not what it should be.
type Fault struct {
	Path    string `json:"path"` // below the home
	Why     string `json:"why"`
	Missing bool   `json:"missing"` // it is not there at all
}

// A Check is what Verify found.
type Check struct {
	Blobs, Files, Notes int
	Bytes               int64 // of blobs and files
	Faults              []Fault
	// Litter are files that a process which was killed left half-written. Nothing counts on them: who needs such a
	// file sees that it is not whole, and writes another.
	Litter []string
}

// Verify reads everything in the store: each blob against its digest, each unpacked file against its name, which is made
// of content, owner, mode, time and attributes, each note, and each root against its listing. Notes of the kinds in counts, and all that they lead to,
// must lead to what is there; what others lead to is made again when it is missed. add, if not nil, is told of bytes
// read, from several goroutines.
//
// Errors: those of reading directories, and ctx.Err(). What is damaged is no error.
func (s *Store) Verify(ctx context.Context, counts []string, add func(n int64)) (*Check, error) {
	v := &verify{s: s, add: add, seen: map[tree.Digest]bool{}, files: map[string]bool{}}
	if v.add == nil {
		v.add = func(int64) {}
	}
	torn, err := v.bytes(ctx)
	if err != nil {
		return nil, err
	}
	if err := v.notes(ctx, counts); err != nil {
		return nil, err
	}
	for _, f := range torn {
		if v.files[strings.ReplaceAll(strings.TrimPrefix(f.Path, "files/"), "/", "")] {
			v.check.Faults = append(v.check.Faults, f)
		} else {
			v.check.Litter = append(v.check.Litter, f.Path)
		}
	}
	if err := v.roots(ctx, torn); err != nil {
		return nil, err
	}
	slices.SortFunc(v.check.Faults, func(a, b Fault) int { return strings.Compare(a.Path, b.Path) })
	slices.Sort(v.check.Litter)
	return &v.check, nil
}

// PutAside moves what is at path, below the home, to the trash: whatever can make or fetch it again, does.
func (s *Store) PutAside(path string) error {
	aside := s.path("trash", "damaged-"+strings.ReplaceAll(path, "/", "-"))
	if err := removeTree(aside); err != nil { // from another time
		return err
	}
	return os.Rename(s.path(path), aside)
}

// verify is one run of Verify.
type verify struct {
	s   *Store
	add func(int64)

	check Check

	seen  map[tree.Digest]bool // blobs that notes lead to
	files map[string]bool      // keys of files in trees that notes lead to
}

// bytes reads blobs and files. It returns files that do not fit their names.
func (v *verify) bytes(ctx context.Context) (torn []Fault, err error) {
	damaged, n, err := v.walk(ctx, "blobs", v.blob)
	if err != nil {
		return nil, err
	}
	v.check.Blobs, v.check.Faults = n, damaged
	torn, v.check.Files, err = v.walk(ctx, "files", v.file)
	return torn, err
}

// walk calls look for each file below dir, on all cores. look says what is wrong with it, "" for nothing, and how many bytes
// it has.
func (v *verify) walk(ctx context.Context, dir string, look func(ctx context.Context, path string) (why string, n int64, err error)) (bad []Fault, count int, err error) {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	var mu sync.Mutex // guards bad and v.check
	err = filepath.WalkDir(v.s.path(dir), func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		count++
		g.Go(func() error {
			path := strings.TrimPrefix(p, v.s.dir+"/")
			why, n, err := look(ctx, path)
			if errors.Is(err, fs.ErrNotExist) { // another process put it aside
				return nil
			}
			v.add(n)
			mu.Lock()
			defer mu.Unlock()
			v.check.Bytes += n
			if why != "" {
				bad = append(bad, Fault{Path: path, Why: why})
			}
			return err
		})
		return ctx.Err()
	})
	return bad, count, errors.Join(err, g.Wait())
}

func (v *verify) blob(ctx context.Context, path string) (why string, n int64, err error) {
	got, n, err := v.hash(ctx, path)
	if want := filepath.Base(path); err == nil && got.Hex() != want {
		why = "its content is " + string(got)
	}
	return why, n, err
}

func (v *verify) file(ctx context.Context, path string) (why string, n int64, err error) {
	e, _, err := tree.Stat(v.s.path(path))
	if err != nil {
		return "", 0, err
	}
	if e.Type != tree.Regular {
		return "it is no regular file", 0, nil
	}
	if e.Digest, n, err = v.hash(ctx, path); err != nil {
		return "", n, err
	}
	if v.s.filePath(e) != v.s.path(path) {
		why = "content, owner, mode, time or attributes are not those that its name stands for"
	}
	return why, n, nil
}

func (v *verify) hash(ctx context.Context, path string) (tree.Digest, int64, error) {
	f, err := os.Open(v.s.path(path))
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, ctxReader{ctx, f})
	return digestOf(h), n, err
}

// roots compares assembled roots with their listings: what is a link to a file of the store is as good as that is.
func (v *verify) roots(ctx context.Context, torn []Fault) error {
	names, err := os.ReadDir(v.s.path("roots"))
	if err != nil {
		return err
	}
	bad := map[string]bool{}
	for _, f := range torn {
		bad[f.Path] = true
	}
	for _, name := range names {
		path := "roots/" + name.Name()
		why, err := v.root(ctx, path, bad)
		if err != nil {
			return err
		}
		if why != "" {
			v.check.Faults = append(v.check.Faults, Fault{Path: path, Why: why})
		}
	}
	return nil
}

func (v *verify) root(ctx context.Context, path string, bad map[string]bool) (why string, err error) {
	want, err := v.s.Tree(tree.Digest("sha256:" + filepath.Base(path)))
	if err != nil {
		return fmt.Sprintf("its listing: %v", err), nil
	}
	dir := v.s.path(path)
	seen := 0
	err = tree.Scan(dir, func(p string, e *tree.Entry) error {
		if why != "" {
			return fs.SkipAll
		}
		seen++
		w, ok := want[p]
		e.Hard, w.Hard = "", ""
		switch {
		case !ok:
			why = fmt.Sprintf("it has /%s, which its listing has not", p)
			return nil
		case e.Type == tree.Regular && w.Type == tree.Regular:
			same, err := v.linked(ctx, path+"/"+p, e, w, bad)
			if err != nil {
				return err
			}
			if same {
				return nil
			}
		case e.Type == tree.Dir && w.Type == tree.Dir:
			e.MTime, w.MTime = 0, 0
		}
		if !e.Equal(w) {
			why = fmt.Sprintf("/%s is not what its listing says", p)
		}
		return ctx.Err()
	})
	if err == nil && why == "" && seen != len(want) {
		why = fmt.Sprintf("it lacks %d of its paths", len(want)-seen)
	}
	return why, err
}

// linked says whether the file at path is a name of the store's file w, which is as it should be. If not, e gets its digest.
func (v *verify) linked(ctx context.Context, path string, e *tree.Entry, w tree.Entry, bad map[string]bool) (bool, error) {
	file := v.s.filePath(w)
	there, err1 := os.Lstat(v.s.path(path))
	kept, err2 := os.Lstat(file)
	if err1 == nil && err2 == nil && os.SameFile(there, kept) {
		return !bad[v.s.rel(file)], nil
	}
	var err error
	e.Digest, _, err = v.hash(ctx, path)
	return false, err
}

// notes reads all notes and follows them.
func (v *verify) notes(ctx context.Context, counts []string) error {
	kinds, err := os.ReadDir(v.s.path("notes"))
	if err != nil {
		return err
	}
	slices.SortStableFunc(kinds, func(a, b fs.DirEntry) int { // a blob is followed once: by those that count, if they do
		return cmp.Compare(slices.Index(counts, b.Name()), slices.Index(counts, a.Name()))
	})
	for _, kind := range kinds {
		keys, err := v.s.Notes(kind.Name())
		if err != nil {
			return err
		}
		for _, key := range keys {
			v.check.Notes++
			var text json.RawMessage
			err := v.s.Note(kind.Name(), key, &text)
			if errors.Is(err, ErrNotFound) { // taken away meanwhile
				continue
			}
			if err != nil {
				v.check.Faults = append(v.check.Faults, Fault{Path: v.s.rel(v.s.NotePath(kind.Name(), key)), Why: err.Error()})
				continue
			}
			if err := v.follow(ctx, text, slices.Contains(counts, kind.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// rel is a path below the home without the home.
func (s *Store) rel(path string) string { return strings.TrimPrefix(path, s.dir+"/") }

// maxFollowed bounds the listings and documents that are followed, in bytes. Layers and packages are not: nothing in
// them leads anywhere.
const maxFollowed = 1 << 30

var digestForm = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// elsewhere are the keys of JSON objects with digests of what need not be here: layers before they were compressed,
// images that others were built on, and what people write.
var elsewhere = []string{"diff_id", "diff_ids", "parent", "annotations", "Labels"}

// digests lists the digests in a JSON value, but for those elsewhere.
func digests(v any) (list []tree.Digest) {
	switch v := v.(type) {
	case string:
		if digestForm.MatchString(v) {
			list = append(list, tree.Digest(v))
		}
	case []any:
		for _, e := range v {
			list = append(list, digests(e)...)
		}
	case map[string]any:
		for k, e := range v {
			if !slices.Contains(elsewhere, k) {
				list = append(list, digests(e)...)
			}
		}
	}
	return list
}

// follow goes to each blob that the JSON text names. must: it is a fault when one is not there.
func (v *verify) follow(ctx context.Context, text []byte, must bool) error {
	var value any
	if json.Unmarshal(text, &value) != nil {
		return nil // it begins like JSON, and may be anything
	}
	for _, d := range digests(value) {
		if v.seen[d] {
			continue
		}
		v.seen[d] = true
		data, err := v.document(d)
		switch {
		case errors.Is(err, ErrNotFound):
			if must {
				v.check.Faults = append(v.check.Faults, Fault{Path: "blobs/sha256/" + d.Hex(), Why: "it is missing", Missing: true})
			}
			v.seen[d] = must
			continue
		case err != nil:
			return err
		}
		if t, err := tree.Decode(data); err == nil {
			for _, e := range t {
				if e.Type == tree.Regular {
					v.files[fileKey(e)] = true
				}
			}
			continue
		}
		if err := cmp.Or(ctx.Err(), v.follow(ctx, data, must)); err != nil {
			return err
		}
	}
	return nil
}

// document is the blob d when it is a listing or JSON, else nil.
func (v *verify) document(d tree.Digest) ([]byte, error) {
	f, err := os.Open(v.s.BlobPath(d))
	if err != nil {
		return nil, notFound(err, d)
	}
	defer f.Close()
	r := bufio.NewReader(io.LimitReader(f, maxFollowed))
	start, _ := r.Peek(len(listingStart))
	if string(start) != listingStart && !bytes.HasPrefix(start, []byte("{")) {
		return nil, nil
	}
	return io.ReadAll(r)
}

// listingStart is how the text form of a tree begins.
const listingStart = "brickyard tree "
