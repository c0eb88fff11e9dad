package index_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"brickyard/internal/catalog/index"
	"brickyard/internal/catalog/indextest"
	"brickyard/internal/store"
	"brickyard/internal/tree"

	"github.com/google/go-cmp/cmp"
)

// web opens a new store with the images of indextest.Web.
func web(t *testing.T) (s *store.Store, base, web, web11 index.Record) {
	t.Helper()
	s, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	base, web, web11, err = indextest.Web(s)
	if err != nil {
		t.Fatal(err)
	}
	return s, base, web, web11
}

func TestParseRef(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want index.Ref // zero: refused
	}{
		{"web", index.Ref{Name: "web", Tag: "latest"}},
		{"web:1.0", index.Ref{Name: "web", Tag: "1.0"}},
		{"team/web-2:v1_a", index.Ref{Name: "team/web-2", Tag: "v1_a"}},
		{"", index.Ref{}},
		{"Web", index.Ref{}},
		{"web:", index.Ref{}},
		{":1", index.Ref{}},
		{"web:1:2", index.Ref{}},
		{"../web", index.Ref{}},
		{"web/", index.Ref{}},
		{"web:.x", index.Ref{}},
		{"we b", index.Ref{}},
		{"sha256:aaaaaa", index.Ref{}}, // a digest: nobody could ask for it
		{strings.Repeat("a", 250), index.Ref{}},
	} {
		got, err := index.ParseRef(tt.in)
		if got != tt.want || (err == nil) != (tt.want != index.Ref{}) {
			t.Errorf("ParseRef(%q) = %v, %v, want %v", tt.in, got, err, tt.want)
		}
	}
}

func TestResolve(t *testing.T) {
	s, base, web, web11 := web(t)
	c := index.New(s)
	b := s.Batch()
	if err := c.Tag(b, "base", base.Image, false, "ann@forge", time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := b.Commit(); err != nil {
		t.Fatal(err)
	}
	hex := web.Image.Hex()
	for _, tt := range []struct {
		name, ref string
		want      tree.Digest
		hint      string
	}{
		{"name and tag", "web:1.1", web11.Image, ""},
		{"name alone is latest", "base", base.Image, ""},
		{"name without latest", "web", "", "there is web:1.0, web:1.1"},
		{"no such tag", "web:2", "", "there is web:1.0, web:1.1"},
		{"digest", string(web.Image), web.Image, ""},
		{"start of a digest", hex[:6], web.Image, ""},
		{"start with algorithm", "sha256:" + hex[:12], web.Image, ""},
		{"start is too short", hex[:5], "", "see: brickyard images"},
		{"no such digest", "sha256:" + strings.Repeat("0", 64), "", "see: brickyard images"},
		{"near", "wep:1.0", "", "did you mean web:1.0 or web:1.1?"},
		{"nothing like it", "database", "", "see: brickyard images"},
		{"not a name", "../../etc", "", "see: brickyard images"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := c.Resolve(tt.ref)
			if got != tt.want {
				t.Errorf("Resolve(%q) = %q, want %q", tt.ref, got, tt.want)
			}
			if tt.want != "" {
				return
			}
			e, ok := errors.AsType[*index.NotFoundError](err)
			if !ok {
				t.Fatalf("Resolve(%q): %v, want a NotFoundError", tt.ref, err)
			}
			if e.Hint() != tt.hint {
				t.Errorf("hint %q, want %q", e.Hint(), tt.hint)
			}
		})
	}
}

