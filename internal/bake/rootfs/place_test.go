package rootfs

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"brickyard/internal/tree"
)

// pkg makes a package of files: a path that ends in "/" is a directory, one with "->" a link, and the content
// of any other is named by its package.
func pkg(name, fields string, paths ...string) *Package {
	p := &Package{Name: name, Version: "1", Arch: "all", Source: name, Tree: tree.Tree{}, Removed: tree.Tree{}}
	p.Paragraph = "Package: " + name + "\nVersion: 1\nArchitecture: all\n" + fields
	p.List = []string{"/."}
	p.Conffiles = map[string]string{}
	p.Files = map[string]ControlFile{}
	for _, at := range paths {
		e := tree.Entry{Type: tree.Regular, Mode: 0o644, Size: 1, Digest: tree.Digest("sha256:" + strings.Repeat("0", 60) + name)}
		if dir, ok := strings.CutSuffix(at, "/"); ok {
			at, e = dir, tree.Entry{Type: tree.Dir, Mode: 0o755}
		} else if from, to, ok := strings.Cut(at, "->"); ok {
			at, e = from, tree.Entry{Type: tree.Symlink, Mode: 0o777, Link: to}
		}
		p.Tree[at] = e
		p.List = append(p.List, "/"+at)
	}
	return p
}

func placeAll(t *testing.T, r *Root, pkgs ...*Package) {
	t.Helper()
	for _, p := range pkgs {
		if err := r.place(p); err != nil {
			t.Fatal(err)
		}
	}
}

func of(r *Root, p string) string { return r.owners[p] }

func TestPlaceFollowsLinksToDirectories(t *testing.T) {
	r := newRoot(nil)
	r.mergeUsr("amd64", 0)
	placeAll(t, r, pkg("a", "", "bin/", "bin/x", "usr/", "usr/bin/", "usr/bin/y"))
	if r.Tree["bin"].Type != tree.Symlink {
		t.Error("/bin is no link any more")
	}
	for _, p := range []string{"usr/bin/x", "usr/bin/y"} {
		if of(r, p) != "a" || r.placed["a"][p].Type != tree.Regular {
			t.Errorf("%s is not the package's", p)
		}
	}
	if _, ok := r.placed["a"]["bin"]; ok {
		t.Error("the layer would put a directory over the link /bin")
	}
}

func TestPlaceKeepsDirectoriesAsTheyAre(t *testing.T) {
	r := newRoot(nil)
	a, b := pkg("a", "", "var/"), pkg("b", "", "var/")
	a.Tree["var"] = tree.Entry{Type: tree.Dir, Mode: 0o1777, GID: 8}
	placeAll(t, r, a, b)
	if got := r.Tree["var"]; got.Mode != 0o1777 || got.GID != 8 {
		t.Errorf("var is %o %d, want the first package's", got.Mode, got.GID)
	}
}

func TestPlaceReplaces(t *testing.T) {
	for _, tt := range []struct {
		name   string
		first  *Package
		second *Package
		want   string // who has the file; "" for a conflict
	}{
		{"neither replaces", pkg("a", "", "f"), pkg("b", "", "f"), ""},
		{"the second replaces", pkg("a", "", "f"), pkg("b", "Replaces: a (<< 2)\n", "f"), "b"},
		{"the first replaces", pkg("a", "Replaces: x, b\n", "f"), pkg("b", "", "f"), "a"},
		{"the second replaces another version", pkg("a", "", "f"), pkg("b", "Replaces: a (<< 1)\n", "f"), ""},
		{"the first replaces another version", pkg("a", "Replaces: b (>> 1)\n", "f"), pkg("b", "", "f"), ""},
		{"folded field", pkg("a", "", "f"), pkg("b", "Replaces: x,\n a\n", "f"), "b"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRoot(nil)
			placeAll(t, r, tt.first)
			err := r.place(tt.second)
			if tt.want == "" {
				if _, ok := errors.AsType[*ConflictError](err); !ok {
					t.Errorf("got %v, want a conflict", err)
				}
				return
			}
			if err != nil || of(r, "f") != tt.want {
				t.Fatalf("f is %s's, %v, want %s's", of(r, "f"), err, tt.want)
			}
			for _, p := range []string{"a", "b"} {
				if _, has := r.placed[p]["f"]; has != (p == tt.want) {
					t.Errorf("layer of %s has f: %v", p, has)
				}
			}
			if tt.want == "b" && slices.Contains(r.members["a"].list, "/f") {
				t.Error("dpkg's list of a still has f")
			}
		})
	}
}

