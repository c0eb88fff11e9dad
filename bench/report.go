package main

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// A row is one line of the result: ours against a peer's. A target of 0 is none.
type row struct {
	what, ours, peer, than string
	ratio, target          float64
}

func (r row) verdict() string {
	switch {
	case r.target == 0:
		return ""
	case r.ratio <= r.target:
		return "met"
	}
	return "**missed**"
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f s", d.Seconds()) }
func mega(n int64) string            { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

// ratio has three digits that count, or four after the point: 1.0004 is more than 1.
func ratio(x float64) string {
	if math.Abs(x-1) < 0.01 {
		return fmt.Sprintf("%.4f", x)
	}
	digits := 2 - int(math.Floor(math.Log10(max(x, 1e-6))))
	return fmt.Sprintf("%.*f", max(digits, 0), x)
}

// report is the page with everything.
func (b *bench) report() []byte {
	var w bytes.Buffer
	fmt.Fprintf(&w, `# Benchmarks

Written by `+"`go run ./bench -n %d`"+` (`+"`make bench`"+`) on %s; not to be edited. All ratios are Brickyard's figure
divided by the other's: small is good.

`, b.n, time.Now().UTC().Format("2006-01-02 15:04 UTC"))
	fmt.Fprintf(&w, "| what | Brickyard | other | which | ratio | target | |\n|---|---:|---:|---|---:|---:|---|\n")
	for _, r := range b.rows {
		target := ""
		if r.target > 0 {
			target = fmt.Sprintf("≤ %g", r.target)
		}
		fmt.Fprintf(&w, "| %s | %s | %s | %s | %s | %s | %s |\n", r.what, r.ours, r.peer, r.than, ratio(r.ratio), target, r.verdict())
	}
	b.floorReport(&w)
	b.machine(&w)
	b.timings(&w)
	fmt.Fprintf(&w, how, len(b.images["web"].Packages))
	return w.Bytes()
}

func (b *bench) machine(w *bytes.Buffer) {
	fmt.Fprintf(w, "\n## Machine and versions\n\n")
	mem := strings.Fields(field("/proc/meminfo", "MemTotal"))
	var kib float64
	if len(mem) > 0 {
		fmt.Sscan(mem[0], &kib)
	}
	first := func(argv ...string) string {
		out, err := b.output(argv...)
		if err != nil {
			return "unknown"
		}
		line, _, _ := strings.Cut(out, "\n")
		return line
	}
	for _, f := range [][2]string{
		{"processor", fmt.Sprintf("%s, %d cores", field("/proc/cpuinfo", "model name"), runtime.NumCPU())},
		{"memory", fmt.Sprintf("%.1f GB", kib*1024/1e9)},
		{"file system", fileSystem(b.dir)},
		{"system", strings.Trim(strings.TrimPrefix(first("grep", "^PRETTY_NAME=", "/etc/os-release"), "PRETTY_NAME="), `"`) + ", Linux " + first("uname", "-r")},
		{"load when it began", b.load + " (of the last minute; a busy machine makes all times longer)"},
		{"Brickyard", first(b.path("brickyard"), "version")},
		{"mmdebstrap", first("mmdebstrap", "--version") + ", " + first("apt-get", "--version")},
		{"docker", first("docker", "version", "--format", "client {{.Client.Version}}, daemon {{.Server.Version}}") + ", " + b.builderName()},
	} {
		fmt.Fprintf(w, "- %s: %s\n", f[0], f[1])
	}
}

func (b *bench) builderName() string {
	if slices.Contains(b.builder, "DOCKER_BUILDKIT=1") {
		return "BuildKit"
	}
	return "the classic builder (no BuildKit for this client)"
}

func (b *bench) timings(w *bytes.Buffer) {
	fmt.Fprintf(w, "\n## Times\n\nIn the order in which they were taken, %d rounds.\n\n| what | median | all |\n|---|---:|---|\n", b.n)
	for _, s := range b.spent {
		var all []string
		for _, d := range s.took {
			all = append(all, fmt.Sprintf("%.3f", d.Seconds()))
		}
		fmt.Fprintf(w, "| %s | %s | %s |\n", s.name, seconds(median(s.took)), strings.Join(all, " "))
	}
}

// how is the last part of the page; it takes the number of packages.
const how = `
## How it was measured

The recipes are in ` + "`bench/recipe`" + `. ` + "`web`" + ` is Debian bookworm, minbase and apache2: %d packages, with a page, a
configuration file, one command (` + "`apache2ctl configtest`" + `), without documents, manual pages and locales. ` + "`plain`" + `
is the same without the command. ` + "`second`" + ` is another server on the same base.

- **Packages at hand, no network.** Brickyard begins with a home that has the packages and nothing else, and bakes
  ` + "`--offline`" + `. mmdebstrap has them in an archive on the same disk that holds only them (` + "`copy:`, `[trusted=yes]`" + `): it
  has no lists to fetch, nothing to verify and no choice to make. That both install the same versions is checked
  in each round.
- **The same work.** mmdebstrap gets the same page, configuration and command through hooks, and the same diet
  through dpkg's path-exclude. What it makes is one directory, or one tar file; a bake ends with the unpacked files
  in the store and a compressed, addressable OCI image, written to disk (syncfs).
- **One file changed.** The page gets new content before each run. docker build starts from mmdebstrap's root file
  system as an image, has it in its cache, and copies the page in; the second pair also runs the command after it.
- **Memory** is that of the cold bake, maintainer scripts and all: the kernel's peak of the largest process, and the
  sum of the proportional set sizes of all, looked at every 5 ms.
- **The second image**: everything it adds on disk (packages as fetched, unpacked files, layers, notes) divided by what
  it takes in a store that has nothing else.
- Rounds alternate; dirty pages are written out before each run; what a run made is taken away only when all is measured
  (ext4 is slow at making files just after others were deleted); the median counts.
`

// field is the value of the first line "key: value" of a file.
func field(file, key string) string {
	data, _ := os.ReadFile(file)
	for line := range strings.Lines(string(data)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == key {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

// loadAverage is that of the last minute.
func loadAverage() string {
	data, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(data), " ")
	return first
}

// fileSystem names the type of the file system of dir, by the longest mount point above it (proc(5), mountinfo).
func fileSystem(dir string) string {
	data, _ := os.ReadFile("/proc/self/mountinfo")
	name, longest := "unknown", ""
	for line := range strings.Lines(string(data)) {
		before, after, ok := strings.Cut(line, " - ")
		f, g := strings.Fields(before), strings.Fields(after)
		if !ok || len(f) < 5 || len(g) < 1 {
			continue
		}
		rel, err := filepath.Rel(f[4], dir)
		if err == nil && !strings.HasPrefix(rel, "..") && len(f[4]) >= len(longest) {
			name, longest = g[0], f[4]
		}
	}
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return name
	}
	return fmt.Sprintf("%s, %.0f GB free", name, float64(st.Bavail)*float64(st.Bsize)/1e9)
}
