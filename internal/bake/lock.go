package bake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"brickyard/internal/bake/apt"
	"brickyard/internal/bake/apt/control"
	"brickyard/internal/bake/apt/deb"
	"brickyard/internal/bake/apt/resolve"
	"brickyard/internal/bake/recipe"
	"brickyard/internal/store"
	"brickyard/internal/tree"

	"golang.org/x/sync/errgroup"
)

// A Locker resolves recipes. Its fields are set before use.
type Locker struct {
	Store    *store.Store
	Client   *apt.Client
	HostRoot string // where apt's configuration is read from: "/" but in tests
	Now      func() time.Time
	Progress func(stage string, total int64) (add func(n int64), done func())
}

// An Update says what a lock may change. The zero value keeps all that is locked.
type Update struct {
	All      bool
	Packages []string // these, and what must move with them
}

func (u Update) none() bool { return !u.All && len(u.Packages) == 0 }

// Lock resolves the recipe to exact inputs. An old lock, which may be nil, is kept as far as upd and the
// recipe let it be; when it answers the same request it is returned as it is, without looking at any
// archive. Why each package is there is noted in the store, for Why.
//
// Errors: those of packages apt and resolve; *StaleLockError never.
func (l *Locker) Lock(ctx context.Context, r *recipe.Recipe, base *Base, old *recipe.Lock, upd Update) (*recipe.Lock, error) {
	rootfs, err := rootfsSum(l.Store, r, l.Now())
	if err != nil {
		return nil, err
	}
	if old != nil && old.Request == r.Request() && upd.none() && sameBase(old, base) && old.Rootfs == rootfs {
		return old, nil
	}
	lock, err := newLock(r, base)
	if err != nil {
		return nil, err
	}
	lock.Rootfs = rootfs
	if err := l.lockURLs(ctx, r, lock, old, upd); err != nil {
		return nil, err
	}
	reasons, err := l.lockPackages(ctx, r, base, old, upd, lock)
	if err != nil {
		return nil, err
	}
	return lock, noteReasons(l.Store, lock, reasons)
}

// newLock is a lock without inputs.
func newLock(r *recipe.Recipe, base *Base) (*recipe.Lock, error) {
	lock := &recipe.Lock{Version: 1, Request: r.Request(), Arch: Arch(r, base), Epoch: time.Unix(0, 0).UTC()}
	if lock.Arch == "" {
		return nil, fmt.Errorf("%s: Debian has no name for this machine's architecture, %s: set from.arch", r.Path, runtime.GOARCH)
	}
	if base != nil {
		lock.Base = &recipe.LockedBase{Name: r.From.Base, Digest: string(base.Digest)}
		lock.Epoch = base.config.Created.UTC()
	}
	return lock, nil
}

func sameBase(old *recipe.Lock, base *Base) bool {
	if base == nil {
		return old.Base == nil
	}
	return old.Base != nil && old.Base.Digest == string(base.Digest)
}

// Arch is the architecture, in Debian's words, that a recipe bakes for.
func Arch(r *recipe.Recipe, base *Base) string {
	switch {
	case r.From.Arch != "":
		return r.From.Arch
	case base != nil:
		return DebianArch(base.Image.Arch)
	}
	return DebianArch(runtime.GOARCH)
}

// lockURLs fetches files from elsewhere: what they are now is what they must be from now on.
func (l *Locker) lockURLs(ctx context.Context, r *recipe.Recipe, lock, old *recipe.Lock, upd Update) error {
	for _, url := range r.URLs() {
		if old != nil && !upd.All && !slices.Contains(upd.Packages, url) {
			if i := slices.IndexFunc(old.URLs, func(u recipe.LockedURL) bool { return u.URL == url }); i >= 0 {
				lock.URLs = append(lock.URLs, old.URLs[i])
				continue
			}
		}
		dir, release, err := l.Store.TempDir("url")
		if err != nil {
			return err
		}
		got, err := l.Client.Download(ctx, apt.File{URLs: []string{url}, Dest: filepath.Join(dir, "file"), Size: -1, Elsewhere: true}, nil)
		if err == nil {
			err = l.Store.Adopt(filepath.Join(dir, "file"), tree.Digest("sha256:"+got.SHA256))
		}
		if err := errors.Join(err, release()); err != nil {
			return err
		}
		lock.URLs = append(lock.URLs, recipe.LockedURL{URL: url, Size: got.Size, SHA256: got.SHA256})
	}
	return nil
}

