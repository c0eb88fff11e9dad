package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"brickyard/internal/bake"
	"brickyard/internal/bake/apt"
	"brickyard/internal/bake/recipe"
	"brickyard/internal/catalog/index"
	"brickyard/internal/store"

	"github.com/spf13/cobra"
)

// recipeFlags are those of commands that read a recipe.
type recipeFlags struct {
	set    []string
	values string
}

func (f *recipeFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.set, "set", nil, "give a parameter of the recipe its value: `NAME=VALUE`")
	cmd.Flags().StringVar(&f.values, "values", "", "YAML `file` with values of parameters")
	cmd.MarkFlagFilename("values", "yaml", "yml")
}

func (f *recipeFlags) load(cmd *cobra.Command, path string) (*recipe.Recipe, error) {
	if path == "" {
		return nil, &usageError{command: cmd.CommandPath(), err: errors.New("the recipe's name is empty")}
	}
	set, err := recipe.ParseSets(f.set)
	if err != nil {
		return nil, &usageError{command: cmd.CommandPath(), err: fmt.Errorf("--set: %w", err)}
	}
	r, err := recipe.Load(path, recipe.Options{Set: set, Values: f.values})
	if fi, serr := os.Stat(path); err != nil && serr == nil && fi.IsDir() {
		return nil, &hintedError{fmt.Errorf("%s is a directory", path), "name the recipe in it, as " + filepath.Join(path, "recipe.yaml")}
	}
	return r, err
}

// baking is what lock and bake have in common: the catalogue, the way to archives, and recipes that are
// built on each other.
type baking struct {
	env     *Env
	store   *store.Store
	catalog *index.Catalog
	client  *apt.Client
	offline bool
	keep    string
	out     io.Writer // what programs of the image print
}

func (env *Env) baking() (*baking, error) {
	s, err := env.store()
	if err != nil {
		return nil, err
	}
	out := io.Discard
	if env.verbose {
		out = progressWriter{env.progress()}
	}
	return &baking{
		env: env, store: s, catalog: env.catalogOf(s), out: out,
		client: apt.NewClient(apt.ClientOptions{Proxy: http.ProxyFromEnvironment, HostApt: true, NoProxy: env.Getenv("no_proxy")}),
	}, nil
}

// progressWriter prints above the bars.
type progressWriter struct{ p *progress }

func (w progressWriter) Write(b []byte) (int, error) {
	w.p.print(string(b))
	return len(b), nil
}

// progress is the progress of package bake, which counts bytes where it fetches and reads.
func (b *baking) progress(name string, total int64) (add func(n int64), done func()) {
	u := unitItems
	if name == "fetch" || name == "read archives" {
		u = unitBytes
	}
	st := b.env.progress().Stage(name, total, u)
	return st.Add, st.Done
}

// lint speaks up about the recipe. Errors stop; warnings are returned for the record.
func (b *baking) lint(r *recipe.Recipe) (warnings []string, err error) {
	var errs []error
	for _, f := range recipe.Lint(r) {
		text := fmt.Sprintf("%s: %s: %s (%s)", f.Place, f.Rule, f.Message, f.Why)
		if f.Severity == "error" {
			errs = append(errs, fmt.Errorf("%s\n  %s, or lint: {%s: warning} if it must be", text, f.Hint, f.Rule))
			continue
		}
		b.env.warn("%s", text)
		warnings = append(warnings, fmt.Sprintf("%s: %s", f.Rule, f.Message))
	}
	return warnings, errors.Join(errs...)
}

// A circleError means that a recipe is built on itself.
type circleError struct{ paths []string }

func (e *circleError) Error() string {
	return "base recipes go in a circle: " + strings.Join(e.paths, " → ")
}

// checkCircle follows base recipes down: one that is built on itself can't even be locked.
func checkCircle(r *recipe.Recipe) error {
	paths := []string{filepath.Clean(r.Path)}
	for r.From.IsRecipe() {
		path := filepath.Join(r.Dir, r.From.Base)
		paths = append(paths, path)
		if slices.Contains(paths[:len(paths)-1], path) {
			return &circleError{paths: paths}
		}
		var err error
		if r, err = recipe.Load(path, recipe.Options{Set: r.From.With}); err != nil {
			return err
		}
	}
	return nil
}

