// Package indextest puts small images into a store, for tests of what asks about images.
package indextest

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"brickyard/internal/catalog/index"
	"brickyard/internal/store"
	"brickyard/internal/store/tarball"
	"brickyard/internal/tree"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// An Image is what a test asks for.
type Image struct {
	Tags     []string
	Record   index.Record // as Bake shall store it; what Bake finds out itself may be left empty
	Recipe   string
	Config   ocispec.ImageConfig
	Parent   *index.Record    // its layers come first
	Layers   []Layer          // on top of those
	Owners   map[string][]int // as in index.EncodeOwners
	Unpacked bool             // also put files into the store, which takes a user who may own them
}

// A Layer is one layer by its files.
type Layer struct {
	Kind     string
	Packages []string
	Files    map[string]File
}

// A File is an entry with its content. A zero Type is a regular file; a zero Mode 0644, or 0755 for a
// directory.
type File struct {
	tree.Entry
	Content string
}

// Text is a regular file.
func Text(content string) File { return File{Content: content} }

// Dir is a directory.
func Dir() File { return File{Entry: tree.Entry{Type: tree.Dir}} }

// Link is a symbolic link.
func Link(to string) File { return File{Entry: tree.Entry{Type: tree.Symlink, Link: to}} }

// Gone is a whiteout.
func Gone() File { return File{Entry: tree.Entry{Type: tree.Whiteout}} }

// Bake puts an image into s.
func Bake(s *store.Store, im Image) (index.Record, error) {
	b := &baker{s: s, im: im, r: im.Record}
	if im.Parent != nil {
		b.r.Parent = im.Parent.Image
		b.r.Layers = append(b.r.Layers, im.Parent.Layers...)
	}
	for _, l := range im.Layers {
		if err := b.layer(l); err != nil {
			return b.r, err
		}
	}
	if b.r.Arch == "" {
		b.r.Arch = "amd64"
	}
	err := b.documents()
	if err != nil {
		return b.r, err
	}
	c, batch := index.New(s), s.Batch()
	if err := c.Add(batch, b.r); err != nil {
		return b.r, err
	}
	for _, tag := range im.Tags {
		if err := c.Tag(batch, tag, b.r.Image, true, b.r.By, b.r.Baked); err != nil {
			return b.r, err
		}
	}
	return b.r, batch.Commit()
}

type baker struct {
	s  *store.Store
	im Image
	r  index.Record
}

func (b *baker) layer(l Layer) error {
	t := tree.Tree{}
	contents := map[tree.Digest]string{}
	for p, f := range l.Files {
		e, err := b.entry(f)
		if err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
		t[p] = e
		contents[e.Digest] = f.Content
	}
	var tar bytes.Buffer
	err := tarball.Write(&tar, t, func(e tree.Entry) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(contents[e.Digest])), nil
	})
	if err != nil {
		return err
	}
	var blob bytes.Buffer
	z := gzip.NewWriter(&blob)
	z.Write(tar.Bytes())
	z.Close()
	d, size, err := b.s.Put(&blob)
	if err != nil {
		return err
	}
	listing, err := b.s.PutTree(t)
	b.r.Layers = append(b.r.Layers, index.Layer{
		DiffID: store.Sum(tar.Bytes()), Digest: d, Size: size, Tree: listing, Kind: l.Kind, Packages: l.Packages,
	})
	return err
}

func (b *baker) entry(f File) (tree.Entry, error) {
	e := f.Entry
	if e.Type == 0 {
		e.Type = tree.Regular
	}
	switch {
	case e.Type == tree.Symlink:
		e.Mode = 0o777
	case e.Type == tree.Dir && e.Mode == 0:
		e.Mode = 0o755
	case e.Type != tree.Whiteout && e.Mode == 0:
		e.Mode = 0o644
	}
	if e.Type != tree.Regular {
		return e, nil
	}
	e.Size, e.Digest = int64(len(f.Content)), store.Sum([]byte(f.Content))
	if !b.im.Unpacked {
		return e, nil
	}
	return e, b.s.AddFile(&e, strings.NewReader(f.Content), nil)
}