// lockPackages resolves the packages, puts them into the lock, and says why each is there.
func (l *Locker) lockPackages(ctx context.Context, r *recipe.Recipe, base *Base, old *recipe.Lock, upd Update, lock *recipe.Lock) (resolve.Reasons, error) {
	req := resolve.Request{Variant: resolve.None, Recommends: r.Recommends}
	if suiteOf(r.From) != "" {
		req.Variant = resolve.Variant(r.From.Variant)
		if req.Variant == "" {
			req.Variant = resolve.Essential
		}
	}
	if len(r.Packages) == 0 && req.Variant == resolve.None && base == nil {
		return nil, nil
	}
	u, err := l.universe(ctx, r, base, lock.Arch)
	if err != nil {
		return nil, err
	}
	for _, p := range r.Packages {
		if p.Exclude {
			req.Exclude = append(req.Exclude, p.Name)
		}
	}
	inBase, err := inherit(l.Store, u, base, &req)
	if err != nil {
		return nil, err
	}
	files := map[*apt.Package]bool{}
	for i, p := range r.Packages {
		switch {
		case p.Exclude: // see above
		case p.File != "":
			q, err := localDeb(u, r, p.File)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", r.Place(fmt.Sprintf("packages[%d]", i)), err)
			}
			if have := inBase[q.Of.Name]; have != nil && have.Version != q.Version {
				return nil, &baseVersionError{r.Place(fmt.Sprintf("packages[%d]", i)), q.Of.Name, have.Version, q.Version}
			}
			files[q] = true
			req.Ask = append(req.Ask, resolve.Ask{Package: q})
		case inBase[p.Name] != nil:
			if have := inBase[p.Name]; p.Version != "" && p.Version != have.Version {
				return nil, &baseVersionError{r.Place(fmt.Sprintf("packages[%d]", i)), p.Name, have.Version, p.Version}
			}
		default:
			req.Ask = append(req.Ask, resolve.Ask{Name: p.Name, Version: p.Version, Arch: p.Arch})
		}
	}
	for _, p := range r.Pins {
		req.Pins = append(req.Pins, resolve.Pin{Package: p.Package, Version: p.Version, Release: p.Release, Origin: p.Origin, Priority: p.Priority})
	}
	if old != nil && !upd.All {
		for _, p := range old.Packages {
			req.Locked = append(req.Locked, resolve.Locked{Name: p.Name, Version: p.Version, SHA256: p.SHA256})
		}
		req.Update = upd.Packages
	}
	result, err := resolve.Resolve(u, req)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.Path, err)
	}
	return fill(lock, result, u, r, base), nil
}

func suiteOf(f recipe.From) string { return f.Debian + f.Ubuntu }

// packagesOf maps name=version to the packages of a base, which may be nil.
func packagesOf(base *Base) map[string]recipe.LockedDeb {
	all := map[string]recipe.LockedDeb{}
	if base != nil {
		for _, p := range base.Image.Packages {
			all[p.Name+"="+p.Version] = p
		}
	}
	return all
}

// fill writes the answer into the lock, and says why each package is there.
func fill(lock *recipe.Lock, result *resolve.Result, u *apt.Universe, r *recipe.Recipe, base *Base) resolve.Reasons {
	reasons := result.Reasons()
	parent := packagesOf(base)
	used := map[string]bool{}
	for _, c := range result.Packages {
		if p, ok := parent[c.Name+"="+c.Version]; ok && p.SHA256 == c.SHA256 { // as it is there, whatever archives say
			p.Asked = slices.ContainsFunc(r.Packages, func(q recipe.Package) bool { return q.Name == p.Name && !q.Exclude })
			reasons[c.Name] = resolve.Reason{Package: c.String(), Root: "in the base image"}
			lock.Packages = append(lock.Packages, p)
			continue
		}
		p := recipe.LockedDeb{
			Name: c.Name, Version: c.Version, Arch: c.Arch, Size: c.Size, SHA256: c.SHA256, Source: c.Source,
			From: c.SourceID(), Path: c.Filename, Essential: c.Essential, Asked: c.Asked,
		}
		if c.SourceVersion != c.Version {
			p.SourceVersion = c.SourceVersion
		}
		used[p.From] = true
		lock.Packages = append(lock.Packages, p)
	}
	for _, rel := range u.Releases {
		if !used[rel.Source.ID] {
			continue
		}
		if rel.Date.After(lock.Epoch) {
			lock.Epoch = rel.Date.UTC()
		}
		lock.Sources = append(lock.Sources, recipe.LockedFrom{
			ID: rel.Source.ID, Origin: rel.Origin, Suite: rel.Source.Suite, Components: rel.Source.Components,
			Date: rel.Date.UTC(), SHA256: rel.SHA256, SignedBy: rel.SignedBy,
		})
	}
	if base != nil {
		lock.Sources = mergeSources(lock.Sources, base.Image.Sources, lock.Packages)
	}
	return reasons
}

