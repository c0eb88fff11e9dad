package rootfs

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"brickyard/internal/bake/apt/apttest"
	"brickyard/internal/store"
	"brickyard/internal/tree"
)

// keepAll is a Slim that takes nothing.
type keepAll struct{}

func (keepAll) Match(string) (string, bool) { return "", false }
func (keepAll) String() string              { return "" }

// takeBelow is a Slim that takes all files below a directory.
type takeBelow string

func (s takeBelow) Match(p string) (string, bool) {
	return "test", strings.HasPrefix(p, string(s)+"/")
}
func (s takeBelow) String() string { return string(s) }

func newStore(t *testing.T) *store.Store {
	t.Helper()
	s, err := store.Open(filepath.Join(t.TempDir(), "home"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// build puts a package into the store and returns it, not unpacked.
func build(t *testing.T, s *store.Store, p apttest.Package) *Package {
	t.Helper()
	d, _, err := s.Put(bytes.NewReader(apttest.Build(p)))
	if err != nil {
		t.Fatal(err)
	}
	q := &Package{Name: p.Name, Version: "1.0", Arch: "all", Source: p.Name, Essential: p.Essential, Digest: d}
	if p.Version != "" {
		q.Version = p.Version
	}
	if p.Arch != "" {
		q.Arch = p.Arch
	}
	return q
}

func unpackAll(t *testing.T, s *store.Store, slim Slim, pkgs ...*Package) {
	t.Helper()
	batch := s.Batch()
	for _, p := range pkgs {
		if err := Unpack(t.Context(), s, p, slim, batch.Set); err != nil {
			t.Fatal(err)
		}
	}
	if err := batch.Commit(); err != nil {
		t.Fatal(err)
	}
}

// A package is what it says itself, unpacked now or before, whatever a lock says of it.
func TestUnpackOther(t *testing.T) {
	s := newStore(t)
	for _, known := range []bool{false, true} {
		for field, change := range map[string]func(*Package){
			"Package": func(p *Package) { p.Name = "other" }, "Version": func(p *Package) { p.Version = "2.0" },
			"Architecture": func(p *Package) { p.Arch = "arm64" }, "Source": func(p *Package) { p.Source = "other" },
		} {
			p := build(t, s, apttest.Package{Name: "x", Source: "src (0.9)"})
			p.Source = "src"
			change(p)
			err := Unpack(t.Context(), s, p, keepAll{}, s.Batch().Set)
			if e, ok := errors.AsType[*OtherPackageError](err); !ok || e.Field != field {
				t.Errorf("%s, unpacked before: %v: %v", field, known, err)
			}
		}
		p := build(t, s, apttest.Package{Name: "x", Source: "src (0.9)"})
		p.Source = "src"
		unpackAll(t, s, keepAll{}, p)
	}
}

// What was unpacked once is read from the store, and is the same.
func TestUnpackTwice(t *testing.T) {
	s := newStore(t)
	pkg := apttest.Package{
		Name: "x", Conffiles: []string{"/etc/x"}, Scripts: map[string]string{"postinst": "#!/bin/sh\n"},
		Files: []apttest.File{{Path: "etc/x", Content: "conf"}, {Path: "usr/share/doc/x/a", Content: "doc"}, {Path: "usr/bin/x", Content: "x", Mode: 0o755}},
	}
	slim := takeBelow("usr/share/doc")
	one, two := build(t, s, pkg), build(t, s, pkg)
	unpackAll(t, s, slim, one)
	os.WriteFile(s.BlobPath(one.Digest), nil, 0o644) // it is not looked at again
	unpackAll(t, s, slim, two)
	if fmt.Sprintf("%+v", one) != fmt.Sprintf("%+v", two) {
		t.Errorf("first\n%+v\nagain\n%+v", one, two)
	}
	if got := fmt.Sprint(one.Removed.Paths(), one.Conffiles); got != "[usr/share/doc/x/a] map[/etc/x:3a8e4c06e471595f6eb262bb9b5582d9]" {
		t.Errorf("removed and conffiles: %s", got)
	}
}

// A damaged .deb is not unpacked, and nothing is noted of it.
func TestUnpackDamaged(t *testing.T) {
	s := newStore(t)
	p := build(t, s, apttest.Package{Name: "x", Files: []apttest.File{{Path: "usr/x", Content: "x"}}})
	data, err := os.ReadFile(s.BlobPath(p.Digest))
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(s.BlobPath(p.Digest), data, 0o644); err != nil {
		t.Fatal(err)
	}
	batch := s.Batch()
	if err := Unpack(t.Context(), s, p, keepAll{}, batch.Set); !errors.Is(err, store.ErrDigest) {
		t.Errorf("Unpack: %v", err)
	}
	if err := batch.Commit(); err != nil {
		t.Fatal(err)
	}
	if notes, err := s.Notes("deb"); err != nil || len(notes) > 0 {
		t.Errorf("notes %v, %v", notes, err)
	}
}

// A file that slim takes under its first name stays under the others.
func TestUnpackHardLinkToSlimmed(t *testing.T) {
	s := newStore(t)
	p := build(t, s, apttest.Package{Name: "x", Files: []apttest.File{
		{Path: "usr/share/doc/x/prog", Content: "program", Mode: 0o755}, {Path: "usr/bin/a", Type: apttest.HardLink, Link: "usr/share/doc/x/prog"},
		{Path: "usr/bin/b", Type: apttest.HardLink, Link: "usr/share/doc/x/prog"},
	}})
	unpackAll(t, s, takeBelow("usr/share/doc"), p)
	for _, name := range []string{"usr/bin/a", "usr/bin/b"} {
		e := p.Tree[name]
		if e.Digest != store.Sum([]byte("program")) || !s.HasFile(e) {
			t.Errorf("%s: %+v, in the store: %v", name, e, s.HasFile(e))
		}
		if _, ok := p.Tree[e.Hard]; e.Hard != "" && !ok {
			t.Errorf("%s is another name of %s, which is not there", name, e.Hard)
		}
	}
	if _, ok := p.Removed["usr/share/doc/x/prog"]; !ok {
		t.Errorf("removed: %v", p.Removed.Paths())
	}
}

// The stage of the Essential set does not begin when one of its packages can't be unpacked.
func TestUnpackEssentialBroken(t *testing.T) {
	s := newStore(t)
	var pkgs []*Package
	for i := range 20 {
		pkgs = append(pkgs, build(t, s, apttest.Package{Name: fmt.Sprintf("p%d", i), Essential: i < 3}))
	}
	pkgs[1].Digest = store.Sum([]byte("not there"))
	b := &Builder{Store: s, Slim: keepAll{}, Note: func(string, string, any) error { return nil }, OnUnpack: func(*Package) {}}
	began := false
	if err := b.Unpack(t.Context(), pkgs, func() { began = true }); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Unpack: %v", err)
	}
	if began {
		t.Error("the stage began without one of its packages")
	}
	pkgs[1] = build(t, s, apttest.Package{Name: "p1", Essential: true})
	if err := b.Unpack(t.Context(), pkgs, func() { began = true }); err != nil || !began {
		t.Errorf("Unpack: %v, began %v", err, began)
	}
}

// placedRoot puts packages into an empty root.
func placedRoot(t *testing.T, pkgs ...apttest.Package) (*Builder, *Root) {
	t.Helper()
	s := newStore(t)
	b := &Builder{Store: s, Slim: keepAll{}, Arch: "amd64", Epoch: apttest.Epoch}
	r := newRoot(nil)
	r.mergeUsr("amd64", b.Epoch)
	var ps []*Package
	for _, p := range pkgs {
		ps = append(ps, build(t, s, p))
	}
	unpackAll(t, s, keepAll{}, ps...)
	if _, err := b.put(r, order(ps)); err != nil {
		t.Fatal(err)
	}
	return b, r
}

func content(t *testing.T, b *Builder, r *Root, p string) string {
	t.Helper()
	data, err := b.text(r, p)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// What is written of triggers is what dpkg writes.
func TestTriggers(t *testing.T) {
	b, r := placedRoot(t,
		apttest.Package{Name: "listener", Scripts: map[string]string{"triggers": "# comment\ninterest-noawait /usr/lib\ninterest word\n"}},
		apttest.Package{Name: "second", Scripts: map[string]string{"triggers": "interest-await word\ninterest /etc/x # why\n"}},
	)
	if got := content(t, b, r, fileTrigger); got != "/usr/lib listener/noawait\n/etc/x second\n" {
		t.Errorf("File: %q", got)
	}
	if got := content(t, b, r, triggerDir+"/word"); got != "listener\nsecond\n" {
		t.Errorf("word: %q", got)
	}
	if _, ok := r.Tree[unincorp]; ok {
		t.Errorf("Unincorp before anything is configured: %q", content(t, b, r, unincorp))
	}
	// A later package sets off what earlier ones wait for, and nothing else, when there is a dpkg to hear of it.
	b.Scripts = true
	r.Tree["usr/bin/dpkg"] = tree.Entry{Type: tree.Regular}
	later := []*Package{
		build(t, b.Store, apttest.Package{Name: "later", Files: []apttest.File{{Path: "usr/lib/deep/file", Content: "x"}, {Path: "usr/share/y", Content: "y"}},
			Scripts: map[string]string{"triggers": "activate-noawait word\nactivate nobody\ninterest own\n"}}),
	}
	unpackAll(t, b.Store, keepAll{}, later...)
	if _, err := b.put(r, later); err != nil {
		t.Fatal(err)
	}
	if got := content(t, b, r, unincorp); got != "/usr/lib -\nword -\n" {
		t.Errorf("Unincorp: %q", got)
	}
}

// Two architectures of one Multi-Arch: same package share their common file, and have info files of their own.
func TestMultiArchSame(t *testing.T) {
	lib := func(arch string) apttest.Package {
		return apttest.Package{Name: "lib", Arch: arch, MultiArch: "same", Files: []apttest.File{{Path: "usr/share/lib/common", Content: "same"}, {Path: "usr/lib/" + arch + "/lib.so", Content: arch}}}
	}
	_, r := placedRoot(t, lib("amd64"), lib("i386"))
	for _, p := range []string{"usr/share/lib/common", "usr/lib/amd64/lib.so", "usr/lib/i386/lib.so", "var/lib/dpkg/info/lib:amd64.list", "var/lib/dpkg/info/lib:i386.list"} {
		if _, ok := r.Tree[p]; !ok {
			t.Errorf("no %s", p)
		}
	}
}

// A diversion that is there when a package is put in sends the package's file elsewhere, under all its names.
func TestDivertedHardLink(t *testing.T) {
	b, r := placedRoot(t)
	if err := b.set(r, divertFile, []byte("/bin/tool\n/bin/tool.distrib\nother\n")); err != nil {
		t.Fatal(err)
	}
	if err := b.readDiversions(r); err != nil {
		t.Fatal(err)
	}
	p := build(t, b.Store, apttest.Package{Name: "x", Files: []apttest.File{{Path: "bin/tool", Content: "tool"}, {Path: "bin/zool", Type: apttest.HardLink, Link: "bin/tool"}}})
	unpackAll(t, b.Store, keepAll{}, p)
	placed, err := b.put(r, []*Package{p})
	if err != nil {
		t.Fatal(err)
	}
	layer := tree.Tree{}
	layer.Apply(placed[0].Tree)
	if _, ok := layer["usr/bin/tool"]; ok {
		t.Error("the diverted path is there")
	}
	for _, name := range []string{"usr/bin/tool.distrib", "usr/bin/zool"} {
		if e := layer[name]; e.Digest != store.Sum([]byte("tool")) || e.Hard == "usr/bin/tool" {
			t.Errorf("%s: %+v", name, e)
		}
	}
}

// The new day of the last password change is that of the epoch; what was there before stays.
func TestDateShadow(t *testing.T) {
	s := newStore(t)
	b := &Builder{Store: s, Epoch: 20000 * 86400}
	file := func(text string) tree.Entry {
		e := tree.Entry{Type: tree.Regular, Mode: 0o640, GID: 42, Size: int64(len(text))}
		if err := s.AddFile(&e, strings.NewReader(text), nil); err != nil {
			t.Fatal(err)
		}
		return e
	}
	lower := tree.Tree{"etc/shadow": file("root:*:19000:0:99999:7:::\n")}
	layer := tree.Tree{"etc/shadow": file("root:*:19000:0:99999:7:::\nnew:!:20777::::::\nexpired:!:0::::::\nnone:!:::::::\nbroken\n"), "etc/shadow-": file("root:*:20778:0:99999:7:::\n")}
	if err := b.dateShadow(lower, layer); err != nil {
		t.Fatal(err)
	}
	for p, want := range map[string]string{
		"etc/shadow": "root:*:19000:0:99999:7:::\nnew:!:20000::::::\nexpired:!:0::::::\nnone:!:::::::\nbroken\n", "etc/shadow-": "root:*:20000:0:99999:7:::\n",
	} {
		data, err := b.content(layer[p])
		if err != nil || string(data) != want {
			t.Errorf("%s: %q, %v, want %q", p, data, err, want)
		}
		if e := layer[p]; e.Mode != 0o640 || e.GID != 42 {
			t.Errorf("%s: %+v", p, e)
		}
	}
}