// documents writes everything that is not a layer.
func (b *baker) documents() (err error) {
	if b.r.Recipe, err = b.put([]byte(b.im.Recipe)); err != nil {
		return err
	}
	if b.r.Lock, err = b.put([]byte("lock: 1\n")); err != nil {
		return err
	}
	if b.im.Owners != nil {
		if b.r.Owners, err = b.put(index.EncodeOwners(b.im.Owners)); err != nil {
			return err
		}
	}
	created := time.Unix(1700000000, 0).UTC()
	config := ocispec.Image{
		Created:  &created,
		Platform: ocispec.Platform{OS: "linux", Architecture: b.r.Arch},
		Config:   b.im.Config,
		RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{}},
	}
	m := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
		Layers:    []ocispec.Descriptor{},
	}
	for _, l := range b.r.Layers {
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, digest.Digest(l.DiffID))
		config.History = append(config.History, ocispec.History{Created: &created, CreatedBy: l.Kind})
		m.Layers = append(m.Layers, ocispec.Descriptor{
			MediaType: ocispec.MediaTypeImageLayerGzip, Digest: digest.Digest(l.Digest), Size: l.Size,
		})
	}
	data, err := json.Marshal(config)
	if err != nil {
		return err
	}
	if b.r.Config, err = b.put(data); err != nil {
		return err
	}
	m.Config = ocispec.Descriptor{
		MediaType: ocispec.MediaTypeImageConfig, Digest: digest.Digest(b.r.Config), Size: int64(len(data)),
	}
	if data, err = json.Marshal(m); err != nil {
		return err
	}
	b.r.Image, err = b.put(data)
	return err
}

func (b *baker) put(data []byte) (tree.Digest, error) {
	d, _, err := b.s.Put(bytes.NewReader(data))
	return d, err
}