func TestResolveAmbiguous(t *testing.T) {
	s, _, _, _ := web(t)
	c, b := index.New(s), s.Batch()
	for _, end := range []string{"1", "2"} {
		r := index.Record{Image: tree.Digest("sha256:" + strings.Repeat("a", 63) + end), Name: "x"}
		if err := c.Add(b, r); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Commit(); err != nil {
		t.Fatal(err)
	}
	_, err := c.Resolve("aaaaaaaa")
	e, ok := errors.AsType[*index.AmbiguousError](err)
	if !ok || len(e.Images) != 2 {
		t.Errorf("Resolve: %v, want an AmbiguousError about two", err)
	}
}

func TestTag(t *testing.T) {
	s, base, web, _ := web(t)
	c := index.New(s)
	now := time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)
	tag := func(ref string, d tree.Digest, move bool) error {
		b := s.Batch()
		if err := c.Tag(b, ref, d, move, "bob@forge", now); err != nil {
			return err
		}
		return b.Commit()
	}
	if err := tag("web:1.0", web.Image, false); err != nil {
		t.Errorf("the same tag again: %v", err)
	}
	err := tag("web:1.0", base.Image, false)
	if e, ok := errors.AsType[*index.TagUsedError](err); !ok || e.Image != web.Image {
		t.Errorf("a used tag: %v, want a TagUsedError about %s", err, web.Image)
	}
	if got, _ := c.Resolve("web:1.0"); got != web.Image {
		t.Errorf("a refused tag moved to %s", got)
	}
	if err := tag("web:1.0", base.Image, true); err != nil {
		t.Fatal(err)
	}
	got, err := c.Untag("web:1.0")
	want := index.Tag{Ref: "web:1.0", Image: base.Image, At: now, By: "bob@forge", Previous: web.Image}
	if err != nil || !slices.Equal(got, []index.Tag{want}) {
		t.Errorf("Untag = %v, %v, want %v", got, err, want)
	}
	if _, err := c.Untag("web:1.0"); err == nil {
		t.Error("Untag took away what was not there")
	}
	for _, refs := range [][]string{{"web:1.1", "web:none"}, {"web:1.1", ""}} {
		if got, err := c.Untag(refs...); err == nil || got != nil {
			t.Errorf("Untag(%q) = %v, %v", refs, got, err)
		}
		if _, err := c.Resolve("web:1.1"); err != nil {
			t.Errorf("a name was taken away though another could not be: %v", err)
		}
	}
	if got, err := c.Untag("web:1.1", "web:1.1"); err != nil || len(got) != 1 {
		t.Errorf("one name twice: %v, %v", got, err)
	}
}

func TestImages(t *testing.T) {
	s, base, web, web11 := web(t)
	c := index.New(s)
	now := time.Date(2026, 1, 22, 18, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name    string
		filters []string
		want    []tree.Digest
	}{
		{"all", nil, []tree.Digest{base.Image, web11.Image, web.Image}},
		{"name", []string{"web"}, []tree.Digest{web11.Image, web.Image}},
		{"glob", []string{"b*"}, []tree.Digest{base.Image}},
		{"tag", []string{"web:1.1"}, []tree.Digest{web11.Image}},
		{"two names", []string{"web:1.1", "base"}, []tree.Digest{base.Image, web11.Image}},
		{"digest", []string{web.Image.Hex()[:8]}, []tree.Digest{web.Image}},
		{"package", []string{"package=nginx"}, []tree.Digest{web11.Image, web.Image}},
		{"package and version", []string{"package=nginx=1.22.1-9"}, []tree.Digest{web.Image}},
		{"expired", []string{"expired=yes"}, []tree.Digest{web.Image}},
		{"owner and name", []string{"owner=web-team", "base"}, nil},
		{"lifecycle", []string{"lifecycle=disposable", "expired=no"}, []tree.Digest{web11.Image}},
		{"untagged", []string{"tagged=no"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, err := index.ParseFilter(tt.filters, now)
			if err != nil {
				t.Fatal(err)
			}
			images, damaged, err := c.Images(f)
			if err != nil || len(damaged) > 0 {
				t.Fatal(damaged, err)
			}
			var got []tree.Digest
			for _, im := range images {
				got = append(got, im.Digest)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("Images(%q):\n got %v\nwant %v", tt.filters, got, tt.want)
			}
		})
	}
	for _, bad := range []string{"size=1", "expired=maybe", "[x", "", "owner=", "package=", "lifecycle="} {
		if _, err := index.ParseFilter([]string{bad}, now); err == nil {
			t.Errorf("ParseFilter took %q", bad)
		}
	}
}

