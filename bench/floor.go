package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/klauspost/compress/gzip"
)

// layerLevel is the level that layers are compressed at (internal/bake/layer).
const layerLevel = 4

// What the time of a cold bake is spent on, as the page names it.
const (
	decompress = "decompress packages"
	hash       = "hash packages, files and layers"
	write      = "system calls: read packages, make files, and roots of links to them"
	compress   = "compress layers"
	scripts    = "maintainer scripts and dpkg, in the image"
	other      = "all else: recipe, dpkg's database, trees, notes, memory"
)

// kinds finds what a sample of the profile was spent on: by the innermost function that one of these matches.
var kinds = []struct {
	kind     string
	function *regexp.Regexp
}{
	{hash, regexp.MustCompile(`^crypto/`)},
	{decompress, regexp.MustCompile(`^brickyard/internal/bake/apt/xz\.|^compress/|klauspost/compress/zstd\.`)},
	{compress, regexp.MustCompile(`klauspost/compress/(flate|gzip)\.`)},
	{write, regexp.MustCompile(`^(os|syscall|golang\.org/x/sys/unix)\.|^internal/runtime/syscall`)},
}

// A cost is the processor time that one kind of work takes in a bake, and alone.
type cost struct {
	kind        string
	bake, alone time.Duration // alone is 0 for what is nothing without the bake
	how         string        // it was done alone
}

// measureFloor profiles cold bakes, and does by itself what none can leave out.
func (b *bench) measureFloor() error {
	inBake, alone := map[string][]time.Duration{}, map[string][]time.Duration{}
	floor := []struct {
		kind, how string
		do        func() error
	}{
		{decompress, "`dpkg-deb --fsys-tarfile`, one after the other", b.decompressAll},
		{hash, "sha256 of the packages, twice of the files (as files and in layers), of the layers", b.hashAll},
		{write, "each file read and made once, and linked once", b.writeAll},
		{compress, "the same library at the same level, all files in one stream", b.compressAll},
		{scripts, "", nil},
		{other, "", nil},
	}
	for i := range b.n {
		say("%d/%d  where the time goes", i+1, b.n)
		if err := b.profileBake(inBake); err != nil {
			return err
		}
		for _, part := range floor {
			if part.do == nil {
				continue
			}
			before := processorTime()
			if err := part.do(); err != nil {
				return err
			}
			alone[part.kind] = append(alone[part.kind], processorTime()-before)
		}
	}
	for _, part := range floor {
		c := cost{kind: part.kind, bake: median(inBake[part.kind]), how: part.how}
		if part.do != nil {
			c.alone = median(alone[part.kind])
		}
		b.costs = append(b.costs, c)
	}
	b.profiled = median(inBake[wall])
	return nil
}

// wall is the key of the time from the beginning to the end of a bake.
const wall = "wall"

// profileBake bakes from nothing and adds what it spent, by kind.
func (b *bench) profileBake(spent map[string][]time.Duration) error {
	home, profile := b.path("cold"), b.path("cpu.profile")
	if err := b.newHome(home, b.images["web"].Packages); err != nil {
		return err
	}
	syscall.Sync()
	argv := append(b.bake(home, "web"), "--cpuprofile", profile)
	cmd, said := b.command(argv, nil)
	start := time.Now()
	if err := cmd.Run(); err != nil {
		return failed(argv, err, said)
	}
	spent[wall] = append(spent[wall], time.Since(start))
	traces, err := b.output("go", "tool", "pprof", "-traces", "-unit=ms", b.path("brickyard"), profile)
	if err != nil {
		return err
	}
	own := samples(traces)
	all := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime() // of all its processes
	for _, d := range own {
		all -= d
	}
	own[scripts] = max(all, 0)
	for kind, d := range own {
		spent[kind] = append(spent[kind], d)
	}
	return nil
}

// samples adds up a profile, as "go tool pprof -traces" prints it: blocks of a time and functions, the innermost first.
func samples(traces string) map[string]time.Duration {
	spent := map[string]time.Duration{}
	for block := range strings.SplitSeq(traces, "-----------+") {
		var took time.Duration
		kind := other
		for i, line := range slices.Collect(strings.Lines(block)) {
			f := strings.Fields(line)
			if i == 1 && len(f) > 1 {
				if took, _ = time.ParseDuration(f[0]); took == 0 {
					break // the head of the output
				}
				f = f[1:]
			}
			if i > 0 && len(f) > 0 && kind == other {
				kind = kindOf(f[0])
			}
		}
		spent[kind] += took
	}
	return spent
}

