// Package rootfs makes a root file system out of packages: it unpacks them into the store, puts their
// files together as dpkg would, runs their maintainer scripts and the recipe's steps for real, in a
// sandbox, and takes away what differs from run to run.
//
// A root is a tree.Tree all the while; directories are made only for programs to run in. Packages are
// put in and configured in stages (see stages); what a stage comes to is kept in the store, under a
// name made of all that went in, so that recipes with the same base pay for it once.
package rootfs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"

	"brickyard/internal/store"
	"brickyard/internal/tree"

	"golang.org/x/sync/errgroup"
)

// format goes up when the same packages would come to another root.
const format = "6"

// A Builder makes root file systems. Its exported fields are set before use and not changed. Close it.
type Builder struct {
	Store    *store.Store
	Note     func(kind, key string, v any) error // remembers what was made; may be called from any goroutine
	Epoch    int64                               // SOURCE_DATE_EPOCH: the time of all that is made here
	Arch     string                              // Debian's name
	Scripts  bool                                // run maintainer scripts, where there is a dpkg
	Merge    bool                                // make /bin, /lib and /sbin links into /usr, when starting from nothing
	Slim     Slim
	Out      io.Writer        // what programs of the image print
	Keep     string           // directory that takes the root in which a program failed; "" for none
	OnUnpack func(p *Package) // called as each package has been unpacked, from any goroutine
	// Progress shows how far something is, of total: add counts, done ends it.
	Progress func(name string, total int64) (add func(n int64), done func())
	// OnPlaced is called when the layers of a stage's packages are final, before their scripts run.
	OnPlaced func(placed []Placed)

	bench *bench // nil until a program runs
}

// Placed is what one package brings into the root, at the paths where it came to lie.
type Placed struct {
	Package *Package
	Tree    tree.Tree // with parent directories, so that it can be a layer
}

// A Result is a root made of packages.
type Result struct {
	Root    tree.Tree
	Placed  []Placed          // in the order in which they were put in
	Owners  map[string]string // path of a file → Key of the package that it came from
	Cleaned []Cleaned
	// Unconfigured lists packages whose maintainer scripts did not run, since the root has no dpkg.
	Unconfigured []string
}

// A FailedError wraps the error of a program of the image with the way to look around.
type FailedError struct {
	Kept string // directory with the root as it was, or ""
	Err  error
}

func (e *FailedError) Error() string { return e.Err.Error() }
func (e *FailedError) Unwrap() error { return e.Err }

// Hint says how to look around.
func (e *FailedError) Hint() string {
	if e.Kept == "" {
		return "bake with --keep to keep the root file system as the program left it"
	}
	return "the root file system as it was is in " + e.Kept + "; look around with: chroot " + e.Kept + " /bin/sh"
}

// Unpack unpacks all packages, those of the Essential set first, on as many cores as there are. essential is
// called when all of the set are unpacked, and not at all when one can't be.
func (b *Builder) Unpack(ctx context.Context, pkgs []*Package, essential func()) error {
	sorted := slices.Clone(pkgs)
	slices.SortStableFunc(sorted, func(a, c *Package) int { return rank(a) - rank(c) })
	var left atomic.Int64
	for _, p := range pkgs {
		if p.Essential {
			left.Add(1)
		}
	}
	if left.Load() == 0 {
		essential()
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, p := range sorted {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := Unpack(ctx, b.Store, p, b.Slim, b.Note); err != nil {
				return err
			}
			b.OnUnpack(p)
			if p.Essential && left.Add(-1) == 0 {
				essential()
			}
			return nil
		})
	}
	return g.Wait()
}

func rank(p *Package) int {
	if p.Essential {
		return 0
	}
	return 1
}