func TestOwner(t *testing.T) {
	s, base, web, _ := web(t)
	c := index.New(s)
	for _, tt := range []struct {
		name, path, real string
		kind             string
		packages         string
		line             int
		text             string
		image            tree.Digest
	}{
		{"package of the base", "/usr/bin/ls", "/usr/bin/ls", index.OwnerPackage, "coreutils", 0, "", base.Image},
		{"through a merged directory", "/bin/ls", "/usr/bin/ls", index.OwnerPackage, "coreutils", 0, "", base.Image},
		{"own package", "usr/sbin/nginx", "/usr/sbin/nginx", index.OwnerPackage, "nginx", 0, "", web.Image},
		{"link itself", "/bin", "/bin", index.OwnerPackage, "libc6", 0, "", base.Image},
		{"changed by a script", "/etc/nsswitch.conf", "/etc/nsswitch.conf", index.OwnerScript, "libc6", 0, "", base.Image},
		{"own line of the recipe", "/srv/www/index.html", "/srv/www/index.html", index.OwnerRecipe, "", 5, "{path: /srv/www/index.html, source: index.html}", web.Image},
		{"nearest line of the recipe", "/srv/www/more", "/srv/www/more", index.OwnerRecipe, "", 6, "{path: /srv, tree: srv}", web.Image},
		{"directory of several packages", "/usr", "/usr", index.OwnerPackage, "coreutils libc6", 0, "", base.Image},
		{"directory of those who are in it", "/etc", "/etc", index.OwnerPackage, "libc6", 0, "", base.Image},
		{"root", "/", "/", index.OwnerPackage, "coreutils libc6", 0, "", base.Image},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o, err := c.Owner(web, tt.path)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, p := range o.Packages {
				names = append(names, p.Name)
			}
			line := 0
			if o.Place != nil {
				line = o.Place.Line
			}
			if o.Real != tt.real || o.Kind != tt.kind || strings.Join(names, " ") != tt.packages || line != tt.line || o.Text != tt.text || o.Image != tt.image {
				t.Errorf("Owner(%q) = %+v, packages %v, line %d", tt.path, o, names, line)
			}
		})
	}
	for _, gone := range []string{"/etc/ld.so.cache", "/nowhere"} {
		if _, err := c.Owner(web, gone); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Owner(%q): %v, want %v", gone, err, fs.ErrNotExist)
		}
	}
}

// TestOwnerOfChildAndParent: each image's files are explained by its own recipe, though the child's record
// has the parent's places, too.
func TestOwnerOfChildAndParent(t *testing.T) {
	s, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	recipeLayer := func(path string) []indextest.Layer {
		return []indextest.Layer{{Kind: index.LayerRecipe, Files: map[string]indextest.File{path: indextest.Text(path)}}}
	}
	places := []index.Place{{Path: "srv/www", What: "files[0]", Line: 3}, {Path: ".", What: "run", Line: 9}}
	parent, err := indextest.Bake(s, indextest.Image{
		Record: index.Record{Name: "parent", Places: places}, Recipe: "files:\n- path: /srv/www\n  tree: parent\n", Layers: recipeLayer("srv/www/old"),
	})
	if err != nil {
		t.Fatal(err)
	}
	child, err := indextest.Bake(s, indextest.Image{
		Parent: &parent, Recipe: "files:\n- path: /srv\n  tree: child\n", Layers: recipeLayer("srv/www/new"),
		Record: index.Record{Name: "child", Places: append(slices.Clone(places), index.Place{Path: "srv", What: "files[0]", Line: 5})},
	})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"srv/www/old": "{path: /srv/www, tree: parent}", "srv/www/new": "{path: /srv, tree: child}"} {
		o, err := index.New(s).Owner(child, path)
		if err != nil || o.Text != want {
			t.Errorf("%s: %q, %v, want %q", path, o.Text, err, want)
		}
	}
}

