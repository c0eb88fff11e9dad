package main

import (
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"brickyard/internal/bake/apt/apttest"
)

// otherArch is an architecture that this machine runs by qemu only, Debian's name, and what uname -m says there.
func otherArch() (arch, machine string) {
	if runtime.GOARCH == "arm64" {
		return "amd64", "x86_64"
	}
	return "arm64", "aarch64"
}

// withoutHandlers runs the program where nothing is registered that runs programs for other architectures.
func (b *bakery) withoutHandlers() {
	b.wrap = []string{"unshare", "--mount", "sh", "-c", `d=/proc/sys/fs/binfmt_misc; [ ! -d $d ] || mount -t tmpfs none $d; exec "$@"`, "sh"}
}

// otherRecipe is a Debian for another architecture with a script that sets a capability and a step.
const otherRecipe = `name: other
from: {debian: SUITE, arch: ARCH}
packages: [iputils-ping]
run: ["uname -m > /etc/machine"]
owner: test
expires: 90d
`

// TestForeignDebian bakes for an architecture that this machine is not, from the Debian archive that its apt uses. Scripts
// run for real, by qemu.
func TestForeignDebian(t *testing.T) {
	arch, machine := otherArch()
	text := strings.NewReplacer("SUITE", suite(t), "ARCH", arch).Replace(otherRecipe)
	first := newBakery(t, nil, map[string]string{"recipe.yaml": text})
	first.internet = true
	first.must(t, "lock", "recipe.yaml")
	digest := first.bake(t)
	first.tidy(t)
	lock := first.read(t, "recipe.lock")
	// elsewhere has the lock, and nothing but the packages.
	elsewhere := func(t *testing.T) *bakery {
		t.Helper()
		b := copyHome(t, first, map[string]string{"recipe.yaml": text, "recipe.lock": lock})
		for _, gone := range []string{"notes", "files", "roots"} {
			if err := os.RemoveAll(filepath.Join(b.home, gone)); err != nil {
				t.Fatal(err)
			}
		}
		return b
	}
	t.Run("what is in it", func(t *testing.T) {
		if got := first.must(t, "cat", digest, "/etc/machine"); got != machine+"\n" {
			t.Errorf("/etc/machine: %q, want %s", got, machine)
		}
		files := first.must(t, "files", digest, "/", "-R")
		if !regexp.MustCompile(`(?m)^-rwxr-xr-x\+ 0:0 .* /usr/bin/ping$`).MatchString(files) {
			t.Error("ping has not the capability that its script sets")
		}
		if m := regexp.MustCompile(`(?m)^.*qemu.*$`).FindString(files); m != "" {
			t.Errorf("of qemu, there is %s", m)
		}
	})
	t.Run("its dpkg believes it", func(t *testing.T) {
		out := first.must(t, "run", digest, "sh", "-c",
			`uname -m; dpkg --print-architecture; dpkg --audit; dpkg --verify; dpkg-query -W -f '${Package} ${Version} ${db:Status-Status}\n'`)
		want := []string{machine, arch}
		for _, m := range regexp.MustCompile(`name: (\S+), version: "(.*?)"`).FindAllStringSubmatch(lock, -1) {
			want = append(want, m[1]+" "+m[2]+" installed")
		}
		if got := strings.Split(strings.TrimSpace(out), "\n"); !slices.Equal(got, want) {
			t.Errorf("dpkg says\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
	t.Run("the same bits as an ordinary user", func(t *testing.T) {
		b := newBakery(t, nil, map[string]string{"recipe.yaml": text, "recipe.lock": lock})
		b.internet = true
		asUser(t, b)
		if got := b.bake(t); got != digest {
			t.Errorf("image %s, want %s", got, digest)
		}
	})
	t.Run("no handler", func(t *testing.T) {
		b := elsewhere(t)
		b.withoutHandlers()
		refusal := []string{`recipe\.yaml: an image for ` + arch + ` can't be baked here`, `hint: bake it on a machine for ` + arch + `, or install qemu-user-static`}
		b.refuse(t, 1, refusal, "bake", "recipe.yaml")
		ran := *first
		ran.withoutHandlers()
		ran.refuse(t, 125, []string{`is for ` + arch, `hint: .*qemu-user-static`}, "run", digest, "true")
	})
	t.Run("without scripts", func(t *testing.T) {
		none := "name: none\nfrom: {debian: " + suite(t) + ", arch: " + arch + ", variant: none}\npackages: [dpkg]\nscripts: none\nowner: test\nexpires: 90d\n"
		var digests []string
		for _, handlers := range []bool{true, false} {
			b := elsewhere(t)
			if !handlers {
				b.withoutHandlers()
			}
			b.write(t, "recipe.yaml", none)
			b.must(t, "lock", "recipe.yaml")
			digests = append(digests, b.bake(t))
		}
		if digests[0] != digests[1] {
			t.Errorf("with a handler and without: %v", digests)
		}
	})
}

// What needs programs of another architecture to run is not begun: nothing is fetched.
func TestOtherArch(t *testing.T) {
	a := hello()
	a.Add("bookworm", "main", apttest.Package{Name: "dpkg", Arch: "s390x", Files: []apttest.File{{Path: "usr/bin/dpkg", Mode: 0o755, Content: "\x7fELF"}}})
	s := a.Server(t)
	const refusal = `recipe\.yaml: an image for s390x can't be baked here: this machine is \S+, and `
	for _, tt := range []struct {
		name, packages, more string
		says                 string // "" when it is baked
	}{
		{"no scripts", "hello", "", ""},
		{"dpkg, which has scripts to run", "hello, dpkg", "", refusal + "maintainer scripts run for real"},
		{"dpkg, and scripts are not wanted", "hello, dpkg", "scripts: none\n", ""},
		{"a step", "hello", "run: [\"true\"]\n", refusal + "the steps of run are for that"},
		{"contents only", "", "files: [{path: /etc/x, content: x}]\n", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			files := plain(tt.packages)
			files["recipe.yaml"] = strings.Replace(files["recipe.yaml"], "variant: none", "variant: none, arch: s390x", 1) + tt.more
			b := newBakery(t, s, files)
			b.withoutHandlers()
			b.must(t, "lock", "recipe.yaml")
			if tt.says == "" {
				b.bake(t)
				return
			}
			before := s.Requests("*.deb")
			b.refuse(t, 1, []string{tt.says, `hint: bake it on a machine for s390x, or install qemu-user-static`}, "bake", "recipe.yaml")
			if s.Requests("*.deb") != before {
				t.Error("packages were fetched all the same")
			}
		})
	}
}