// Packages takes the packages named gone out of base, puts pkgs, unpacked or being unpacked, on top of it, and configures
// them. ready is closed for the Essential set, and all when every package is unpacked; base may be nil.
func (b *Builder) Packages(ctx context.Context, base tree.Tree, gone []string, pkgs []*Package, ready, all <-chan struct{}) (*Result, error) {
	r := newRoot(base)
	if base == nil && b.Merge {
		r.mergeUsr(b.Arch, b.Epoch)
	}
	if err := b.readDatabase(r); err != nil {
		return nil, err
	}
	key := sha256.New()
	fmt.Fprintf(key, "%s %d %s %v %v %s\n", format, b.Epoch, b.Arch, b.Merge, b.Scripts, b.Slim)
	if base != nil {
		fmt.Fprintf(key, "base %s\n", store.Sum(base.Encode()))
	}
	res := &Result{}
	if len(gone) > 0 {
		if err := b.purge(ctx, r, gone, res); err != nil {
			return nil, err
		}
		if err := b.readDatabase(r); err != nil {
			return nil, err
		}
		fmt.Fprintf(key, "gone %q\n", gone)
	}
	var essential []*Package
	for _, p := range pkgs {
		if p.Essential {
			essential = append(essential, p)
		}
	}
	if err := wait(ctx, ready); err != nil {
		return nil, err
	}
	if len(essential) > 0 {
		if err := b.stage(ctx, r, essential, key, res); err != nil {
			return nil, err
		}
	}
	if err := wait(ctx, all); err != nil {
		return nil, err
	}
	installed, err := b.installed(r)
	if err != nil {
		return nil, err
	}
	if err := closed(pkgs, installed); err != nil {
		return nil, err
	}
	for _, st := range stages(pkgs) {
		if st[0].Essential {
			continue
		}
		if err := b.stage(ctx, r, st, key, res); err != nil {
			return nil, err
		}
	}
	dropEmpty(r.Tree, b.Slim)
	res.Root, res.Owners = r.Tree, r.owners
	return res, nil
}

// runs says whether maintainer scripts are to run, and can.
func (b *Builder) runs(r *Root) bool {
	_, ok := r.Tree["usr/bin/dpkg"]
	return ok && b.Scripts
}

