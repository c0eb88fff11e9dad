package rootfs

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"brickyard/internal/bake/apt/apttest"
	"brickyard/internal/tree"
)

// What becomes of a file that two packages have, in one stage or in two, in one root or on a base, is what dpkg
// makes of it: who has it in the end, what the lists say, and what is refused.
func TestFilesOfTwoPackagesAsDpkg(t *testing.T) {
	f := []apttest.File{{Path: "f", Content: "from a"}, {Path: "d/own-a", Content: "a"}}
	g := []apttest.File{{Path: "f", Content: "from b"}, {Path: "d/own-b", Content: "b"}}
	link := []apttest.File{{Path: "f", Type: apttest.Link, Link: "d/own-b"}, {Path: "d/own-b", Content: "b"}}
	for _, tt := range []struct {
		name string
		a, b apttest.Package
	}{
		{"no Replaces", apttest.Package{Files: f}, apttest.Package{Files: g}},
		{"the second replaces", apttest.Package{Files: f}, apttest.Package{Files: g, Replaces: "a"}},
		{"the second replaces the version", apttest.Package{Files: f}, apttest.Package{Files: g, Replaces: "x, a (<< 1.0.1)"}},
		{"the second replaces another version", apttest.Package{Files: f}, apttest.Package{Files: g, Replaces: "a (<< 1.0)"}},
		{"the first replaces", apttest.Package{Files: f, Replaces: "b (= 1.0)"}, apttest.Package{Files: g}},
		{"the first replaces another version", apttest.Package{Files: f, Replaces: "b (>> 1.0)"}, apttest.Package{Files: g}},
		{"both replace", apttest.Package{Files: f, Replaces: "b"}, apttest.Package{Files: g, Replaces: "a"}},
		{"a link replaces", apttest.Package{Files: f}, apttest.Package{Files: link, Replaces: "a"}},
		{"the same content is no excuse", apttest.Package{Files: f}, apttest.Package{Files: f}},
		{"Provides do not count", apttest.Package{Files: f, Provides: "v"}, apttest.Package{Files: g, Replaces: "v"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.a.Name, tt.b.Name = "a", "b"
			dir, refused := dpkgUnpack(t, tt.a, tt.b)
			for how, put := range map[string]func(*Builder, *Root, *Package, *Package) (*Root, error){
				"one stage": func(b *Builder, r *Root, p, q *Package) (*Root, error) {
					_, err := b.put(r, []*Package{p, q})
					return r, err
				},
				"two stages": func(b *Builder, r *Root, p, q *Package) (*Root, error) {
					_, err1 := b.put(r, []*Package{p})
					_, err2 := b.put(r, []*Package{q})
					return r, errors.Join(err1, err2)
				},
				"on a base": func(b *Builder, r *Root, p, q *Package) (*Root, error) {
					_, err1 := b.put(r, []*Package{p})
					r = newRoot(r.Tree)
					err2 := b.readDatabase(r)
					_, err3 := b.put(r, []*Package{q})
					return r, errors.Join(err1, err2, err3)
				},
			} {
				b, r := placedRoot(t)
				p, q := build(t, b.Store, tt.a), build(t, b.Store, tt.b)
				unpackAll(t, b.Store, keepAll{}, p, q)
				r, err := put(b, r, p, q)
				if _, conflict := errors.AsType[*ConflictError](err); conflict != refused || err != nil && !conflict {
					t.Fatalf("%s: %v; dpkg refuses: %v", how, err, refused)
				}
				if refused {
					continue
				}
				for _, name := range []string{"f", listFile("a"), listFile("b")} {
					if got, want := look(t, b, r.Tree, name), lookAt(t, filepath.Join(dir, name)); got != want {
						t.Errorf("%s: %s is %q, dpkg's %q", how, name, got, want)
					}
				}
			}
		})
	}
}

// dpkgUnpack lets dpkg unpack two packages, one after the other, in an empty root. refused: it did not take the second.
func dpkgUnpack(t *testing.T, a, b apttest.Package) (root string, refused bool) {
	t.Helper()
	root = t.TempDir()
	for _, d := range []string{"info", "updates", "triggers"} {
		if err := os.MkdirAll(filepath.Join(root, dpkgDir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, statusFile), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, p := range []apttest.Package{a, b} {
		file := filepath.Join(t.TempDir(), p.Name+".deb")
		if err := os.WriteFile(file, apttest.Build(p), 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("dpkg", "--root="+root, "--force-not-root,bad-path", "--unpack", file).CombinedOutput()
		refused = strings.Contains(string(out), "trying to overwrite")
		if err != nil && !(refused && p.Name == b.Name) {
			t.Fatalf("dpkg: %v: %s", err, out)
		}
	}
	return root, refused
}

func look(t *testing.T, b *Builder, root tree.Tree, p string) string {
	t.Helper()
	if e := root[p]; e.Type != tree.Regular {
		return fmt.Sprintf("%s %s", string(e.Type), e.Link)
	}
	data, err := b.content(root[p])
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func lookAt(t *testing.T, p string) string {
	t.Helper()
	if to, err := os.Readlink(p); err == nil {
		return fmt.Sprintf("%s %s", string(tree.Symlink), to)
	}
	data, err := os.ReadFile(p)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