func kindOf(function string) string {
	for _, k := range kinds {
		if k.function.MatchString(function) {
			return k.kind
		}
	}
	return other
}

// processorTime is what this process and its children have had so far.
func processorTime() time.Duration {
	var total time.Duration
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if err := syscall.Getrusage(who, &u); err != nil {
			panic(err) // the arguments are right
		}
		total += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return total
}

func (b *bench) decompressAll() error {
	for _, p := range b.images["web"].Packages {
		if err := exec.CommandContext(b.ctx, "dpkg-deb", "--fsys-tarfile", b.blob(p.SHA256)).Run(); err != nil {
			return fmt.Errorf("dpkg-deb %s: %w", p.Name, err)
		}
	}
	return nil
}

// blob is a package or a layer of an image of the seed. In other homes the page is another, and so is its layer.
func (b *bench) blob(sha256 string) string { return b.path("seed/blobs/sha256/" + sha256) }

func (b *bench) hashAll() error {
	img := b.images["web"]
	h := sha256.New()
	var err error
	for _, p := range img.Packages {
		err = errors.Join(err, copyInto(h, b.blob(p.SHA256)))
	}
	for _, l := range img.Layers {
		err = errors.Join(err, copyInto(h, b.blob(strings.TrimPrefix(l.Digest, "sha256:"))))
	}
	into := func(name string) error { return copyInto(h, name) }
	return errors.Join(err, b.eachFile(into), b.eachFile(into))
}

func (b *bench) compressAll() error {
	zip, err := gzip.NewWriterLevel(io.Discard, layerLevel)
	if err != nil {
		return err
	}
	return errors.Join(b.eachFile(func(name string) error { return copyInto(zip, name) }), zip.Close())
}

// writeAll makes every file of the store anew, and a link to each.
func (b *bench) writeAll() error {
	to, links := b.path("floor"), b.path("floor.links")
	if err := errors.Join(b.bury(to), b.bury(links)); err != nil {
		return err
	}
	return b.eachFile(func(name string) error {
		rel, err := filepath.Rel(b.path("cold/files"), name)
		if err != nil {
			return err
		}
		made, link := filepath.Join(to, rel), filepath.Join(links, rel)
		if err := errors.Join(os.MkdirAll(filepath.Dir(made), 0o755), os.MkdirAll(filepath.Dir(link), 0o755)); err != nil {
			return err
		}
		f, err := os.Create(made)
		if err != nil {
			return err
		}
		return errors.Join(copyInto(f, name), f.Close(), os.Link(made, link))
	})
}

// eachFile calls f with every file that the bake has put into the store.
func (b *bench) eachFile(f func(name string) error) error {
	return filepath.WalkDir(b.path("cold/files"), func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		return f(p)
	})
}

// copyInto writes a file's bytes to w, in pieces: a kernel's shortcut would not be the work that is measured.
func copyInto(w io.Writer, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{f}, make([]byte, 256<<10))
	return err
}

// floorReport says where the time of a cold bake goes.
func (b *bench) floorReport(w io.Writer) {
	var all, needed time.Duration
	for _, c := range b.costs {
		all += c.bake
		needed += c.alone
	}
	cores := time.Duration(runtime.NumCPU())
	fmt.Fprintf(w, "\n## Where the time of a cold bake goes\n\n"+
		"Of %s on %d cores, %.0f %% of the processors' time was spent, on what the table says; for the rest one or the other waited.\n"+
		"Beside it is the floor: the same work done alone, one thread, on the same files. Medians of %d; profiled, so a little slower.\n\n"+
		"| processor time for | in the bake | alone | ratio | alone means |\n|---|---:|---:|---:|---|\n",
		seconds(b.profiled), cores, 100*all.Seconds()/(b.profiled*cores).Seconds(), b.n)
	for _, c := range b.costs {
		alone, r := "", ""
		if c.alone > 0 {
			alone, r = seconds(c.alone), ratio(c.bake.Seconds()/c.alone.Seconds())
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s |\n", c.kind, seconds(c.bake), alone, r, c.how)
	}
	fmt.Fprintf(w, "| all | %s | %s | | |\n", seconds(all), seconds(needed))
}
