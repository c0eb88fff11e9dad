package rootfs

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"brickyard/internal/bake/apt/control"
	"brickyard/internal/tree"
)

// A Root is a file system as packages are put into it, with what dpkg would know of it.
type Root struct {
	Tree    tree.Tree
	owners  map[string]string    // path of a file → package key, or "" when no package put it there
	placed  map[string]tree.Tree // package key → the part of the tree that its layer holds
	members map[string]*member   // package key → what dpkg knows of it; those of the base too
	divert  map[string]diversion // path → where other packages' files of that path go
}

// A member is a package of a root.
type member struct {
	name, version string
	replaces      []control.Clause
	list          []string // dpkg's list, without what others took over
	listed        bool     // the list is in the tree: what is taken from it later must be taken there too
	shrunk        bool     // since it was put there
}

// mayReplace says whether m's files may take the place of old's (Debian Policy 7.6.1).
func (m *member) mayReplace(old *member) bool {
	for _, clause := range m.replaces {
		for _, rel := range clause {
			if rel.Name == old.name && rel.Op.Holds(old.version, rel.Version) {
				return true
			}
		}
	}
	return false
}

// A diversion is an entry of dpkg-divert(1): all packages but one put the file elsewhere.
type diversion struct {
	to, pkg string
}

// Key tells packages of one name and several architectures apart, as dpkg's file names do.
func (p *Package) Key() string {
	if p.field("Multi-Arch") == "same" {
		return p.Name + ":" + p.Arch
	}
	return p.Name
}

// field is one field of the package's own control file, folded lines joined, "" when it is not there.
func (p *Package) field(name string) string {
	var value []string
	inside := false
	for line := range strings.Lines(p.Paragraph) {
		if line[0] == ' ' || line[0] == '\t' {
			if inside {
				value = append(value, strings.TrimSpace(line))
			}
			continue
		}
		k, v, ok := strings.Cut(line, ":")
		if inside = ok && strings.EqualFold(k, name); inside {
			value = append(value, strings.TrimSpace(v))
		}
	}
	return strings.Join(value, " ")
}

// A ConflictError means that two packages ship the same file and neither says that it may replace the
// other's. dpkg refuses the same (Debian Policy 7.6).
type ConflictError struct {
	Path       string
	Have, Want string
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("package %s: /%s is also in package %s, and neither replaces the other", e.Want, e.Path, e.Have)
}

// place puts the files of p into the root as dpkg unpacks them: a directory that is there keeps its
// owner and mode, a symbolic link to a directory stays one, diverted files go where they are diverted
// to, and of two packages with one file the one that Replaces the other has it.
func (r *Root) place(p *Package) error {
	key := p.Key()
	layer := tree.Tree{}
	r.placed[key] = layer
	replaces, err := control.ParseRelations(p.field("Replaces"))
	if err != nil {
		return fmt.Errorf("package %s: Replaces: %w", p.Name, err)
	}
	r.members[key] = &member{name: p.Name, version: p.Version, replaces: replaces, list: slices.Clone(p.List)}
	for _, raw := range p.Tree.Paths() {
		if raw == "." {
			continue
		}
		at, ok := r.Tree.Resolve(raw)
		if !ok {
			return fmt.Errorf("package %s: /%s: symbolic links go in a circle", p.Name, raw)
		}
		if err := r.placeEntry(p, layer, raw, at); err != nil {
			return err
		}
	}
	return nil
}

