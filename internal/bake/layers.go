package bake

import (
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"

	"brickyard/internal/bake/layer"
	"brickyard/internal/bake/rootfs"
	"brickyard/internal/tree"

	"golang.org/x/sync/errgroup"
)

// A layerer writes the layers of packages, one for each source package, as soon as all of a source's
// packages have their place: while scripts run on one core, layers are made on another.
type layerer struct {
	w     *work
	limit int
	want  map[string]int // source → packages that are still to come
	early bool           // no joining will be needed, so groups can be written at once
	order []string       // sources, as they became complete
	group map[string]*layer.Group

	add  func(int64) // nil until the first is begun
	done func()

	run  errgroup.Group
	free chan struct{} // holds one for each layer that is being written
	mu   sync.Mutex    // guards made
	made map[string]madeLayer
}

// madeLayer is a layer with the tree that it was written from.
type madeLayer struct {
	Layer
	tree tree.Tree
}

func newLayerer(w *work, pkgs []*rootfs.Package, limit int) *layerer {
	l := &layerer{w: w, limit: limit, want: map[string]int{}, group: map[string]*layer.Group{}, made: map[string]madeLayer{}}
	for _, p := range pkgs {
		l.want[p.Source]++
	}
	l.early = len(l.want) <= limit
	l.free = make(chan struct{}, runtime.GOMAXPROCS(0))
	return l
}

// placed takes in what a stage put into the root.
func (l *layerer) placed(placed []rootfs.Placed) {
	for _, p := range placed {
		src := p.Package.Source
		g := l.group[src]
		if g == nil {
			g = &layer.Group{Sources: []string{src}, Tree: tree.Tree{}}
			l.group[src] = g
		}
		g.Members = append(g.Members, p.Package.Name+" "+p.Package.Version)
		slices.Sort(g.Members)
		g.Tree.Apply(p.Tree)
		if l.want[src]--; l.want[src] > 0 {
			continue
		}
		l.order = append(l.order, src)
	}
	if l.early {
		l.flush()
	}
}

// flush starts writing groups that are complete and not started yet.
func (l *layerer) flush() {
	for _, src := range l.order {
		if g := l.group[src]; g != nil {
			l.group[src] = nil
			l.write(*g)
		}
	}
}

func (l *layerer) write(g layer.Group) {
	if l.add == nil {
		l.add, l.done = l.w.Progress("layers", int64(min(len(l.want), l.limit)))
	}
	l.run.Go(func() error { // does not wait for the others: scripts are to begin
		l.free <- struct{}{}
		defer func() { <-l.free }()
		made, err := layer.Write(l.w.Store, g.Tree, l.w.note)
		if err != nil {
			return err
		}
		l.add(1)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.made[g.Sources[0]] = madeLayer{Layer: Layer{Layer: made, Kind: kindPackages, Packages: g.Members}, tree: g.Tree}
		return nil
	})
}

// wait finishes the layers and returns them, lowest first: by name of their first source package, so
// that their order does not depend on how packages were staged.
func (l *layerer) wait(ok bool) ([]madeLayer, error) {
	if ok && !l.early {
		var groups []layer.Group
		for _, src := range slices.Sorted(maps.Keys(l.group)) {
			groups = append(groups, *l.group[src])
		}
		for _, g := range layer.Join(groups, l.limit) {
			l.write(g)
		}
	}
	err := l.run.Wait()
	if l.done != nil {
		l.done()
	}
	return slices.SortedFunc(maps.Values(l.made), func(a, b madeLayer) int {
		return strings.Compare(strings.Join(a.Packages, " "), strings.Join(b.Packages, " "))
	}), err
}