func TestOwnersRoundTrip(t *testing.T) {
	want := map[string][]int{"a": {0}, "a\tb": {1, 2}, "\"q\"": {2}, ".": {0, 1, 2}, "spa ce": {1}}
	got, err := index.DecodeOwners(index.EncodeOwners(want), 3)
	if err != nil || !cmp.Equal(got, want) {
		t.Errorf("DecodeOwners = %v, %v, want %v", got, err, want)
	}
	if got := index.EncodeOwners(map[string][]int{"a\nb": {0}}); len(got) > 0 {
		t.Errorf("a path with a newline became %q", got)
	}
	for _, bad := range []string{"a\n", "a\t3\n", "a\t-1\n", "a\t\n", "a\t0,\n"} {
		if _, err := index.DecodeOwners([]byte(bad), 3); err == nil {
			t.Errorf("DecodeOwners took %q", bad)
		}
	}
}

func FuzzDecodeOwners(f *testing.F) {
	f.Add([]byte("a\t0\nb\t1,2\nx\ty\t0\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		owners, err := index.DecodeOwners(data, 3)
		if err != nil {
			return
		}
		again, err := index.DecodeOwners(index.EncodeOwners(owners), 3)
		if err != nil {
			t.Fatal(err)
		}
		for p := range owners {
			slices.Sort(owners[p])
		}
		if d := cmp.Diff(again, owners); d != "" {
			t.Error(d)
		}
	})
}

func TestHistory(t *testing.T) {
	s, base, web, _ := web(t)
	c := index.New(s)
	steps, err := c.History(web)
	if err != nil {
		t.Fatal(err)
	}
	if len(steps) != 2 || steps[0].Image != base.Image || steps[1].Image != web.Image || len(steps[0].Packages) != 2 {
		t.Fatalf("History = %+v", steps)
	}
	want := []index.PackageChange{{Name: "nginx", Arch: "amd64", New: "1.22.1-9"}}
	if d := cmp.Diff(steps[1].Packages, want); d != "" {
		t.Error(d)
	}
	if !slices.Equal(steps[1].Tags, []string{"web:1.0"}) {
		t.Errorf("tags %v", steps[1].Tags)
	}

	if err := s.DropNote("record", base.Image.Hex()); err != nil {
		t.Fatal(err)
	}
	steps, err = c.History(web)
	if err != nil || len(steps) != 2 || !steps[0].Missing || steps[1].Packages != nil {
		t.Errorf("with a base that is not there: %+v, %v", steps, err)
	}
}

func TestComparePackages(t *testing.T) {
	p := func(name, version, arch string) index.Package {
		return index.Package{Name: name, Version: version, Arch: arch}
	}
	got := index.ComparePackages(
		[]index.Package{p("a", "1", "amd64"), p("b", "1", "all"), p("c", "1", "amd64"), p("c", "1", "i386")},
		[]index.Package{p("a", "2", "amd64"), p("c", "1", "amd64"), p("d", "1", "all")})
	want := []index.PackageChange{{"a", "amd64", "1", "2"}, {"b", "all", "1", ""}, {"c", "i386", "1", ""}, {"d", "all", "", "1"}}
	if !slices.Equal(got, want) {
		t.Errorf("ComparePackages:\n got %v\nwant %v", got, want)
	}
}