// base is what the recipe is baked on, nil when that is nothing. A recipe as base is baked from its own
// lock first.
//
// An image as base is the one that lock has, which may be nil, whatever its name means today.
func (b *baking) base(ctx context.Context, r *recipe.Recipe, lock *recipe.Lock) (*bake.Base, error) {
	if r.From.Base == "" {
		return nil, nil
	}
	if !r.From.IsRecipe() {
		ref := r.From.Base
		if lock != nil && lock.Base != nil && lock.Base.Name == ref {
			ref = lock.Base.Digest
		}
		rec, err := b.catalog.Lookup(ref)
		if err != nil {
			return nil, fmt.Errorf("%s: base: %w", r.Path, err)
		}
		return bake.OpenBase(b.store, rec.Image)
	}
	if err := checkCircle(r); err != nil {
		return nil, err
	}
	path := filepath.Join(r.Dir, r.From.Base)
	parent, err := recipe.Load(path, recipe.Options{Set: r.From.With})
	if err != nil {
		return nil, err
	}
	img, err := b.bake(ctx, parent, nil)
	if err != nil {
		return nil, err
	}
	return bake.OpenBase(b.store, img.Manifest)
}

// A noLockError means that a recipe was never locked.
type noLockError struct{ recipe, lock string }

func (e *noLockError) Error() string { return e.recipe + ": no " + e.lock }
func (e *noLockError) Hint() string  { return "brickyard lock " + e.recipe }

// lockPath is where the lock of a recipe is: recipe.yaml has recipe.lock, web.yaml has web.lock.
func lockPath(recipePath string) string {
	return strings.TrimSuffix(recipePath, filepath.Ext(recipePath)) + ".lock"
}

// readLock reads a lock. Errors: fs.ErrNotExist; those of a lock that can't be used have a hint.
func readLock(path string) (*recipe.Lock, error) {
	fi, err := os.Stat(path)
	if err == nil && !fi.Mode().IsRegular() { // reading a pipe would wait for ever
		return nil, fmt.Errorf("%s: not a regular file", path)
	}
	lock, err := recipe.ReadLock(path)
	if _, bad := errors.AsType[recipe.Problems](err); bad {
		err = &hintedError{err, "take " + path + " back from where it is kept, or delete it and lock anew"}
	}
	return lock, err
}

