package rootfs

import (
	"context"
	"maps"
	"path"
	"slices"
	"strings"

	"brickyard/internal/tree"
)

// purge takes packages that are installed out of the root: by its own dpkg, which runs their scripts, or, when there is
// none, as dpkg does it with packages without scripts. What needs them may be without them meanwhile.
func (b *Builder) purge(ctx context.Context, r *Root, names []string, res *Result) error {
	before := r.Tree.Clone()
	if b.runs(r) {
		argv := append([]string{"dpkg", "--force-unsafe-io", "--force-depends", "--purge"}, names...)
		step := Step{Name: "dpkg --purge " + strings.Join(names, " "), Argv: argv}
		if err := b.in(ctx, r, nil, b.Out, func(string) ([]Step, error) { return []Step{step}, nil }); err != nil {
			return err
		}
	} else if err := b.forget(r, names); err != nil {
		return err
	}
	cleaned, err := b.clean(r, before)
	res.Cleaned = append(res.Cleaned, cleaned...)
	return err
}

// forget takes packages out of a root without dpkg: their files, directories that nobody else has and that are empty then, and
// what dpkg's database says of them.
func (b *Builder) forget(r *Root, names []string) error {
	for _, key := range slices.Sorted(maps.Keys(r.members)) {
		m := r.members[key]
		if !slices.Contains(names, m.name) {
			continue
		}
		delete(r.members, key)
		for p, owner := range r.owners {
			if owner == key {
				delete(r.Tree, p)
			}
		}
		for p := range r.Tree {
			if dir, file := path.Split(p); dir == dpkgDir+"/info/" && strings.HasPrefix(file, key+".") {
				delete(r.Tree, p)
			}
		}
		r.dropDirs(m.list)
	}
	status, err := b.text(r, statusFile)
	if err != nil {
		return err
	}
	var kept []string
	for stanza := range strings.SplitSeq(strings.TrimRight(string(status), "\n"), "\n\n") {
		name, _, _ := strings.Cut(strings.TrimPrefix(stanza, "Package: "), "\n")
		if !slices.Contains(names, name) {
			kept = append(kept, stanza+"\n")
		}
	}
	return b.set(r, statusFile, []byte(strings.Join(kept, "\n")))
}

// dropDirs takes away the directories of a list that are empty and that no package has.
func (r *Root) dropDirs(list []string) {
	wanted := map[string]bool{}
	for _, m := range r.members {
		for _, l := range m.list {
			wanted[l] = true
		}
	}
	children := map[string]int{}
	for p := range r.Tree {
		children[tree.Parent(p)]++
	}
	for _, l := range slices.Backward(slices.Sorted(slices.Values(list))) {
		p, ok := r.Tree.Resolve(strings.TrimPrefix(l, "/"))
		alias := r.Tree[path.Base(p)].Link == p // as /bin of /usr/bin
		if ok && p != "." && r.Tree[p].Type == tree.Dir && children[p] == 0 && !wanted[l] && !alias {
			delete(r.Tree, p)
			children[tree.Parent(p)]--
		}
	}
}
