// Package bake turns a recipe into an image: lock resolves what goes in, bake makes the bits.
//
//	recipe/  the language
//	apt/     archives, resolution, packages
//	rootfs/  packages → root file system
//	layer/   trees → OCI layers
//
// Everything ends up in the store as blobs; the caller gives the image to the catalogue, which this
// package does not know.
package bake

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"brickyard/internal/bake/layer"
	"brickyard/internal/bake/recipe"
	"brickyard/internal/bake/rootfs"
	"brickyard/internal/store"
	"brickyard/internal/store/tarball"
	"brickyard/internal/tree"

	"golang.org/x/sync/errgroup"
)

// format goes up when the same recipe and lock would come to another image.
const format = "5"

// maxLayers bounds the layers of an image: overlayfs and some engines stop at 128 (Docker's limit), and
// a child image adds to them.
const maxLayers = 100

// The kinds of layers, as the catalogue's records name them.
const (
	kindPackages = "packages"
	kindScripts  = "scripts"
	kindRecipe   = "recipe"
	kindRootfs   = "rootfs"
)

// A Layer is one layer of an image, and what is in it.
type Layer struct {
	layer.Layer
	Kind     string   `json:"kind"`
	Packages []string `json:"packages,omitempty"` // "name version"
}

// An Image is what a bake made.
type Image struct {
	Manifest tree.Digest         `json:"manifest"`
	Config   tree.Digest         `json:"config"`
	Arch     string              `json:"arch"` // GOARCH
	Layers   []Layer             `json:"layers"`
	Root     tree.Digest         `json:"root"` // listing of the whole root file system
	Packages []recipe.LockedDeb  `json:"packages,omitempty"`
	Sources  []recipe.LockedFrom `json:"sources,omitempty"`
	From     recipe.From         `json:"from"`             // of the recipe, or of the one at the bottom of its bases
	Owners   tree.Digest         `json:"owners,omitempty"` // blob: lines "path\tindex into Packages"
	Places   []Place             `json:"places,omitempty"`
	Removed  []Removed           `json:"removed,omitempty"`
	Cleaned  []rootfs.Cleaned    `json:"cleaned,omitempty"`
	// Unconfigured names packages whose maintainer scripts did not run, the image having no dpkg.
	Unconfigured []string `json:"unconfigured,omitempty"`

	Fresh bool `json:"-"` // made now, not found
}

// Removed is what one kind of slim took away.
type Removed struct {
	Kind  string      `json:"kind"`
	Files int         `json:"files"`
	Bytes int64       `json:"bytes"`
	Tree  tree.Digest `json:"tree"`
}

// A Baker bakes. Its fields are set before use.
type Baker struct {
	Store    *store.Store
	Out      io.Writer // what programs of the image print
	Keep     string    // directory that takes the root in which a program failed; "" for none
	Fetch    func(ctx context.Context, debs []recipe.LockedDeb, urls []recipe.LockedURL) error
	Progress func(stage string, total int64) (add func(n int64), done func())
	// Record, if not nil, returns notes about an image that was made now, to be written at the same moment as those of the bake;
	// written is called when they are, or will never be. With an error, the image is there without them.
	Record func(*Image) (notes *store.Batch, written func() error, err error)
}

// A StaleLockError means that recipe.lock does not fit the recipe.
type StaleLockError struct {
	Recipe string
	Why    string
}

func (e *StaleLockError) Error() string {
	return "the lock of " + e.Recipe + " does not fit it: " + e.Why
}

// Hint says what to do.
func (e *StaleLockError) Hint() string { return "brickyard lock " + e.Recipe }