func wait(ctx context.Context, c <-chan struct{}) error {
	select {
	case <-c:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

func newRoot(base tree.Tree) *Root {
	r := &Root{
		Tree: tree.Tree{}, owners: map[string]string{}, placed: map[string]tree.Tree{}, members: map[string]*member{},
	}
	if base != nil {
		r.Tree = base.Clone()
	}
	return r
}

// staged is the note of what a stage comes to.
type staged struct {
	Before  tree.Digest `json:"before,omitempty"` // layer: what preinst scripts did before anything was put in
	After   tree.Digest `json:"after"`            // the root, all configured and cleaned
	Cleaned []Cleaned   `json:"cleaned,omitempty"`
}

// stage puts pkgs into r and configures them. key grows by what goes in.
func (b *Builder) stage(ctx context.Context, r *Root, pkgs []*Package, key hash.Hash, res *Result) error {
	pkgs = order(pkgs)
	for _, p := range pkgs {
		fmt.Fprintf(key, "%s %s\n", p.Key(), p.Digest)
	}
	fmt.Fprintln(key, "stage")
	name := hex.EncodeToString(key.Sum(nil))
	var known staged
	var after tree.Tree
	err := b.Store.Cached("stage", name, &known)
	if err == nil {
		after, err = b.Store.Tree(known.After)
	}
	if err == nil {
		err = b.Store.HasFiles(after)
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrDigest) {
		return err
	}
	hit := err == nil
	before := r.Tree.Clone()
	// Before anything is put in, preinst scripts run, when there is a shell to run them.
	shell := b.runs(r)
	if err := b.before(ctx, r, pkgs, hit, shell, &known); err != nil {
		return err
	}
	placed, err := b.put(r, pkgs)
	if err != nil {
		return err
	}
	b.OnPlaced(placed)
	res.Placed = append(res.Placed, placed...)
	if hit {
		r.Tree = after
		res.Cleaned = append(res.Cleaned, known.Cleaned...)
		return nil
	}
	if !b.runs(r) {
		return b.unconfigured(r, pkgs, res)
	}
	if err := b.configure(ctx, r, pkgs, shell); err != nil {
		return err
	}
	if known.Cleaned, err = b.clean(r, before); err != nil {
		return err
	}
	res.Cleaned = append(res.Cleaned, known.Cleaned...)
	if known.After, err = b.Store.PutTree(r.Tree); err != nil {
		return err
	}
	return b.Note("stage", name, known)
}

// before runs the preinst scripts of a later stage on the root as it is, as dpkg does before it unpacks
// a package; they may divert files that the package is about to bring.
func (b *Builder) before(ctx context.Context, r *Root, pkgs []*Package, hit, shell bool, known *staged) error {
	if hit {
		if known.Before == "" {
			return b.readDiversions(r)
		}
		layer, err := b.Store.Tree(known.Before)
		if err != nil {
			return err
		}
		r.Tree.Apply(layer)
		return b.readDiversions(r)
	}
	if shell && slices.ContainsFunc(pkgs, func(p *Package) bool { return p.HasScript("preinst") }) {
		old := r.Tree.Clone()
		if err := b.preinst(ctx, r, pkgs); err != nil {
			return err
		}
		layer := tree.Diff(old, r.Tree)
		var err error
		if known.Before, err = b.Store.PutTree(layer); err != nil {
			return err
		}
	}
	return b.readDiversions(r)
}

// put places packages and dpkg's knowledge of them.
func (b *Builder) put(r *Root, pkgs []*Package) ([]Placed, error) {
	for _, p := range pkgs {
		if err := r.place(p); err != nil {
			return nil, err
		}
	}
	state := "unpacked"
	if !b.runs(r) {
		state = "installed"
	}
	if err := b.writeDatabase(r, pkgs, state); err != nil {
		return nil, err
	}
	if err := b.masters(r); err != nil {
		return nil, err
	}
	var out []Placed
	for _, p := range pkgs {
		t := r.placed[p.Key()]
		dropEmpty(t, b.Slim)
		t.WithParents(defaultDirs(t, p.MTime))
		out = append(out, Placed{Package: p, Tree: t})
	}
	return out, nil
}

// dropEmpty takes away directories that slim has emptied. While scripts run they are there: some fail when, say,
// a directory for manual pages is not.
func dropEmpty(t tree.Tree, slim Slim) {
	children := map[string]int{}
	for p := range t {
		children[tree.Parent(p)]++
	}
	for _, p := range slices.Backward(t.Paths()) {
		if _, ok := slim.Match(p); ok && t[p].Type == tree.Dir && children[p] == 0 {
			delete(t, p)
			children[tree.Parent(p)]--
		}
	}
}

// defaultDirs is a tree of plain directories for all that is above the entries of t.
func defaultDirs(t tree.Tree, mtime int64) tree.Tree {
	dirs := tree.Tree{}
	for p := range t {
		for p = tree.Parent(p); p != "."; p = tree.Parent(p) {
			dirs[p] = tree.Entry{Type: tree.Dir, Mode: 0o755, MTime: mtime}
		}
	}
	return dirs
}

// masters makes passwd and group from base-passwd's master copies, before its own script can: scripts
// that are configured earlier name users.
func (b *Builder) masters(r *Root) error {
	for _, name := range []string{"passwd", "group"} {
		master, ok := r.Tree["usr/share/base-passwd/"+name+".master"]
		if _, there := r.Tree["etc/"+name]; there || !ok {
			continue
		}
		data, err := b.content(master)
		if err != nil {
			return err
		}
		if err := b.set(r, "etc/"+name, data); err != nil {
			return err
		}
	}
	return nil
}

// unconfigured notes the packages whose scripts have nothing to run them.
func (b *Builder) unconfigured(r *Root, pkgs []*Package, res *Result) error {
	for _, p := range pkgs {
		if p.HasScript("preinst", "postinst") {
			res.Unconfigured = append(res.Unconfigured, p.Name)
		}
	}
	return nil
}

// preinst runs preinst scripts before their packages are put in.
func (b *Builder) preinst(ctx context.Context, r *Root, pkgs []*Package) error {
	return b.in(ctx, r, nil, b.Out, func(work string) ([]Step, error) { return preinstSteps(work, pkgs) })
}

// preinstSteps are the preinst scripts of pkgs. dpkg has a package's control files in tmp.ci while its own runs;
// here they are made below work.
func preinstSteps(work string, pkgs []*Package) ([]Step, error) {
	var steps []Step
	ci := "/" + dpkgDir + "/tmp.ci"
	for i, p := range pkgs {
		if !p.HasScript("preinst") {
			continue
		}
		dir := filepath.Join(work, "ci", fmt.Sprint(i))
		if err := writeControl(dir, p); err != nil {
			return nil, err
		}
		steps = append(steps, Step{
			Name: "package " + p.Name + ": preinst", Argv: []string{ci + "/preinst", "install"},
			Env: scriptEnv(p, "preinst"), Binds: map[string]string{dir: ci},
		})
	}
	return steps, nil
}

func writeControl(dir string, p *Package) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, f := range p.Files {
		if err := os.WriteFile(filepath.Join(dir, name), f.Data, os.FileMode(f.Mode)|0o400); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, "control"), []byte(p.Paragraph), 0o644)
}