// Web puts a family of images into s: base:1.0, and on it web:1.0 and web:1.1, with packages, what a
// maintainer script did, files of a recipe, all types of files, and what slim took away.
func Web(s *store.Store) (base, web, web11 index.Record, err error) {
	day := func(n int) time.Time { return time.Date(2026, 1, n, 12, 0, 0, 0, time.UTC) }
	libc := index.Package{Name: "libc6", Version: "2.36-9", Arch: "amd64", Source: "glibc", SourceVersion: "2.36-9",
		From: "debian/bookworm", Path: "pool/main/g/glibc/libc6_2.36-9_amd64.deb", SHA256: strings.Repeat("1", 64)}
	coreutils := index.Package{Name: "coreutils", Version: "9.1-1", Arch: "amd64", Source: "coreutils", SourceVersion: "9.1-1",
		From: "debian/bookworm", Path: "pool/main/c/coreutils/coreutils_9.1-1_amd64.deb", SHA256: strings.Repeat("2", 64)}
	nginx := func(version string) index.Package {
		return index.Package{Name: "nginx", Version: version, Arch: "amd64", Source: "nginx", SourceVersion: version,
			From: "debian/bookworm-security", Path: "pool/main/n/nginx/nginx_" + version + "_amd64.deb", SHA256: strings.Repeat("3", 64), Asked: true}
	}
	base, err = Bake(s, Image{
		Tags:   []string{"base:1.0"},
		Recipe: "name: base\nfrom: {debian: bookworm}\n",
		Record: index.Record{Name: "base", Baked: day(1), By: "ann@forge", Program: "1.0", File: "base/recipe.yaml",
			Packages: []index.Package{coreutils, libc},
			Removed:  []index.Removed{{Kind: "docs", Files: 3, Bytes: 4096}}},
		Owners: map[string][]int{
			"usr": {0, 1}, "usr/bin": {0}, "usr/bin/ls": {0}, "usr/lib": {1}, "usr/lib/libc.so.6": {1}, "etc/nsswitch.conf": {1},
		},
		Layers: []Layer{
			{Kind: index.LayerPackages, Packages: []string{"libc6 2.36-9"}, Files: map[string]File{
				"bin": Link("usr/bin"), "etc": Dir(), "etc/nsswitch.conf": Text("passwd: files\n"),
				"usr": Dir(), "usr/lib": Dir(), "usr/lib/libc.so.6": Text("\x7fELF libc"),
			}},
			{Kind: index.LayerPackages, Packages: []string{"coreutils 9.1-1"}, Files: map[string]File{
				"usr": Dir(), "usr/bin": Dir(), "usr/bin/ls": {Content: "\x7fELF ls", Entry: tree.Entry{Mode: 0o755}},
			}},
			{Kind: index.LayerScripts, Files: map[string]File{
				"etc": Dir(), "etc/ld.so.cache": Text("cache"), "etc/nsswitch.conf": Text("passwd: files systemd\n"),
			}},
		},
	})
	if err != nil {
		return base, web, web11, err
	}
	image := func(version, page, tag string, n int) (index.Record, error) {
		return Bake(s, Image{
			Tags:   []string{tag},
			Parent: &base,
			Recipe: "name: web\nfrom: {base: base:1.0}\npackages: [nginx]\nfiles:\n  - {path: /srv/www/index.html, source: index.html}\n  - {path: /srv, tree: srv}\n",
			Config: ocispec.ImageConfig{Cmd: []string{"nginx", "-g", "daemon off;"}, Env: []string{"PATH=/usr/bin", "VERSION=" + version}},
			Record: index.Record{Name: "web", Baked: day(n), By: "ann@forge", Program: "1.0", File: "web/recipe.yaml", ParentAs: "base:1.0",
				Owner: "web-team", Expires: day(n + 20), Lifecycle: "disposable",
				Packages: []index.Package{coreutils, libc, nginx(version)},
				Places:   []index.Place{{Path: "/srv", What: "files[1]", Line: 6}, {Path: "/srv/www/index.html", What: "files[0]", Line: 5}}},
			Owners: map[string][]int{
				"usr": {0, 1, 2}, "usr/bin": {0}, "usr/bin/ls": {0}, "usr/lib": {1}, "usr/lib/libc.so.6": {1}, "etc/nsswitch.conf": {1},
				"usr/sbin": {2}, "usr/sbin/nginx": {2}, "usr/sbin/nginx-debug": {2}, "etc/nginx": {2}, "etc/nginx/nginx.conf": {2},
			},
			Layers: []Layer{
				{Kind: index.LayerPackages, Packages: []string{"nginx " + version}, Files: map[string]File{
					"etc": Dir(), "etc/nginx": Dir(), "etc/nginx/nginx.conf": Text("worker_processes 1;\n# " + version + "\n"),
					"usr": Dir(), "usr/sbin": Dir(),
					"usr/sbin/nginx": {Content: "\x7fELF nginx " + version, Entry: tree.Entry{Mode: 0o755,
						Xattrs: map[string]string{"security.capability": "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"}}},
				}},
				{Kind: index.LayerRecipe, Files: map[string]File{
					"dev": Dir(), "dev/null": {Entry: tree.Entry{Type: tree.Char, Mode: 0o666, Dev: [2]uint32{1, 3}}},
					"etc": Dir(), "etc/ld.so.cache": Gone(),
					"run": Dir(), "run/pipe": {Entry: tree.Entry{Type: tree.Fifo, Mode: 0o600}},
					"srv": Dir(), "srv/www": Dir(), "srv/www/index.html": Text(page),
					"srv/www/start.html": {Content: page, Entry: tree.Entry{Hard: "srv/www/index.html"}},
					"srv/www/more":       {Entry: tree.Entry{Type: tree.Dir, Mode: 0o1777, UID: 33, GID: 33}},
				}},
			},
		})
	}
	if web, err = image("1.22.1-9", "<h1>one</h1>\n", "web:1.0", 2); err != nil {
		return base, web, web11, err
	}
	web11, err = image("1.22.1-10", "<h1>two</h1>\n", "web:1.1", 3)
	return base, web, web11, err
}