func (r *Root) placeEntry(p *Package, layer tree.Tree, raw, at string) error {
	e := p.Tree[raw]
	have, there := r.Tree[at]
	if e.Type == tree.Dir {
		if there && have.Type != tree.Dir && have.Type != tree.Symlink {
			return &ConflictError{Path: at, Have: r.owners[at], Want: p.Name}
		}
		if !there || have.Type == tree.Dir {
			layer[at] = e
		}
		if !there {
			r.Tree[at] = e
		}
		return nil
	}
	if there && have.Type == tree.Dir {
		if e.Type == tree.Symlink {
			return nil // dpkg leaves a directory that a package ships as a link
		}
		return &ConflictError{Path: at, Have: "(a directory)", Want: p.Name}
	}
	if d, ok := r.divert[at]; ok && d.pkg != p.Name {
		at = d.to
		have, there = r.Tree[at]
	}
	if there && !r.takes(p, raw, at, e, have) {
		owner := r.members[r.owners[at]]
		if owner == nil {
			return nil
		}
		if !owner.mayReplace(r.members[p.Key()]) {
			return &ConflictError{Path: at, Have: r.owners[at], Want: p.Name}
		}
		r.dropListed(p.Key(), at)
		return nil
	}
	if e.Hard != "" {
		e.Hard, _ = r.Tree.Resolve(e.Hard)
	}
	r.Tree[at], layer[at] = e, e
	r.owners[at] = p.Key()
	return nil
}

// takes says whether p's file e goes over what is there.
func (r *Root) takes(p *Package, raw, at string, e, have tree.Entry) bool {
	owner := r.owners[at]
	switch {
	case owner == "":
		_, conffile := p.Conffiles["/"+raw]
		return !conffile // a script or the base made it: dpkg asks, and is told to keep the old
	case owner == p.Key():
		return true
	case r.members[p.Key()].mayReplace(r.members[owner]):
		r.takeOver(owner, at)
		return true
	}
	return packageOf(owner) == p.Name && have.Equal(e) // two architectures of one Multi-Arch: same package
}

// takeOver takes the file at from the package that has it.
func (r *Root) takeOver(owner, at string) {
	old := r.members[owner]
	if old.listed {
		old.shrunk = true // its layer is what it was
	} else {
		delete(r.placed[owner], at)
	}
	r.dropListed(owner, at)
}

// dropListed takes the file at from dpkg's list of a package.
func (r *Root) dropListed(key, at string) {
	m := r.members[key]
	m.list = slices.DeleteFunc(m.list, func(l string) bool {
		p, ok := r.Tree.Resolve(strings.TrimPrefix(l, "/"))
		return ok && p == at
	})
}

func packageOf(key string) string {
	name, _, _ := strings.Cut(key, ":")
	return name
}

// aliases are the top-level directories that are links into /usr since Debian 12 (Debian's merged-/usr;
// file-hierarchy(7)). On an architecture without them, the unusual ones are left out.
func aliases(arch string) []string {
	dirs := []string{"bin", "lib", "sbin"}
	switch arch {
	case "amd64":
		dirs = append(dirs, "lib32", "lib64", "libx32")
	case "i386":
		dirs = append(dirs, "lib64", "libx32")
	case "ppc64el", "s390x", "mips64el", "loong64":
		dirs = append(dirs, "lib64")
	}
	return dirs
}

// mergeUsr makes the alias links, before anything else is there.
func (r *Root) mergeUsr(arch string, mtime int64) {
	r.Tree["."] = tree.Entry{Type: tree.Dir, Mode: 0o755, MTime: mtime}
	r.Tree["usr"] = tree.Entry{Type: tree.Dir, Mode: 0o755, MTime: mtime}
	for _, d := range aliases(arch) {
		r.Tree[path.Join("usr", d)] = tree.Entry{Type: tree.Dir, Mode: 0o755, MTime: mtime}
		r.Tree[d] = tree.Entry{Type: tree.Symlink, Mode: 0o777, Link: "usr/" + d, MTime: mtime}
	}
}