// bake bakes one recipe, its bases first, and puts the image into the catalogue under the names given.
func (b *baking) bake(ctx context.Context, r *recipe.Recipe, tags []bakeTag) (*bake.Image, error) {
	start := time.Now()
	warnings, err := b.lint(r)
	if err != nil {
		return nil, err
	}
	lock, err := readLock(lockPath(r.Path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &noLockError{recipe: r.Path, lock: lockPath(r.Path)}
	}
	if err != nil {
		return nil, err
	}
	base, err := b.base(ctx, r, lock)
	if err != nil {
		return nil, err
	}
	if err := fits(r, lock, base); err != nil {
		return nil, err
	}
	if err := bake.CheckRootfs(b.store, r, lock, start); err != nil {
		return nil, err
	}
	if err := bake.CheckArch(r, lock, base); err != nil {
		return nil, err
	}
	fetcher := &bake.Fetcher{Store: b.store, Client: b.client, Recipe: r, Base: base, HostRoot: "/", Offline: b.offline, Progress: b.progress}
	baker := &bake.Baker{Store: b.store, Out: b.out, Keep: b.keep, Fetch: fetcher.Fetch, Progress: b.progress}
	if err := b.warnTaken(baker, r, lock, base, tags); err != nil {
		return nil, err
	}
	baker.Record = func(img *bake.Image) (*store.Batch, func() error, error) {
		return b.record(ctx, r, img, base, warnings, time.Since(start), tags)
	}
	img, err := baker.Bake(ctx, r, lock, base)
	if err != nil {
		return nil, err
	}
	if len(img.Unconfigured) > 0 && img.Fresh && r.Scripts != recipe.ScriptsNone {
		b.env.warn("%s: without dpkg in the image, the maintainer scripts of these did not run: %s", r.Path, strings.Join(img.Unconfigured, ", "))
	}
	if img.Fresh {
		return img, nil
	}
	b.env.say("%s: already baked, nothing to do", r.Path)
	notes, written, err := b.record(ctx, r, img, base, warnings, time.Since(start), tags)
	if err == nil {
		err = errors.Join(notes.Commit(), written())
	}
	return img, err
}

// warnTaken says, before a bake that may take long, which names its image will be refused unless it comes to the one
// that has them. Of an image that is there already it says nothing: that is refused at once.
func (b *baking) warnTaken(baker *bake.Baker, r *recipe.Recipe, lock *recipe.Lock, base *bake.Base, tags []bakeTag) error {
	var taken []string
	for _, t := range tags {
		old, err := b.catalog.Tagged(t.ref)
		switch {
		case errors.Is(err, store.ErrNotFound) || t.move:
		case err != nil:
			return err
		default:
			taken = append(taken, fmt.Sprintf("%s is the name of %s already", old.Ref, short(old.Image)))
		}
	}
	if taken == nil {
		return nil
	}
	if _, err := baker.Find(r, lock, base); !errors.Is(err, store.ErrNotFound) {
		return err
	}
	for _, what := range taken {
		b.env.warn("%s, and stays it if another image is baked now; --move moves it", what)
	}
	return nil
}

// fits refuses a lock that was made on another base than there is now.
func fits(r *recipe.Recipe, lock *recipe.Lock, base *bake.Base) error {
	switch {
	case base == nil && lock.Base == nil:
		return nil
	case base == nil || lock.Base == nil:
		return &bake.StaleLockError{Recipe: r.Path, Why: "the base is another"}
	case lock.Base.Digest != string(base.Digest):
		return &bake.StaleLockError{Recipe: r.Path, Why: fmt.Sprintf("%s is another image now (%s, was %s)", r.From.Base, base.Digest, lock.Base.Digest)}
	}
	return nil
}

// A bakeTag is one -t.
type bakeTag struct {
	ref  string
	move bool
}

// record makes the notes that put an image and its names into the catalogue, all or nothing. An image that has a record keeps
// it, unless it was made now. written is to be called when the notes are: until then nobody else changes names.
func (b *baking) record(ctx context.Context, r *recipe.Recipe, img *bake.Image, base *bake.Base, warnings []string, took time.Duration, tags []bakeTag) (notes *store.Batch, written func() error, err error) {
	notes = b.store.Batch()
	if img.Fresh || !b.catalog.Has(img.Manifest) {
		rec, err := b.newRecord(r, img, base, warnings, took)
		if err != nil {
			return nil, nil, err
		}
		if err := b.catalog.Add(notes, rec); err != nil {
			return nil, nil, err
		}
	}
	unlock, err := b.catalog.Lock(context.WithoutCancel(ctx), nil)
	if err != nil {
		return nil, nil, err
	}
	for _, t := range tags {
		if err := b.catalog.Tag(notes, t.ref, img.Manifest, t.move, b.env.who(), time.Now()); err != nil {
			return nil, nil, errors.Join(err, unlock())
		}
	}
	return notes, unlock, nil
}

func (b *baking) newRecord(r *recipe.Recipe, img *bake.Image, base *bake.Base, warnings []string, took time.Duration) (index.Record, error) {
	text, _, err := b.store.Put(strings.NewReader(string(r.Render())))
	if err != nil {
		return index.Record{}, err
	}
	lockText, err := os.Open(lockPath(r.Path))
	if err != nil {
		return index.Record{}, err
	}
	defer lockText.Close()
	lock, _, err := b.store.Put(lockText)
	if err != nil {
		return index.Record{}, err
	}
	now := time.Now().UTC().Truncate(time.Second)
	rec := index.Record{
		Image: img.Manifest, Config: img.Config, Name: r.Name, Arch: img.Arch, Baked: now, By: b.env.who(), Seconds: took.Seconds(),
		Program: programVersion(), Recipe: text, Lock: lock, File: r.Path, Owners: img.Owners,
		Owner: r.Owner, Expires: expires(r.Expires, now), Lifecycle: r.Lifecycle, State: r.State, Lint: warnings,
		Unconfigured: img.Unconfigured,
	}
	if base != nil {
		rec.Parent, rec.ParentAs = base.Digest, r.From.Base
	}
	for _, p := range img.Packages {
		q := index.Package{
			Name: p.Name, Version: p.Version, Arch: p.Arch, Source: p.Source, SourceVersion: p.SourceVersion,
			From: p.From, Path: p.Path, SHA256: p.SHA256, Asked: p.Asked,
		}
		if q.SourceVersion == "" {
			q.SourceVersion = q.Version
		}
		rec.Packages = append(rec.Packages, q)
	}
	for _, l := range img.Layers {
		rec.Layers = append(rec.Layers, index.Layer{DiffID: l.DiffID, Digest: l.Digest, Size: l.Size, Tree: l.Tree, Kind: l.Kind, Packages: l.Packages})
	}
	for _, p := range img.Places {
		rec.Places = append(rec.Places, index.Place(p))
	}
	for _, x := range img.Removed {
		rec.Removed = append(rec.Removed, index.Removed(x))
	}
	for _, c := range img.Cleaned {
		rec.Cleaned = append(rec.Cleaned, index.Cleaned{Path: c.Path, Why: c.Why, How: c.How})
	}
	return rec, nil
}

func expires(e recipe.Expiry, baked time.Time) time.Time {
	if e.After > 0 {
		return baked.Add(e.After)
	}
	return e.On
}
