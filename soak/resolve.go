package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

const (
	resolvePackage = "internal/bake/apt/resolve" // whose test draws the sets and asks apt
	resolveSets    = 300                         // for each release and architecture
	resolveAtOnce  = 50                          // in one case
)

// A resolveCase is some random sets of packages of one archive, each resolved by us and by apt.
type resolveCase struct {
	Release string `json:"release"`
	Arch    string `json:"arch"`
	First   int    `json:"first"` // of the sets, from 1
	Sets    int    `json:"sets"`
}

// resolveFound is how many sets came to what.
type resolveFound struct {
	resolveCase
	Same       int    `json:"same"`      // the same packages in the same versions
	Refused    int    `json:"refused"`   // by both
	Different  int    `json:"different"` // what was found is in Said then
	Recommends int    `json:"recommends"`
	Pins       int    `json:"pins"`
	Apt        string `json:"apt"` // its version
	Said       string `json:"said,omitempty"`
}

func resolveCases(s *soak) ([]testCase, error) {
	test, sum, err := s.buildTest(resolvePackage)
	if err != nil {
		return nil, err
	}
	var cases []testCase
	for _, release := range []string{"bookworm", "trixie"} {
		for _, arch := range []string{"amd64", "arm64"} {
			for first := 1; first <= resolveSets; first += resolveAtOnce {
				c := resolveCase{release, arch, first, min(resolveAtOnce, resolveSets-first+1)}
				id := fmt.Sprintf("%s-%s-%d-%d", release, arch, first, first+c.Sets-1)
				cases = append(cases, testCase{id: id, definition: []any{c, sum}, run: func() (any, bool, error) {
					f, err := s.askApt(test, c)
					return f, err == nil && f.ok(), err
				}})
			}
		}
	}
	return cases, nil
}

// buildTest makes the test program of a package, and sums it.
func (s *soak) buildTest(pkg string) (file, sum string, err error) {
	file = filepath.Join(s.dir, filepath.Base(pkg)+".test")
	cmd := exec.CommandContext(s.ctx, "go", "test", "-c", "-trimpath", "-buildvcs=false", "-o", file, "./"+pkg)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", "", fmt.Errorf("go test -c %s: %w\n%s", pkg, err, out)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return "", "", err
	}
	digest := sha256.Sum256(data)
	return file, hex.EncodeToString(digest[:]), nil
}

// askApt runs the test of a case. The error is that it counted nothing.
func (s *soak) askApt(test string, c resolveCase) (*resolveFound, error) {
	version, err := exec.CommandContext(s.ctx, "apt-config", "--version").Output() // apt 2.6.1 (amd64)
	if err != nil {
		return nil, fmt.Errorf("apt-config: %w", err)
	}
	f := &resolveFound{resolveCase: c, Apt: strings.Join(strings.Fields(string(version))[:2], " ")}
	cmd := exec.CommandContext(s.ctx, test, "-test.run=^TestLikeAptElsewhere$/^"+c.Release+"-"+c.Arch+"$", "-test.v", "-test.timeout=2h")
	cmd.Dir = resolvePackage
	cmd.Env = append(os.Environ(), "BRICKYARD_SOAK=1", fmt.Sprintf("BRICKYARD_SETS=%d", c.Sets),
		fmt.Sprintf("BRICKYARD_SEED=%d", s.seed*1000+uint64(c.First)))
	out, failed := cmd.CombinedOutput()
	if !f.count(out) {
		return nil, fmt.Errorf("%s: %v\n%s", filepath.Base(test), failed, out)
	}
	if failed != nil {
		f.Said = string(out)
	}
	return f, nil
}

var resolveCounts = regexp.MustCompile(`sets=(\d+) same=(\d+) refused=(\d+) different=(\d+) recommends=(\d+) pins=(\d+)`)

// count reads the line of counts that the test logs, and says whether it was there.
func (f *resolveFound) count(out []byte) bool {
	m := resolveCounts.FindSubmatch(out)
	if m == nil {
		return false
	}
	_, err := fmt.Fscan(bytes.NewReader(bytes.Join(m[1:], []byte(" "))), &f.Sets, &f.Same, &f.Refused, &f.Different, &f.Recommends, &f.Pins)
	return err == nil
}

// ok says whether every set was asked about, and both said the same.
func (f *resolveFound) ok() bool {
	return f.Said == "" && f.Different == 0 && f.Same+f.Refused == f.Sets
}

func (f *resolveFound) add(more resolveFound) {
	f.Sets += more.Sets
	f.Same += more.Same
	f.Refused += more.Refused
	f.Different += more.Different
	f.Recommends += more.Recommends
	f.Pins += more.Pins
}

func resolveReport(_ *soak, outcomes []outcome) string {
	var rows []resolveFound // one for each release and architecture, in the order of the cases
	var total resolveFound
	for _, o := range outcomes {
		var f resolveFound
		if err := json.Unmarshal(o.Found, &f); err != nil {
			return "## Sets of packages against apt\n\n" + o.ID + ": " + err.Error()
		}
		i := slices.IndexFunc(rows, func(r resolveFound) bool { return r.Release == f.Release && r.Arch == f.Arch })
		if i < 0 {
			rows, i = append(rows, resolveFound{resolveCase: resolveCase{Release: f.Release, Arch: f.Arch}}), len(rows)
		}
		rows[i].add(f)
		total.add(f)
		total.Apt = f.Apt
	}
	var b strings.Builder
	fmt.Fprintf(&b, `## Sets of packages against apt

Random sets from the whole archive: 1 to 12 names, and some of 30, which seldom go together; on nothing, on the essential packages or
on minbase; some in a version that is not the newest, some with pins, by version and by where packages are from, some with a package
excluded that others need. Each is resolved by us and by %s from the same indexes: "the same" means the same packages
in the same versions.

**%d of %d are the same, or refused by both.**

| release | architecture | sets | the same | refused by both | with Recommends | with pins | differences |
|---|---|---:|---:|---:|---:|---:|---:|
`, total.Apt, total.Same+total.Refused, total.Sets)
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s | %s | %d | %d | %d | %d | %d | %d |\n", r.Release, r.Arch, r.Sets, r.Same, r.Refused, r.Recommends, r.Pins, r.Different)
	}
	return b.String()
}