// scriptEnv is what dpkg tells a maintainer script (dpkg(1), "Maintainer script environment").
func scriptEnv(p *Package, script string) []string {
	return []string{
		"DPKG_MAINTSCRIPT_PACKAGE=" + p.Name, "DPKG_MAINTSCRIPT_PACKAGE_REFCOUNT=1", "DPKG_MAINTSCRIPT_ARCH=" + p.Arch,
		"DPKG_MAINTSCRIPT_NAME=" + script, "DPKG_RUNNING_VERSION=1.21", "DPKG_ADMINDIR=/" + dpkgDir, "DPKG_ROOT=",
	}
}

// configure lets the image's own dpkg configure what is unpacked. In the first stage there was no shell
// to run preinst scripts with before: they run now.
func (b *Builder) configure(ctx context.Context, r *Root, pkgs []*Package, shell bool) error {
	add, done := b.Progress("configure", int64(len(pkgs)))
	defer done()
	out := &lineWriter{w: b.Out, prefix: "Setting up ", found: func() { add(1) }}
	return b.in(ctx, r, nil, out, func(work string) (steps []Step, err error) {
		if !shell {
			if steps, err = preinstSteps(work, pkgs); err != nil {
				return nil, err
			}
		}
		return append(steps, Step{
			Name: "dpkg --configure",
			Argv: []string{"dpkg", "--force-unsafe-io", "--force-confold", "--force-depends", "--configure", "-a"},
		}), nil
	})
}

// A Base is a root with the digest of its text form, under which the store keeps it assembled for the next bake.
type Base struct {
	Tree   tree.Tree
	Digest tree.Digest
}

// A lineWriter passes on what it is given, and calls found for each line that starts with prefix.
type lineWriter struct {
	w      io.Writer
	prefix string
	found  func()
	start  []byte // of this line, up to as much as prefix
	rest   bool   // of this line, which does not matter
}

func (l *lineWriter) Write(p []byte) (int, error) {
	for _, c := range p {
		switch {
		case c == '\n':
			l.start, l.rest = l.start[:0], false
		case !l.rest:
			l.start = append(l.start, c)
			if l.rest = len(l.start) == len(l.prefix); l.rest && string(l.start) == l.prefix {
				l.found()
			}
		}
	}
	return l.w.Write(p)
}

// Steps runs the recipe's steps on root, which is base with what the recipe adds, and returns what it comes to.
func (b *Builder) Steps(ctx context.Context, base Base, root tree.Tree, steps []Step) (tree.Tree, []Cleaned, error) {
	r := newRoot(root)
	if err := b.in(ctx, r, &base, b.Out, func(string) ([]Step, error) { return steps, nil }); err != nil {
		return nil, nil, err
	}
	cleaned, err := b.clean(r, root)
	return r.Tree, cleaned, err
}

// A bench is a directory that holds a root for programs to run in. It goes from one stage to the next by
// what differs: making directories is the dearest part of it.
type bench struct {
	work    string // all is below here
	release func() error
	tree    tree.Tree   // what work/lower holds
	base    tree.Digest // of tree, when it is to be kept
	runs    int
}

// lower is the directory of the bench that holds its tree.
func (n *bench) lower() string { return filepath.Join(n.work, "lower") }