// mergeSources adds the sources that the parent's packages came from.
func mergeSources(have, parent []recipe.LockedFrom, pkgs []recipe.LockedDeb) []recipe.LockedFrom {
	for _, s := range parent {
		known := slices.ContainsFunc(have, func(h recipe.LockedFrom) bool { return h.ID == s.ID })
		if !known && slices.ContainsFunc(pkgs, func(p recipe.LockedDeb) bool { return p.From == s.ID }) {
			have = append(have, s)
		}
	}
	return have
}

// universe loads all that packages can be chosen from.
func (l *Locker) universe(ctx context.Context, r *recipe.Recipe, base *Base, arch string) (*apt.Universe, error) {
	sources, err := Sources(r, base, l.HostRoot)
	if err != nil {
		return nil, err
	}
	add, done := l.Progress("read archives", 0)
	defer done()
	loader := apt.Loader{
		Client: l.Client, Cache: filepath.Join(l.Store.Dir(), "indexes"), Arch: arch, Now: l.Now,
		OnFile: func(_ string, n int64) { add(n) },
	}
	return loader.Load(ctx, sources)
}

// Sources lists the archives that a recipe, or the one its base was made from, takes packages from.
func Sources(r *recipe.Recipe, base *Base, hostRoot string) ([]apt.Source, error) {
	from, dir := r.From, r.Dir
	if base != nil {
		from, dir = base.Image.From, ""
	}
	var sources []apt.Source
	if suiteOf(from) != "" {
		host, err := apt.HostSources(hostRoot)
		if err != nil {
			return nil, err
		}
		keys, err := readKeys(dir, from.Keys)
		if err != nil {
			return nil, err
		}
		distro := "debian"
		if from.Ubuntu != "" {
			distro = "ubuntu"
		}
		sources, err = host.Select(apt.Want{
			Distro: distro, Suite: suiteOf(from), Mirror: from.Mirror, Suites: from.Suites, Components: from.Components, Keys: keys,
		})
		if err != nil {
			return nil, err
		}
	}
	for _, a := range r.Archives {
		keys, err := readKeys(r.Dir, a.Keys)
		if err != nil {
			return nil, err
		}
		s, err := apt.NewSource(a.Name, a.URI, a.Suite, a.Components, keys)
		if err != nil {
			return nil, err
		}
		sources = append(sources, s)
	}
	return sources, nil
}

func readKeys(dir string, paths []string) (apt.Keyring, error) {
	var ring apt.Keyring
	for _, p := range paths {
		data, err := os.ReadFile(filepath.Join(dir, p))
		if err != nil {
			return ring, err
		}
		k, err := apt.ReadKeys(p, data)
		if err != nil {
			return ring, err
		}
		ring = ring.Merge(k)
	}
	return ring, nil
}

// A baseVersionError means that a recipe asks for another version of a package than its base has.
type baseVersionError struct{ place, name, have, want string }

func (e *baseVersionError) Error() string {
	return fmt.Sprintf("%s: %s %s: the base has %s, and an image does not change what its base has", e.place, e.name, e.want, e.have)
}

// Hint says what to do.
func (e *baseVersionError) Hint() string {
	return "lock the base with --update " + e.name + " and bake it again; or leave the package out here"
}

// inherit asks for every package of the base, as the base's dpkg knows it: they are installed, whatever
// archives have today; but not for what the recipe takes out. It returns them by name.
func inherit(s *store.Store, u *apt.Universe, base *Base, req *resolve.Request) (map[string]*apt.Package, error) {
	if base == nil {
		return nil, nil
	}
	e, ok := base.root["var/lib/dpkg/status"]
	if !ok {
		return nil, nil
	}
	f, err := s.OpenFile(e)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	locked := packagesOf(base)
	inBase := map[string]*apt.Package{}
	rd := control.NewReader(f)
	for {
		st, err := rd.Next()
		if err == io.EOF {
			return inBase, nil
		}
		if err != nil {
			return nil, fmt.Errorf("base image: var/lib/dpkg/status: %w", err)
		}
		p, ok := locked[st.Get("Package")+"="+st.Get("Version")]
		if !ok {
			continue
		}
		q, err := u.AddFile(st, p.Path, p.Size, p.SHA256)
		if err != nil {
			return nil, err
		}
		inBase[p.Name] = q
		if !slices.Contains(req.Exclude, p.Name) {
			req.Ask = append(req.Ask, resolve.Ask{Package: q, InBase: true})
		}
	}
}

