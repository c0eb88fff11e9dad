package resolve

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"brickyard/internal/bake/apt"
)

// universe makes one of text: paragraphs without what every index has (Architecture, Filename, Size, SHA256).
func universe(t testing.TB, suites ...string) *apt.Universe {
	t.Helper()
	u := apt.NewUniverse("amd64")
	for i, text := range suites {
		suite := []string{"stable", "stable-updates", "backports"}[i]
		rel := &apt.Release{Suite: suite, Codename: suite, Origin: "Test", Source: apt.Source{ID: "test/" + suite, Suite: suite}}
		rel.NotAutomatic = suite == "backports"
		if err := u.AddIndex(rel, strings.NewReader(index(text))); err != nil {
			t.Fatal(err)
		}
	}
	return u
}

// index completes paragraphs.
func index(text string) string {
	var b strings.Builder
	for i, s := range strings.Split(strings.TrimSpace(text), "\n\n") {
		if !strings.Contains(s, "Architecture:") {
			s += "\nArchitecture: amd64"
		}
		fmt.Fprintf(&b, "%s\nFilename: pool/%d.deb\nSize: %d\nSHA256: %064x\nMD5sum: %032x\nDescription: x\n\n", s, i, 1000+i, len(s)<<20+i, i)
	}
	return b.String()
}

// randomUniverse writes paragraphs of a few packages, or of more, that need, provide and exclude one another.
func randomUniverse(rng *rand.Rand) (text string, names []string) {
	count := []int{14, 14, 40}[rng.IntN(3)]
	for i := range count {
		names = append(names, fmt.Sprintf("%c%c-pkg%d", 'a'+rng.IntN(26), 'a'+rng.IntN(26), i)) // apt's order is that of hashes
	}
	virtual := []string{"v1", "v2", "v3"}
	name := func() string {
		if rng.IntN(4) == 0 {
			return virtual[rng.IntN(len(virtual))]
		}
		return names[rng.IntN(count)]
	}
	relation := func() string {
		r := name()
		if rng.IntN(12) == 0 {
			qualifier := []string{":any", ":native", ":amd64"}[rng.IntN(3)]
			if r[0] == 'v' && len(r) == 2 {
				qualifier = ":any" // nobody names an architecture of what is only provided, and apt has its troubles with it
			}
			r += qualifier
		}
		if rng.IntN(8) == 0 {
			r += fmt.Sprintf(" (%s %d)", []string{"<<", "<=", "=", ">=", ">>"}[rng.IntN(5)], 1+rng.IntN(3))
		}
		return r
	}
	list := func(max, alternatives int) string {
		var parts []string
		for range rng.IntN(max + 1) {
			part := []string{relation()}
			for rng.IntN(3) == 0 && len(part) < alternatives {
				part = append(part, relation())
			}
			parts = append(parts, strings.Join(part, " | "))
		}
		return strings.Join(parts, ", ")
	}
	var b strings.Builder
	for _, n := range names {
		for v := range 1 + rng.IntN(2) {
			fmt.Fprintf(&b, "Package: %s\nVersion: %d\nPriority: %s\n", n, 1+v*(1+rng.IntN(2)), []string{"optional", "optional", "extra", "standard", "required"}[rng.IntN(5)])
			if rng.IntN(count) == 0 {
				b.WriteString("Essential: yes\n")
			}
			if rng.IntN(6) == 0 {
				fmt.Fprintf(&b, "Multi-Arch: %s\n", []string{"same", "foreign", "allowed"}[rng.IntN(3)])
			}
			field := func(name, value string) {
				if value != "" {
					fmt.Fprintf(&b, "%s: %s\n", name, value)
				}
			}
			field("Depends", list(2, 3))
			if rng.IntN(4) == 0 {
				field("Pre-Depends", list(1, 2))
			}
			if rng.IntN(5) < 1+count/30 {
				field("Conflicts", list(2, 1))
			}
			if rng.IntN(6) == 0 {
				field("Breaks", list(1, 1))
			}
			if rng.IntN(3) == 0 {
				field("Recommends", list(2, 2))
			}
			if rng.IntN(3) == 0 {
				p := virtual[rng.IntN(len(virtual))]
				if rng.IntN(2) == 0 {
					p += fmt.Sprintf(" (= %d)", 1+rng.IntN(3))
				}
				field("Provides", p)
			}
			b.WriteString("\n")
		}
	}
	return b.String(), names
}

// TestLikeAptSmall compares random requests in random little archives with apt: BRICKYARD_SOAK=number of archives.
func TestLikeAptSmall(t *testing.T) {
	archives, _ := strconv.Atoi(os.Getenv("BRICKYARD_SOAK"))
	seed, _ := strconv.ParseUint(os.Getenv("BRICKYARD_SEED"), 10, 64)
	found := map[verdict]int{}
	for i := range uint64(max(archives, 12)) {
		rng := rand.New(rand.NewPCG(seed+i, 7))
		text, names := randomUniverse(rng)
		o := newOracle(t)
		o.serve(t, index(text))
		u := universe(t, text)
		for range 6 {
			r := Request{Variant: []Variant{None, None, Essential}[rng.IntN(3)], Recommends: rng.IntN(3) == 0}
			var picked []string
			for range 1 + rng.IntN(2+len(names)/10) {
				if n := names[rng.IntN(len(names))]; !slices.Contains(picked, n) {
					picked = append(picked, n)
				}
			}
			r.Ask = asks(picked...)
			if n := names[rng.IntN(len(names))]; rng.IntN(4) == 0 && !slices.Contains(picked, n) && !u.Name(n).Essential {
				r.Exclude = []string{n}
			}
			t.Run(fmt.Sprintf("seed %d", seed+i), func(t *testing.T) {
				found[compare(t, u, o, r)]++
			})
		}
	}
	t.Logf("%d answers, %d refusals", found[same], found[refused])
}

// serve makes the oracle look at this index only.
func (o oracle) serve(t testing.TB, index string) {
	t.Helper()
	write := func(name, text string) {
		path := filepath.Join(o.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("archive/Packages", index)
	write("sources.list", "deb [trusted=yes] copy:"+o.dir+"/archive ./\n")
	write("lists/partial/x", "")
	write("apt.conf", fmt.Sprintf(`Dir::Etc::sourcelist "%[1]s/sources.list"; Dir::Etc::sourceparts "/dev/null"; Dir::State::lists "%[1]s/lists";
APT::Sandbox::User "root"; APT::Architecture "amd64"; APT::Architectures { "amd64"; };`, o.dir))
	cmd := exec.Command("apt-get", "update", "-o", "Dir::State::status="+o.dir+"/status", "-o", "Dir::Cache="+o.dir+"/cache")
	cmd.Env = append(os.Environ(), "APT_CONFIG="+o.dir+"/apt.conf")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("apt-get update: %v: %s", err, out)
	}
}