// lay returns a sandbox on t. Where t is base and something more, that is laid over base as the store has it; else the
// bench is made to hold all of t. base may be nil.
func (b *Builder) lay(t tree.Tree, base *Base) (sb Sandbox, err error) {
	if b.bench == nil {
		work, release, err := b.Store.TempDir("bake")
		if err != nil {
			return sb, err
		}
		b.bench = &bench{work: work, release: release, tree: tree.Tree{}}
		if err := os.Mkdir(b.bench.lower(), 0o755); err != nil {
			return sb, err
		}
	}
	n := b.bench
	n.runs++
	numbered := func(name string) string { return filepath.Join(n.work, fmt.Sprint(name, n.runs)) }
	sb = Sandbox{Upper: numbered("upper"), Work: numbered("work"), Mount: numbered("root"), Epoch: b.Epoch}
	for _, d := range []string{sb.Upper, sb.Work, sb.Mount} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return sb, err
		}
	}
	if more, ok := additions(t, base); ok {
		sb.Lowers, err = b.layOver(*base, more, numbered("more"))
	} else {
		sb.Lowers, err = []string{n.lower()}, b.change(t)
	}
	if err != nil {
		return sb, err
	}
	return sb, matchRoot(sb)
}

// change makes the bench hold t.
func (b *Builder) change(t tree.Tree) error {
	n := b.bench
	if err := b.Store.Change(n.lower(), n.tree, t); err != nil {
		return err
	}
	n.tree, n.base = t.Clone(), ""
	return nil
}

// additions is what t has over base, if it lacks nothing that base has.
func additions(t tree.Tree, base *Base) (more tree.Tree, ok bool) {
	if base == nil {
		return nil, false
	}
	more = tree.Diff(base.Tree, t)
	for _, e := range more {
		if e.Type == tree.Whiteout {
			return nil, false
		}
	}
	more.WithParents(t)
	return more, true
}

// layOver puts more into the directory at, and base, if the store does not have it, on the bench.
func (b *Builder) layOver(base Base, more tree.Tree, at string) (lowers []string, err error) {
	dir, ok := b.Store.FindRoot(base.Digest)
	if !ok {
		if err := b.change(base.Tree); err != nil {
			return nil, err
		}
		dir, b.bench.base = b.bench.lower(), base.Digest
	}
	if err := os.Mkdir(at, 0o755); err != nil {
		return nil, err
	}
	return []string{at, dir}, b.Store.Assemble(more, at)
}

// Settle leaves the base of Steps assembled in the store, for the next bake. All in the store must be on disk.
func (b *Builder) Settle() error {
	if b.bench == nil || b.bench.base == "" {
		return nil
	}
	_, err := b.Store.AdoptRoot(b.bench.lower(), b.bench.base)
	return err
}

// Close takes away what the Builder has on disk beside the store's blobs and files.
func (b *Builder) Close() error {
	if b.bench == nil {
		return nil
	}
	defer func() { b.bench = nil }()
	return b.bench.release()
}

// in runs steps on the root, in a sandbox, and takes what they did into the root. prepare is given a
// directory for files that the steps need. base is nil, or as for lay.
func (b *Builder) in(ctx context.Context, r *Root, base *Base, out io.Writer, prepare func(dir string) ([]Step, error)) error {
	files, release, err := b.Store.TempDir("steps")
	if err != nil {
		return err
	}
	defer release()
	steps, err := prepare(files)
	if err != nil {
		return err
	}
	lower := r.Tree.Clone()
	if err := b.addHelpers(lower, len(steps) > 0 && steps[0].Binds != nil); err != nil {
		return err
	}
	sb, err := b.lay(lower, base)
	if err != nil {
		return err
	}
	if err := sb.Run(ctx, steps, out); err != nil {
		return b.failed(sb, lower, err)
	}
	layer, err := b.importUpper(sb.Upper, lower)
	if err != nil {
		return err
	}
	if err := errors.Join(b.dateShadow(lower, layer), b.dateKeystore(layer)); err != nil {
		return err
	}
	lower.Apply(layer)
	maps.DeleteFunc(lower, func(p string, e tree.Entry) bool { _, ours := r.Tree[p]; return !ours && isHelper(p) })
	r.Tree = lower
	return nil
}

// matchRoot gives the upper directory the owner and mode of the root that it stands for.
func matchRoot(sb Sandbox) error {
	fi, err := os.Lstat(sb.Lowers[len(sb.Lowers)-1])
	if err != nil {
		return err
	}
	return os.Chmod(sb.Upper, fi.Mode().Perm())
}