// localDeb makes a .deb beside the recipe known.
func localDeb(u *apt.Universe, r *recipe.Recipe, file string) (*apt.Package, error) {
	data, err := os.ReadFile(filepath.Join(r.Dir, file))
	if err != nil {
		return nil, err
	}
	d, err := deb.Open(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	c, err := d.Control()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	st, err := control.NewReader(bytes.NewReader(c.Paragraph)).Next()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return u.AddFile(st, file, int64(len(data)), store.Sum(data).Hex())
}

// A Fetcher brings the files that a lock names into the store.
type Fetcher struct {
	Store    *store.Store
	Client   *apt.Client
	Recipe   *recipe.Recipe
	Base     *Base
	HostRoot string
	Offline  bool
	Progress func(stage string, total int64) (add func(n int64), done func())
}

// parallelFetch is how many files are under way at once: enough to hide the time to the first byte
// of a mirror, not so many that it minds.
const parallelFetch = 6

// A MissingError means that a bake without network needs files that the store does not have.
type MissingError struct{ Names []string }

func (e *MissingError) Error() string {
	n := len(e.Names)
	if n > 5 {
		return fmt.Sprintf("offline: %d files are not in the store: %s and %d more", n, strings.Join(e.Names[:5], ", "), n-5)
	}
	return "offline: not in the store: " + strings.Join(e.Names, ", ")
}

// Hint says what to do.
func (e *MissingError) Hint() string { return "bake once without --offline, on this machine" }

// Fetch brings what is neither in the base nor in the store yet, several files at a time, each verified by the
// lock's sha256.
func (f *Fetcher) Fetch(ctx context.Context, debs []recipe.LockedDeb, urls []recipe.LockedURL) error {
	var need []fetch
	var total int64
	sources, err := []apt.Source(nil), error(nil)
	for _, p := range notInBase(debs, f.Base) {
		if hasDeb(f.Store, p) {
			continue
		}
		if sources == nil && !f.Offline {
			if sources, err = Sources(f.Recipe, f.Base, f.HostRoot); err != nil {
				return err
			}
		}
		ft := fetch{name: p.Name + " " + p.Version, sha256: p.SHA256, size: p.Size}
		if p.From == apt.Local {
			ft.file = filepath.Join(f.Recipe.Dir, p.Path)
		} else {
			ft.urls = apt.URLs(sources, p.From, p.Path)
		}
		need, total = append(need, ft), total+p.Size
	}
	for _, u := range urls {
		if size, err := f.Store.Size(tree.Digest("sha256:" + u.SHA256)); err == nil && size == u.Size {
			continue
		}
		need, total = append(need, fetch{name: u.URL, sha256: u.SHA256, size: u.Size, urls: []string{u.URL}, elsewhere: true}), total+u.Size
	}
	if err != nil || len(need) == 0 {
		return err
	}
	return f.all(ctx, need, total)
}

// A fetch is one file to bring.
type fetch struct {
	name, sha256 string
	size         int64
	urls         []string
	elsewhere    bool   // no part of an archive
	file         string // on this machine, instead of urls
}

func (f *Fetcher) all(ctx context.Context, need []fetch, total int64) error {
	if f.Offline {
		var names []string
		for _, n := range need {
			if n.file == "" {
				names = append(names, n.name)
			}
		}
		if names != nil {
			return &MissingError{Names: names}
		}
	}
	add, done := f.Progress("fetch", total)
	defer done()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallelFetch)
	for _, n := range need {
		g.Go(func() error { return f.one(ctx, n, add) })
	}
	return g.Wait()
}

func (f *Fetcher) one(ctx context.Context, n fetch, add func(int64)) error {
	d := tree.Digest("sha256:" + n.sha256)
	if n.file != "" {
		in, err := os.Open(n.file)
		if err != nil {
			return err
		}
		defer in.Close()
		if err := f.Store.PutExpect(d, in); err != nil {
			return fmt.Errorf("%s: %w", n.file, err)
		}
		add(n.size)
		return nil
	}
	// Two bakes may want the same file: one fetches, the other finds.
	unlock, err := f.Store.Lock(ctx, "fetch-"+n.sha256, nil)
	if err != nil {
		return err
	}
	defer unlock()
	if size, err := f.Store.Size(d); err == nil && size == n.size {
		add(n.size)
		return nil
	}
	if len(n.urls) == 0 {
		return fmt.Errorf("%s: nothing names the archive that the lock has it from", n.name)
	}
	var mu sync.Mutex
	var seen int64
	dest := f.Store.Partial(n.sha256)
	_, err = f.Client.Download(ctx, apt.File{URLs: n.urls, Dest: dest, Size: n.size, SHA256: n.sha256, Elsewhere: n.elsewhere}, func(have int64) {
		mu.Lock()
		defer mu.Unlock()
		add(have - seen)
		seen = have
	})
	if err != nil && !slices.Contains(n.urls, n.name) { // the error has the address
		err = fmt.Errorf("%s: %w", n.name, err)
	}
	if err != nil {
		return err
	}
	return f.Store.Adopt(dest, d)
}