// key names all that an image is made of.
func (b *Baker) key(r *recipe.Recipe, lock *recipe.Lock, base *Base) (string, error) {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%s\n", format, r.Render())
	if err := json.NewEncoder(h).Encode(lock); err != nil { // faster than its text
		return "", err
	}
	if base != nil {
		fmt.Fprintf(h, "%s\n", base.Digest)
	}
	for _, f := range r.Files {
		if err := hashSource(h, r.Dir, cmp.Or(f.Source, f.Tree)); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// hashSource hashes names, kinds, executability and bytes of a file or directory of this machine.
func hashSource(h io.Writer, dir, src string) error {
	if src == "" {
		return nil
	}
	top, err := filepath.EvalSymlinks(filepath.Join(dir, src)) // a link there is followed, as when it is copied
	if err != nil {
		return err
	}
	fmt.Fprintf(h, "%q\n", src)
	return filepath.WalkDir(top, func(p string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(top, p)
		fmt.Fprintf(h, "%q %v %v %d\n", rel, fi.Mode().Type(), fi.Mode()&0o111 != 0, fi.Size())
		switch {
		case fi.Mode().IsRegular():
			f, err := os.Open(p)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = io.Copy(h, f)
			return err
		case fi.Mode()&os.ModeSymlink != 0:
			to, err := os.Readlink(p)
			fmt.Fprintf(h, "%q\n", to)
			return err
		}
		return nil
	})
}

// Find returns the image of recipe and lock when it was baked before and is still there whole.
func (b *Baker) Find(r *recipe.Recipe, lock *recipe.Lock, base *Base) (*Image, error) {
	key, err := b.key(r, lock, base)
	if err != nil {
		return nil, err
	}
	var img Image
	if err := b.Store.Cached("bake", key, &img); err != nil {
		return nil, err
	}
	if err := b.whole(img.Layers, img.Manifest, img.Config, img.Root); err != nil {
		return nil, err
	}
	return &img, nil
}

// Bake makes the image of recipe and lock, or finds it. Two bakes of one recipe at a time: the second
// waits for the first, and finds.
//
// Errors: *StaleLockError, *rootfs.FailedError, those of Fetch.
func (b *Baker) Bake(ctx context.Context, r *recipe.Recipe, lock *recipe.Lock, base *Base) (*Image, error) {
	if lock.Request != r.Request() {
		return nil, &StaleLockError{Recipe: r.Path, Why: "the recipe asks for something else since it was made"}
	}
	key, err := b.key(r, lock, base)
	if err != nil {
		return nil, err
	}
	unlock, err := b.Store.Lock(ctx, "bake-"+key, nil)
	if err != nil {
		return nil, err
	}
	defer unlock()
	img, err := b.Find(r, lock, base)
	if err == nil {
		return img, b.mend(img)
	}
	if !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	if err := b.Fetch(ctx, lock.Packages, lock.URLs); err != nil {
		return nil, err
	}
	w := &work{Baker: b, r: r, lock: lock, base: base, batch: b.Store.Batch(), epoch: lock.Epoch.Unix()}
	if w.slim, err = recipe.Slim(r.Slim); err != nil {
		return nil, err
	}
	for _, name := range w.gone() {
		if !slices.ContainsFunc(r.Packages, func(p recipe.Package) bool { return p.Exclude && p.Name == name }) {
			return nil, &StaleLockError{Recipe: r.Path, Why: "package " + name + ", which the base has, is not in it"}
		}
	}
	img, err = w.attempt(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		// A file of packages that were found done is not in the store any more: they are made again.
		w.careful = true
		img, err = w.attempt(ctx, key)
	}
	return img, err
}

// attempt bakes, and notes what was made. When it fails, what was unpacked and configured is good: the next bake
// need not do it again.
func (w *work) attempt(ctx context.Context, key string) (*Image, error) {
	builder := w.builder()
	img, err := w.bake(ctx, builder)
	if err == nil {
		img.Fresh = true
		err = errors.Join(w.note("bake", key, img), w.note(kindImage, img.Manifest.Hex(), img))
	}
	written := func() error { return nil }
	if err == nil && w.Record != nil {
		notes, done, rerr := w.Record(img)
		if err = rerr; err == nil {
			w.batch.Join(notes)
			written = done
		}
	}
	cerr := errors.Join(w.batch.Commit(), written())
	if err == nil && cerr == nil {
		err = builder.Settle()
	}
	if err := errors.Join(err, cerr, builder.Close()); err != nil {
		return nil, err
	}
	return img, nil
}

// work is one bake.
type work struct {
	*Baker
	r     *recipe.Recipe
	lock  *recipe.Lock
	base  *Base
	epoch int64
	slim  recipe.Matcher
	// careful looks whether all files of packages that were found done are there. It takes as long as all the rest, and
	// few of the files will be asked for.
	careful bool

	mu    sync.Mutex // guards batch
	batch *store.Batch
}

func (w *work) note(kind, key string, v any) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.batch.Set(kind, key, v)
}

func (w *work) bake(ctx context.Context, builder *rootfs.Builder) (*Image, error) {
	img := &Image{Packages: w.lock.Packages, Sources: w.lock.Sources, From: w.from()}
	start, err := w.start(ctx, img)
	if err != nil {
		return nil, err
	}
	root, err := w.packages(ctx, builder, img, start)
	if err != nil {
		return nil, err
	}
	final, err := w.recipeLayer(ctx, builder, img, root)
	if err != nil {
		return nil, err
	}
	if img.Root, err = w.Store.PutTree(final); err != nil {
		return nil, err
	}
	arch := w.lock.Arch
	img.Arch = goArch[arch][0]
	cfg := newConfig(w.r, w.base, arch, w.lock.Epoch)
	for _, l := range img.Layers[len(cfg.RootFS.DiffIDs):] {
		cfg.addLayer(l.Layer, strings.TrimSpace("brickyard "+l.Kind+" "+strings.Join(l.Packages, ", ")))
	}
	img.Manifest, img.Config, err = writeImage(w.Store, cfg, img.Layers)
	return img, err
}

// from is where the image's packages come from, with paths that hold in any directory.
func (w *work) from() recipe.From {
	if w.base != nil {
		return w.base.Image.From
	}
	from := w.r.From
	from.Keys = slices.Clone(from.Keys)
	for i, k := range from.Keys {
		if abs, err := filepath.Abs(filepath.Join(w.r.Dir, k)); err == nil {
			from.Keys[i] = abs
		}
	}
	return from
}

func (w *work) builder() *rootfs.Builder {
	return &rootfs.Builder{
		Store: w.Store, Note: w.note, Epoch: w.epoch, Arch: w.lock.Arch, Slim: w.slim, Out: w.Out, Keep: w.Keep, Progress: w.Progress,
		Scripts: w.r.Scripts != recipe.ScriptsNone,
		Merge:   suiteOf(w.r.From) != "",
	}
}

// start is the tree that packages are put on: the base's, the tarball's, or nil for nothing.
func (w *work) start(ctx context.Context, img *Image) (tree.Tree, error) {
	switch {
	case w.base != nil:
		img.Layers = slices.Clone(w.base.Image.Layers)
		img.Places = slices.Clone(w.base.Image.Places)
		img.Removed = slices.Clone(w.base.Image.Removed)
		img.Cleaned = slices.Clone(w.base.Image.Cleaned)
		return w.base.root, nil
	case w.r.From.Rootfs != "":
		return w.tarball(ctx, img)
	}
	return nil, nil
}

// tarball takes a root file system from a tar file, plain or compressed, into a layer of its own.
func (w *work) tarball(ctx context.Context, img *Image) (tree.Tree, error) {
	f, err := os.Open(filepath.Join(w.r.Dir, w.r.From.Rootfs))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	sum := sha256.New()
	in, err := decompress(io.TeeReader(f, sum))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", w.r.From.Rootfs, err)
	}
	defer in.Close()
	var buf bytes.Buffer
	t, err := tarball.Read(in, tarball.Limits{NoLayer: true}, func(_ string, e *tree.Entry, r io.Reader) error {
		return errors.Join(w.Store.AddFile(e, r, &buf), ctx.Err())
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", w.r.From.Rootfs, err)
	}
	if _, err := io.Copy(sum, f); err != nil {
		return nil, err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != w.lock.Rootfs {
		return nil, &StaleLockError{Recipe: w.r.Path, Why: w.r.From.Rootfs + " has changed"}
	}
	kinds := removedFiles{}
	maps.DeleteFunc(t, func(p string, e tree.Entry) bool {
		kind, gone := w.slim.Match(p)
		if gone = gone && e.Type != tree.Dir; gone {
			kinds.add(kind, p, e)
		}
		return gone
	})
	if img.Removed, err = kinds.put(w.Store); err != nil {
		return nil, err
	}
	root := withDirs(t, w.epoch)
	l, err := layer.Write(w.Store, root, w.note)
	if err != nil {
		return nil, err
	}
	img.Layers = append(img.Layers, Layer{Layer: l, Kind: kindRootfs})
	return root, nil
}

// withDirs is t with the directories that an archive may leave out, and with content for names of files
// whose first name is not there.
func withDirs(t tree.Tree, epoch int64) tree.Tree {
	dir := tree.Entry{Type: tree.Dir, Mode: 0o755, MTime: epoch}
	dirs := tree.Tree{".": dir}
	for p := range t {
		for p != "." {
			p = tree.Parent(p)
			dirs[p] = dir
		}
	}
	root := tree.Tree{}
	root.Apply(dirs)
	root.Apply(t)
	return root
}

// packed is the note of what a set of packages on a base comes to, layers included: a recipe that changed
// in its own files alone begins here.
type packed struct {
	Root         tree.Digest      `json:"root"`
	Layers       []Layer          `json:"layers"`
	Owners       tree.Digest      `json:"owners"`
	Removed      []Removed        `json:"removed,omitempty"`
	Cleaned      []rootfs.Cleaned `json:"cleaned,omitempty"`
	Unconfigured []string         `json:"unconfigured,omitempty"`
}

// packages puts the packages on start, and adds their layers and the one of their scripts.
func (w *work) packages(ctx context.Context, b *rootfs.Builder, img *Image, start tree.Tree) (root rootfs.Base, err error) {
	pkgs := w.newPackages()
	if len(pkgs) == 0 && len(w.gone()) == 0 {
		if start == nil {
			start = tree.Tree{".": {Type: tree.Dir, Mode: 0o755, MTime: w.epoch}}
		}
		root.Tree = start
		if root.Digest, err = w.Store.PutTree(start); err != nil {
			return root, err
		}
		return root, w.inheritOwners(img)
	}
	key := w.packedKey(b, pkgs, start)
	got, t, err := w.findPacked(key)
	if errors.Is(err, store.ErrNotFound) {
		if got, t, err = w.pack(ctx, b, pkgs, start, max(1, maxLayers-2-len(img.Layers))); err == nil {
			err = w.note("packed", key, got)
		}
	}
	if err != nil {
		return root, err
	}
	img.Layers = append(img.Layers, got.Layers...)
	img.Removed = append(img.Removed, got.Removed...)
	img.Cleaned = addCleaned(img.Cleaned, got.Cleaned)
	img.Owners, img.Unconfigured = got.Owners, got.Unconfigured
	return rootfs.Base{Tree: t, Digest: got.Root}, nil
}

// packedKey names all that packages come to a root by.
func (w *work) packedKey(b *rootfs.Builder, pkgs []*rootfs.Package, start tree.Tree) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s %d %s %v %v %s\n", format, w.epoch, b.Arch, b.Merge, b.Scripts, w.slim)
	if w.base != nil {
		fmt.Fprintln(h, w.base.Digest)
	} else if start != nil {
		fmt.Fprintln(h, store.Sum(start.Encode()))
	}
	for _, p := range w.lock.Packages { // all of them: owners point into the list
		fmt.Fprintln(h, p.Name, p.Version, p.Arch, p.Source, p.SHA256, p.Essential)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func (w *work) findPacked(key string) (got packed, root tree.Tree, err error) {
	if err := w.Store.Cached("packed", key, &got); err != nil {
		return got, nil, err
	}
	if err := w.whole(got.Layers, got.Owners); err != nil {
		return got, nil, err
	}
	if root, err = w.Store.Tree(got.Root); err == nil && w.careful {
		err = w.Store.HasFiles(root)
	}
	return got, root, err
}

// whole says whether layers and other blobs are there. Errors: store.ErrNotFound.
func (b *Baker) whole(layers []Layer, blobs ...tree.Digest) error {
	for _, l := range layers {
		if size, err := b.Store.Size(l.Digest); err != nil || size != l.Size {
			return fmt.Errorf("layer %s: %w", l.Digest, store.ErrNotFound)
		}
	}
	for _, d := range blobs {
		if _, err := b.Store.Size(d); err != nil {
			return err
		}
	}
	return nil
}

// pack makes what packed notes.
func (w *work) pack(ctx context.Context, b *rootfs.Builder, pkgs []*rootfs.Package, start tree.Tree, limit int) (packed, tree.Tree, error) {
	add, done := w.Progress("unpack", int64(len(pkgs)))
	b.OnUnpack = func(*rootfs.Package) { add(1) }
	layers := newLayerer(w, pkgs, limit)
	b.OnPlaced = layers.placed
	ready, all := make(chan struct{}), make(chan struct{})
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		err := b.Unpack(gctx, pkgs, func() { close(ready) })
		done()
		if err == nil {
			close(all)
		}
		return err
	})
	var res *rootfs.Result
	g.Go(func() (err error) {
		res, err = b.Packages(gctx, start, w.gone(), pkgs, ready, all)
		return err
	})
	err := g.Wait()
	made, lerr := layers.wait(err == nil)
	if err := cmp.Or(err, lerr); err != nil {
		return packed{}, nil, err
	}
	stack := tree.Tree{}
	if start != nil {
		stack = start.Clone()
	}
	img := Image{Packages: w.lock.Packages}
	for _, m := range made {
		stack.Apply(m.tree)
		img.Layers = append(img.Layers, m.Layer)
	}
	if err := w.owners(&img, res, pkgs); err != nil {
		return packed{}, nil, err
	}
	if err := w.removed(&img, pkgs); err != nil {
		return packed{}, nil, err
	}
	if err := w.diffLayer(&img, kindScripts, stack, res.Root); err != nil {
		return packed{}, nil, err
	}
	got := packed{Layers: img.Layers, Owners: img.Owners, Removed: img.Removed, Cleaned: res.Cleaned, Unconfigured: res.Unconfigured}
	got.Root, err = w.Store.PutTree(res.Root)
	return got, res.Root, err
}

// diffLayer adds the layer that makes to out of from, if they differ.
func (w *work) diffLayer(img *Image, kind string, from, to tree.Tree) error {
	d := tree.Diff(from, to)
	if len(d) == 0 {
		return nil
	}
	d.WithParents(to)
	l, err := layer.Write(w.Store, d, w.note)
	img.Layers = append(img.Layers, Layer{Layer: l, Kind: kind})
	return err
}

// newPackages lists what is in the lock and not in the base.
func (w *work) newPackages() []*rootfs.Package {
	var out []*rootfs.Package
	for _, p := range notInBase(w.lock.Packages, w.base) {
		out = append(out, &rootfs.Package{
			Name: p.Name, Version: p.Version, Arch: p.Arch, Source: p.Source, Essential: p.Essential && w.base == nil,
			Digest: tree.Digest("sha256:" + p.SHA256),
		})
	}
	return out
}

// gone lists the names of packages that the base has and the lock has not, sorted.
func (w *work) gone() []string {
	if w.base == nil {
		return nil
	}
	var names []string
	for _, p := range w.base.Image.Packages {
		if !slices.ContainsFunc(w.lock.Packages, func(q recipe.LockedDeb) bool { return q.Name == p.Name && q.Arch == p.Arch }) {
			names = append(names, p.Name)
		}
	}
	slices.Sort(names)
	return names
}

// owners notes which package each path came from: the base's as they were, and those of res.
func (w *work) owners(img *Image, res *rootfs.Result, pkgs []*rootfs.Package) error {
	index := map[string]int{}
	for i, p := range img.Packages {
		index[p.Name+":"+p.Arch] = i
	}
	of, err := w.baseOwners(index)
	if err != nil {
		return err
	}
	byKey := map[string]int{}
	for _, p := range pkgs {
		byKey[p.Key()] = index[p.Name+":"+p.Arch]
	}
	for p, key := range res.Owners {
		if i, ok := byKey[key]; ok && !strings.Contains(p, "\n") {
			of[p] = i
		}
	}
	var out bytes.Buffer
	for _, p := range slices.Sorted(maps.Keys(of)) {
		fmt.Fprintf(&out, "%s\t%d\n", p, of[p])
	}
	img.Owners, _, err = w.Store.Put(&out)
	return err
}

// inheritOwners is owners for an image without packages of its own.
func (w *work) inheritOwners(img *Image) error {
	if w.base == nil || w.base.Image.Owners == "" {
		return nil
	}
	return w.owners(img, &rootfs.Result{}, nil)
}

// baseOwners reads the base's owners, with the places of their packages in index.
func (w *work) baseOwners(index map[string]int) (map[string]int, error) {
	of := map[string]int{}
	if w.base == nil || w.base.Image.Owners == "" {
		return of, nil
	}
	data, err := w.Store.ReadBlob(w.base.Image.Owners, 1<<30)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSuffix(line, "\n")
		tab := strings.LastIndexByte(line, '\t')
		p := line[:max(0, tab)]
		n, err := strconv.Atoi(line[tab+1:])
		if err != nil || n < 0 || n >= len(w.base.Image.Packages) {
			return nil, fmt.Errorf("owners %s: bad line %q", w.base.Image.Owners, line)
		}
		old := w.base.Image.Packages[n]
		if i, ok := index[old.Name+":"+old.Arch]; ok { // else it was taken out
			of[p] = i
		}
	}
	return of, nil
}