// order sorts packages so that each comes after what it needs, as far as there are no circles: of two
// packages with one directory the first decides its owner and mode. Packages of equal rank go by name.
func order(pkgs []*Package) []*Package {
	byName := map[string]*Package{}
	for _, p := range pkgs {
		byName[p.Name] = p
		for _, v := range names(p, "Provides") {
			if _, ok := byName[v]; !ok {
				byName[v] = p
			}
		}
	}
	sorted := slices.SortedFunc(slices.Values(pkgs), func(a, b *Package) int { return strings.Compare(a.Key(), b.Key()) })
	for i, p := range sorted {
		if p.Name == "base-files" { // its directories come first, with their modes
			sorted = slices.Insert(slices.Delete(sorted, i, i+1), 0, p)
			break
		}
	}
	var out []*Package
	seen := map[*Package]bool{}
	var visit func(p *Package)
	visit = func(p *Package) {
		if seen[p] {
			return
		}
		seen[p] = true
		if p.Name != "base-files" {
			for _, f := range []string{"Pre-Depends", "Depends"} {
				for _, n := range names(p, f) {
					if q := byName[n]; q != nil {
						visit(q)
					}
				}
			}
		}
		out = append(out, p)
	}
	for _, p := range sorted {
		visit(p)
	}
	return out
}

// names lists all package names in a relationship field, alternatives included.
func names(p *Package, field string) []string {
	groups, err := control.ParseRelations(p.field(field))
	if err != nil {
		return nil // what resolution did not need can't order anything
	}
	var ns []string
	for _, g := range groups {
		for _, alt := range g {
			ns = append(ns, alt.Name)
		}
	}
	return ns
}

// stages splits packages into those of the Essential set and the rest, and the rest further where a
// package's preinst runs only after what it pre-depends on is configured (Debian Policy 7.2). Every
// stage is unpacked and configured as one.
func stages(pkgs []*Package) [][]*Package {
	var essential, rest []*Package
	for _, p := range order(pkgs) {
		if p.Essential {
			essential = append(essential, p)
		} else {
			rest = append(rest, p)
		}
	}
	var out [][]*Package
	if len(essential) > 0 {
		out = append(out, essential)
	}
	level := levels(rest)
	for n := 0; ; n++ {
		var stage []*Package
		for _, p := range rest {
			if level[p.Name] == n {
				stage = append(stage, p)
			}
		}
		if stage == nil {
			return out
		}
		out = append(out, stage)
	}
}

// maxLevel ends the search for an order where Pre-Depends go in a circle, which Policy forbids.
const maxLevel = 8

// levels finds the stage of each package: not before what it depends on, and after what it pre-depends
// on when it has a preinst.
func levels(pkgs []*Package) map[string]int {
	level := map[string]int{}
	for _, p := range pkgs {
		level[p.Name] = 0
	}
	for changed := true; changed; {
		changed = false
		for _, p := range pkgs {
			want := level[p.Name]
			for _, n := range names(p, "Depends") {
				want = max(want, level[n])
			}
			for _, n := range names(p, "Pre-Depends") {
				if _, ok := level[n]; ok && p.needsPreDepends() {
					want = max(want, level[n]+1)
				}
				want = max(want, level[n])
			}
			if want = min(want, maxLevel); want > level[p.Name] {
				level[p.Name], changed = want, true
			}
		}
	}
	return compact(level)
}

// needsPreDepends says whether the package's preinst may use what it pre-depends on. One that only calls
// dpkg-maintscript-helper, as debhelper writes it, needs nothing but dpkg.
func (p *Package) needsPreDepends() bool {
	for line := range strings.Lines(string(p.Files["preinst"].Data)) {
		line = strings.TrimSpace(line)
		if line != "" && line != "set -e" && line[0] != '#' && !strings.HasPrefix(line, "dpkg-maintscript-helper ") {
			return true
		}
	}
	return false
}

// compact renumbers levels so that none is empty.
func compact(level map[string]int) map[string]int {
	var used []int
	for _, l := range level {
		if !slices.Contains(used, l) {
			used = append(used, l)
		}
	}
	slices.Sort(used)
	for n, l := range level {
		level[n] = slices.Index(used, l)
	}
	return level
}