func TestDiff(t *testing.T) {
	s, _, web, web11 := web(t)
	c := index.New(s)
	d, err := c.Diff(web, web11)
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, ch := range d.Files {
		files = append(files, string(ch.Kind)+" "+ch.Path)
	}
	want := []string{"changed etc/nginx/nginx.conf", "changed srv/www/index.html", "changed srv/www/start.html", "changed usr/sbin/nginx"}
	if diff := cmp.Diff(files, want); diff != "" {
		t.Error(diff)
	}
	if len(d.Config) != 1 || d.Config[0].Key != "Env.VERSION" || string(d.Config[0].Old) != `"1.22.1-9"` || string(d.Config[0].New) != `"1.22.1-10"` {
		t.Errorf("config %s", d.Config)
	}
	if len(d.Packages) != 1 || d.Packages[0].Old != "1.22.1-9" || d.Packages[0].New != "1.22.1-10" {
		t.Errorf("packages %v", d.Packages)
	}
	texts, err := c.Text(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	const page = "--- a/srv/www/index.html\n+++ b/srv/www/index.html\n@@ -1,1 +1,1 @@\n-<h1>one</h1>\n+<h1>two</h1>\n"
	if diff := cmp.Diff(texts["srv/www/index.html"], page); diff != "" {
		t.Error(diff)
	}
}

func TestTextLeavesOut(t *testing.T) {
	s, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	bake := func(end string) index.Record {
		r, err := indextest.Bake(s, indextest.Image{Layers: []indextest.Layer{{Kind: index.LayerRecipe, Files: map[string]indextest.File{
			"binary": indextest.Text("a\x00b" + end), "latin1": indextest.Text("\xe4" + end), "escape": indextest.Text("\x1b[" + end),
			"large": indextest.Text(strings.Repeat("line\n", 60_000) + end), "text": indextest.Text("ä" + end),
			"link": indextest.Link(end),
		}}}})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	c := index.New(s)
	d, err := c.Diff(bake("1\n"), bake("2\n"))
	if err != nil {
		t.Fatal(err)
	}
	texts, err := c.Text(t.Context(), d)
	if err != nil || len(d.Files) != 6 || len(texts) != 1 || texts["text"] == "" {
		t.Errorf("Text of %d files = %v, %v, want that of \"text\" alone", len(d.Files), texts, err)
	}
}

func TestContents(t *testing.T) {
	s, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	own := tree.Entry{UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}
	r, err := indextest.Bake(s, indextest.Image{Unpacked: true, Layers: []indextest.Layer{
		{Files: map[string]indextest.File{"a": {Content: "one", Entry: own}, "b": {Content: "two", Entry: own}, "c": {Entry: own}}},
		{Files: map[string]indextest.File{"a": {Content: "three", Entry: own}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	c := index.New(s)
	root, err := c.Root(r)
	if err != nil {
		t.Fatal(err)
	}
	check := func(t *testing.T) {
		k, err := c.Contents(t.Context(), r, root)
		if err != nil {
			t.Fatal(err)
		}
		defer k.Close()
		for p, want := range map[string]string{"a": "three", "b": "two", "c": ""} {
			f, err := k.Open(root[p])
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(f)
			f.Close()
			if err != nil || string(got) != want {
				t.Errorf("%s = %q, %v, want %q", p, got, err, want)
			}
		}
	}
	t.Run("from files", check)
	if err := os.RemoveAll(s.Dir() + "/files"); err != nil {
		t.Fatal(err)
	}
	t.Run("from layers", check)
}

func TestContentsRefusesOtherContent(t *testing.T) {
	s, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	e := tree.Entry{Type: tree.Regular, Mode: 0o644, Size: 4, UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}
	if err := s.AddFile(&e, strings.NewReader("good"), nil); err != nil {
		t.Fatal(err)
	}
	f, err := s.OpenFile(e)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if err := os.WriteFile(f.Name(), []byte("evil"), 0o644); err != nil {
		t.Fatal(err)
	}
	k, err := index.New(s).Contents(t.Context(), index.Record{}, tree.Tree{"a": e})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	r, err := k.Open(e)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.ReadAll(r); !errors.Is(err, store.ErrDigest) {
		t.Errorf("reading other content: %v, want %v", err, store.ErrDigest)
	}
}

func TestSizes(t *testing.T) {
	s, _, web, _ := web(t)
	got, err := index.New(s).Sizes(web)
	if err != nil {
		t.Fatal(err)
	}
	var packages, sum int64
	for _, p := range got.Packages {
		packages += p.Bytes
	}
	for _, d := range got.Directories {
		if strings.Count(d.Name, "/") == 1 {
			sum += d.Bytes
		}
	}
	if packages != got.Bytes || sum != got.Bytes || got.Bytes == 0 {
		t.Errorf("packages add up to %d, directories to %d, of %d", packages, sum, got.Bytes)
	}
	if got.Packages[0].Name != "nginx" || got.Directories[0].Name != "/etc" {
		t.Errorf("the largest are %v and %v", got.Packages[0], got.Directories[0])
	}
}

func TestVerify(t *testing.T) {
	// put replaces the blob d by what change makes of it, without giving it another name.
	put := func(t *testing.T, s *store.Store, d tree.Digest, change func([]byte) []byte) {
		t.Helper()
		data, err := os.ReadFile(s.BlobPath(d))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(s.BlobPath(d), change(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	flip := func(b []byte) []byte { b = bytes.Clone(b); b[len(b)/2] ^= 1; return b }
	cut := func(b []byte) []byte { return b[:len(b)/2] }
	for _, tt := range []struct {
		name   string
		damage func(t *testing.T, s *store.Store, r index.Record)
		want   []string // each: start of a problem
	}{
		{"untouched", func(*testing.T, *store.Store, index.Record) {}, nil},
		{"manifest", func(t *testing.T, s *store.Store, r index.Record) { put(t, s, r.Image, flip) }, []string{"manifest: sha256:"}},
		{"no manifest", func(t *testing.T, s *store.Store, r index.Record) { os.Remove(s.BlobPath(r.Image)) }, []string{"manifest: sha256:"}},
		{"config", func(t *testing.T, s *store.Store, r index.Record) { put(t, s, r.Config, flip) }, []string{"config: sha256:"}},
		{"lock", func(t *testing.T, s *store.Store, r index.Record) { put(t, s, r.Lock, flip) }, []string{"lock: sha256:"}},
		{"no recipe", func(t *testing.T, s *store.Store, r index.Record) { os.Remove(s.BlobPath(r.Recipe)) }, []string{"recipe: sha256:"}},
		{"layer cut", func(t *testing.T, s *store.Store, r index.Record) { put(t, s, r.Layers[4].Digest, cut) },
			[]string{"layer 4: tar", "layer 4: the blob is"}},
		{"no layer", func(t *testing.T, s *store.Store, r index.Record) { os.Remove(s.BlobPath(r.Layers[1].Digest)) },
			[]string{"layer 1: sha256:"}},
		{"other layer in its place", func(t *testing.T, s *store.Store, r index.Record) {
			other, err := os.ReadFile(s.BlobPath(r.Layers[2].Digest))
			if err != nil {
				t.Fatal(err)
			}
			put(t, s, r.Layers[0].Digest, func([]byte) []byte { return other })
		}, []string{"layer 0: its content is", "layer 0: the blob is", "layer 0: /bin: is missing", "layer 0: /etc/ld.so.cache: is not in the listing", "layer 0: /etc/nsswitch.conf: has other content",
			"layer 0: /usr: is missing", "layer 0: /usr/lib: is missing", "layer 0: /usr/lib/libc.so.6: is missing"}},
		{"listing", func(t *testing.T, s *store.Store, r index.Record) { put(t, s, r.Layers[3].Tree, flip) }, []string{"layer 3: listing: "}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, _, web, _ := web(t)
			tt.damage(t, s, web)
			v, err := index.New(s).Verify(t.Context(), web, nil)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range v.Problems {
				got = append(got, p.What+": "+p.Why)
			}
			if !slices.EqualFunc(got, tt.want, strings.HasPrefix) {
				t.Errorf("Verify:\n got %q\nwant %q", got, tt.want)
			}
			if tt.want == nil && (v.Layers != 5 || v.Files != 8) {
				t.Errorf("saw %d layers and %d files, want 5 and 8", v.Layers, v.Files)
			}
		})
	}
}

func TestVerifyStops(t *testing.T) {
	s, _, web, _ := web(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := index.New(s).Verify(ctx, web, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Verify: %v, want %v", err, context.Canceled)
	}
}