// policy answers invoke-rc.d(8) that nothing may be started while an image is baked.
const policy = "#!/bin/sh\nexit 101\n"

// helpers are files that are there only while programs of the image run, when nothing is in their place.
const policyFile, ciDir = "usr/sbin/policy-rc.d", dpkgDir + "/tmp.ci"

// mountDirs are where the sandbox mounts what every program may count on. An image need not have them.
var mountDirs = []string{"dev", "proc"}

func isHelper(p string) bool { return p == policyFile || p == ciDir || slices.Contains(mountDirs, p) }

func (b *Builder) addHelpers(t tree.Tree, ci bool) error {
	for _, p := range mountDirs {
		if _, ok := t[p]; !ok {
			t[p] = tree.Entry{Type: tree.Dir, Mode: 0o755, MTime: b.Epoch}
		}
	}
	if _, ok := t["usr/sbin"]; ok {
		if _, ok := t[policyFile]; !ok {
			e := tree.Entry{Type: tree.Regular, Mode: 0o755, MTime: b.Epoch, Size: int64(len(policy))}
			if err := b.Store.AddFile(&e, strings.NewReader(policy), nil); err != nil {
				return err
			}
			t[policyFile] = e
		}
	}
	if ci {
		t[ciDir] = tree.Entry{Type: tree.Dir, Mode: 0o755, MTime: b.Epoch}
	}
	return nil
}

// failed keeps the root in which a program failed, when that is wanted.
func (b *Builder) failed(sb Sandbox, lower tree.Tree, err error) error {
	if _, ok := errors.AsType[*StepError](err); !ok {
		return err
	}
	if b.Keep == "" {
		return &FailedError{Err: err}
	}
	layer, ierr := b.importUpper(sb.Upper, lower)
	if ierr != nil {
		return errors.Join(err, ierr)
	}
	lower.Apply(layer)
	if kerr := errors.Join(os.MkdirAll(b.Keep, 0o755), b.Store.Copy(lower, b.Keep)); kerr != nil {
		return errors.Join(err, kerr)
	}
	return &FailedError{Kept: b.Keep, Err: err}
}

// maxID is the largest user and group id in an image: that of a user namespace with the usual 65,536.
const maxID = 65535

// importUpper takes what programs changed into the store and returns it as a layer over lower. Files get
// the time of the epoch, unless they are as they were: the clock of the machine that bakes must not show.
func (b *Builder) importUpper(dir string, lower tree.Tree) (tree.Tree, error) {
	layer := tree.Tree{}
	var buf bytes.Buffer
	err := tree.Scan(dir, func(p string, e *tree.Entry) error {
		old, was := lower[p]
		if e.Type == tree.Regular && e.Hard == "" {
			if err := b.importFile(filepath.Join(dir, p), e, old, was, &buf); err != nil {
				return err
			}
		}
		if e.Hard != "" {
			first := layer[e.Hard]
			e.Digest, e.MTime = first.Digest, first.MTime
		}
		if e.Type == tree.Whiteout {
			layer[p] = *e
			return nil
		}
		if e.UID > maxID || e.GID > maxID {
			return fmt.Errorf("/%s: a script gave it to %d:%d; ids go up to %d, as many as an ordinary user who bakes has", p, e.UID, e.GID, maxID)
		}
		if e.Type != tree.Regular {
			e.MTime = b.Epoch
		}
		if was && e.Equal(old) {
			e.MTime = old.MTime
		}
		layer[p] = *e
		return nil
	})
	return layer, err
}

func (b *Builder) importFile(p string, e *tree.Entry, old tree.Entry, was bool, buf *bytes.Buffer) error {
	f, err := os.Open(p)
	if err != nil {
		return err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return err
	}
	e.Digest = tree.Digest("sha256:" + hex.EncodeToString(sum.Sum(nil)))
	if was && e.Equal(old) {
		e.MTime = old.MTime
		return nil
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	e.MTime = b.Epoch
	return b.Store.AddFile(e, f, buf)
}

// content reads a regular file of the store.
func (b *Builder) content(e tree.Entry) ([]byte, error) {
	f, err := b.Store.OpenFile(e)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}
