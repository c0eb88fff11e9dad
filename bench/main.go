// Command bench measures Brickyard side by side with the tools that people use for the same: mmdebstrap,
// which makes a root file system out of packages, and docker build, which changes one file of an image.
// What is compared alternates, so that a busy machine is busy for all. It writes docs/benchmarks.md.
//
// It runs as root in the root of the repository, with a Docker daemon: make bench takes care of that.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	n := flag.Int("n", 5, "measure each thing so `often`; medians count")
	out := flag.String("o", "docs/benchmarks.md", "write the report to `file`")
	dir := flag.String("dir", ".cache/bench", "work in `directory`; packages that were fetched are kept there")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, max(*n, 1), *out, *dir); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// A bench is one run of this program.
type bench struct {
	ctx  context.Context
	dir  string // absolute
	n    int
	load string // of the machine, before anything was measured

	images  map[string]image // by the name of their recipe, as they are in the seed
	repo    string           // directory with the packages of web, for apt
	builder []string         // environment that chooses docker's builder
	spent   []*subject
	rows    []row

	costs    []cost        // of a cold bake
	profiled time.Duration // how long that took
}

func run(ctx context.Context, n int, out, dir string) error {
	if _, err := os.Stat("cmd/brickyard"); err != nil || os.Getuid() != 0 {
		return errors.New("run it as root in the root of the repository: make bench")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	b := &bench{ctx: ctx, dir: dir, n: n, images: map[string]image{}, load: loadAverage()}
	for _, step := range []func() error{
		b.prepare, b.prepareDocker, b.measureTimes, b.measureFloor, b.measureMemory, b.measureSizes, b.measureSecond,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	if err := b.cleanup(); err != nil {
		return err
	}
	say("writing %s", out)
	return os.WriteFile(out, b.report(), 0o644)
}

// say tells the user how far we are.
func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05 ")+format+"\n", args...)
}

// The names of what is measured, as rows refer to it.
const (
	oursCold      = "brickyard bake, nothing unpacked"
	oursPlain     = "brickyard bake, one file changed"
	oursCommand   = "brickyard bake, one file changed, command run again"
	oursNothing   = "brickyard bake, nothing changed"
	peerDir       = "mmdebstrap, to a directory"
	peerTar       = "mmdebstrap, to a tar file"
	dockerPlain   = "docker build, one file changed"
	dockerCommand = "docker build, one file changed, command run again"
)

// measureTimes times everything n times, in turns, and judges the medians.
func (b *bench) measureTimes() error {
	ours := func(home, recipe string) func() []string {
		return func() []string { return b.bake(home, recipe) }
	}
	cold := b.path("cold")
	b.spent = []*subject{
		{name: peerDir, before: b.fresh("mm"), argv: b.mmdebstrap("mm", "directory"), after: b.checkPeer},
		{name: oursCold, before: func() error { return b.newHome(cold, b.images["web"].Packages) }, argv: ours(cold, "web")},
		{name: peerTar, before: b.fresh("mm.tar"), argv: b.mmdebstrap("mm.tar", "tar")},
		{name: oursPlain, before: b.change, argv: ours(b.path("warm"), "plain")},
		{name: dockerPlain, before: b.change, argv: b.dockerBuild("plain"), env: b.builder, after: b.dropBuilt},
		{name: oursCommand, before: b.change, argv: ours(b.path("warm"), "web")},
		{name: dockerCommand, before: b.change, argv: b.dockerBuild("command"), env: b.builder, after: b.dropBuilt},
		{name: oursNothing, before: b.settle, argv: ours(b.path("warm"), "web")},
	}
	for i := range b.n {
		for _, s := range b.spent {
			if err := b.time(s); err != nil {
				return err
			}
			say("%d/%d  %-52s %8.3f s", i+1, b.n, s.name, s.took[i].Seconds())
		}
	}
	for _, j := range []struct {
		ours, peer string
		target     float64
	}{
		{oursCold, peerDir, 0.35}, {oursCold, peerTar, 0}, {oursPlain, peerDir, 0.02}, {oursPlain, dockerPlain, 0.5},
		{oursCommand, peerDir, 0.02}, {oursCommand, dockerCommand, 0.5}, {oursNothing, peerDir, 0.005},
	} {
		o, p := b.median(j.ours), b.median(j.peer)
		b.rows = append(b.rows, row{
			what: j.ours, ours: seconds(o), peer: seconds(p), than: j.peer, ratio: o.Seconds() / p.Seconds(), target: j.target,
		})
	}
	return nil
}

// measureMemory bakes once more, watched.
func (b *bench) measureMemory() error {
	say("memory")
	home := b.path("cold")
	if err := b.newHome(home, b.images["web"].Packages); err != nil {
		return err
	}
	largest, all, err := b.watch(b.bake(home, "web"))
	if err != nil {
		return err
	}
	const limit = 250e6
	b.rows = append(b.rows,
		row{what: "peak memory of the bake, all its processes at once", ours: mega(all), peer: mega(limit), than: "the target", ratio: float64(all) / limit, target: 1},
		row{what: "peak memory of its largest process", ours: mega(largest), peer: mega(limit), than: "the target", ratio: float64(largest) / limit, target: 1},
	)
	return nil
}

// measureSizes compares the root file systems.
func (b *bench) measureSizes() error {
	say("sizes")
	digest, err := b.output(b.bake(b.path("cold"), "web")...)
	if err != nil {
		return err
	}
	if _, err := b.output(b.brickyard(b.path("cold"), "export", digest, "--format", "rootfs", "--to", b.path("ours.tar"))...); err != nil {
		return err
	}
	ours, oerr := measureTar(b.path("ours.tar"))
	peer, perr := measureTar(b.path("mm.tar"))
	if err := cmp.Or(oerr, perr); err != nil {
		return err
	}
	for _, s := range []struct {
		what       string
		ours, peer int64
	}{
		{"image: bytes in its files", ours.content, peer.content},
		{"image: as a tar file", ours.tar, peer.tar},
		{"image: as a tar file, gzip -6", ours.gzip, peer.gzip},
	} {
		b.rows = append(b.rows, row{what: s.what, ours: mega(s.ours), peer: mega(s.peer), than: peerTar, ratio: float64(s.ours) / float64(s.peer), target: 1})
	}
	img := b.images["web"]
	b.rows = append(b.rows, row{
		what: fmt.Sprintf("image: its %d layers, as they are stored", len(img.Layers)), ours: mega(img.size()),
		peer: mega(peer.gzip), than: peerTar + ", gzip -6", ratio: float64(img.size()) / float64(peer.gzip),
	})
	return nil
}

// measureSecond bakes a second image beside the first, and alone.
func (b *bench) measureSecond() error {
	say("a second image")
	first, second := b.images["web"], b.images["second"]
	share := second.shared(first)
	if share < 0.9 {
		return fmt.Errorf("the second image has only %.1f %% of its packages in common with the first", 100*share)
	}
	home, alone := b.path("cold"), b.path("alone")
	before, err := diskUsage(home)
	if err != nil {
		return err
	}
	if err := errors.Join(b.linkPackages(home, second.Packages), b.newHome(alone, second.Packages)); err != nil {
		return err
	}
	for _, h := range []string{home, alone} {
		if _, err := b.output(b.bake(h, "second")...); err != nil {
			return err
		}
	}
	after, err := diskUsage(home)
	if err != nil {
		return err
	}
	whole, err := diskUsage(alone)
	if err != nil {
		return err
	}
	added, layers := after-before, second.newBytes(first)
	b.rows = append(b.rows,
		row{
			what: fmt.Sprintf("second image, %.0f %% of its packages in the first: what it adds to the store", 100*share),
			ours: mega(added), peer: mega(whole), than: "the same alone in a store", ratio: float64(added) / float64(whole), target: 0.15,
		},
		row{
			what: "second image: its layers that are new", ours: mega(layers), peer: mega(second.size()),
			than: "all its layers", ratio: float64(layers) / float64(second.size()), target: 0.15,
		},
	)
	return nil
}