// addCleaned adds what is not in the list yet: each stage cleans up after itself.
func addCleaned(have, more []rootfs.Cleaned) []rootfs.Cleaned {
	for _, c := range more {
		if !slices.Contains(have, c) {
			have = append(have, c)
		}
	}
	return have
}

// removed notes what slim left out of packages, by kind.
func (w *work) removed(img *Image, pkgs []*rootfs.Package) error {
	kinds := removedFiles{}
	for _, p := range pkgs {
		for at, e := range p.Removed {
			kind, _ := w.slim.Match(at)
			kinds.add(kind, at, e)
		}
	}
	more, err := kinds.put(w.Store)
	img.Removed = append(img.Removed, more...)
	return err
}

// removedFiles is what slim took, by kind.
type removedFiles map[string]tree.Tree

func (r removedFiles) add(kind, p string, e tree.Entry) {
	if r[kind] == nil {
		r[kind] = tree.Tree{}
	}
	r[kind][p] = e
}

func (r removedFiles) put(s *store.Store) (out []Removed, err error) {
	for _, kind := range slices.Sorted(maps.Keys(r)) {
		d, err := s.PutTree(r[kind])
		if err != nil {
			return nil, err
		}
		out = append(out, Removed{Kind: kind, Files: len(r[kind]), Bytes: r[kind].Size(), Tree: d})
	}
	return out, nil
}

// recipeLayer adds what the recipe itself puts in, and returns the finished root.
func (w *work) recipeLayer(ctx context.Context, b *rootfs.Builder, img *Image, root rootfs.Base) (tree.Tree, error) {
	c := &contents{r: w.r, s: w.Store, lock: w.lock, t: root.Tree.Clone(), epoch: w.epoch}
	if err := c.put(); err != nil {
		return nil, err
	}
	if len(w.r.Run) > 0 {
		add, done := w.Progress("run", int64(len(w.r.Run)))
		before := c.t
		t, cleaned, err := b.Steps(ctx, root, c.t, steps(w.r))
		add(int64(len(w.r.Run)))
		done()
		if err != nil {
			return nil, err
		}
		c.t = t
		img.Cleaned = addCleaned(img.Cleaned, cleaned)
		for _, ch := range tree.Compare(before, t) {
			if ch.Kind != tree.Removed {
				c.places = append(c.places, Place{Path: ch.Path, What: "run", Line: w.r.Lines["run[0]"]})
			}
		}
	}
	if err := c.remove(); err != nil {
		return nil, err
	}
	img.Places = append(img.Places, c.places...)
	return c.t, w.diffLayer(img, kindRecipe, root.Tree, c.t)
}