func TestPlaceDiverts(t *testing.T) {
	r := newRoot(nil)
	r.divert = map[string]diversion{"f": {to: "f.distrib", pkg: "b"}}
	placeAll(t, r, pkg("a", "", "f"), pkg("b", "", "f"))
	if of(r, "f") != "b" || of(r, "f.distrib") != "a" {
		t.Errorf("f is %q's, f.distrib %q's", of(r, "f"), of(r, "f.distrib"))
	}
}

func TestPlaceKeepsWhatScriptsMadeOnlyOfConffiles(t *testing.T) {
	r := newRoot(nil)
	made := tree.Entry{Type: tree.Regular, Mode: 0o600, Size: 2, Digest: "sha256:made"}
	r.Tree["etc/c"], r.Tree["etc/f"] = made, made
	a := pkg("a", "", "etc/c", "etc/f")
	a.Conffiles["/etc/c"] = "0"
	placeAll(t, r, a)
	if r.Tree["etc/c"].Digest != made.Digest {
		t.Error("the configuration file that was there is lost")
	}
	if r.Tree["etc/f"].Digest == made.Digest {
		t.Error("a file of the package did not go over what was there")
	}
}

func TestPlaceRefusesAFileOverADirectory(t *testing.T) {
	r := newRoot(nil)
	placeAll(t, r, pkg("a", "", "d/", "d/f"))
	if _, ok := errors.AsType[*ConflictError](r.place(pkg("b", "", "d"))); !ok {
		t.Error("a file took the place of a directory")
	}
	placeAll(t, r, pkg("c", "", "d->elsewhere"))
	if r.Tree["d"].Type != tree.Dir {
		t.Error("a link took the place of a directory; dpkg leaves it")
	}
}

func TestStages(t *testing.T) {
	script := func(p *Package, text string) *Package {
		p.Files["preinst"] = ControlFile{Data: []byte(text)}
		return p
	}
	essential := pkg("dpkg", "")
	essential.Essential = true
	const trivial = "#!/bin/sh\nset -e\n# by debhelper\ndpkg-maintscript-helper rm_conffile /etc/x 1 -- \"$@\"\n"
	pkgs := []*Package{
		essential,
		pkg("lib", ""),
		script(pkg("late", "Pre-Depends: tool\nDepends: lib\n"), "#!/bin/sh\ntool --init\n"),
		pkg("tool", "Depends: lib\n"),
		script(pkg("easy", "Pre-Depends: tool\n"), trivial),
		pkg("after", "Depends: late\n"),
	}
	var got []string
	for _, st := range stages(pkgs) {
		var names []string
		for _, p := range st {
			names = append(names, p.Name)
		}
		slices.Sort(names)
		got = append(got, strings.Join(names, " "))
	}
	want := []string{"dpkg", "easy lib tool", "after late"}
	if !slices.Equal(got, want) {
		t.Errorf("stages %q, want %q", got, want)
	}
}

func TestOrderPutsNeedsFirst(t *testing.T) {
	var got []string
	for _, p := range order([]*Package{pkg("a", "Depends: b | z, virtual\n"), pkg("b", "Pre-Depends: c\n"), pkg("c", "Depends: a\n"), pkg("v", "Provides: virtual\n"), pkg("base-files", "Depends: b\n")}) {
		got = append(got, p.Name)
	}
	if want := []string{"base-files", "c", "b", "v", "a"}; !slices.Equal(got, want) {
		t.Errorf("order %v, want %v", got, want)
	}
}

func TestDropEmptyTakesOnlyWhatSlimNames(t *testing.T) {
	root := tree.Tree{
		"man": {Type: tree.Dir}, "man/de": {Type: tree.Dir}, "man/de/man1": {Type: tree.Dir}, "man/fr": {Type: tree.Dir},
		"man/fr/kept": {Type: tree.Regular}, "empty": {Type: tree.Dir},
	}
	dropEmpty(root, slimBelow("man/"))
	if got, want := root.Paths(), []string{"empty", "man", "man/fr", "man/fr/kept"}; !slices.Equal(got, want) {
		t.Errorf("left %v, want %v", got, want)
	}
}

// slimBelow does without all below a path.
type slimBelow string

func (s slimBelow) Match(p string) (string, bool) { return "test", strings.HasPrefix(p, string(s)) }
func (s slimBelow) String() string                { return string(s) }
