// Package apttest makes signed test archives: packages, indices, signatures, and a server that misbehaves
// when told to. Everything in it is the same on every run, to the byte. Only tests import it.
//
//	a := apttest.New()
//	a.Add("stable", "main", apttest.Package{Name: "hello", Files: []apttest.File{{Path: "usr/bin/hello", Mode: 0o755, Content: "#!/bin/sh\n"}}})
//	srv := a.Server(t)                         // srv.URL; or a.Write(dir) for a file: URL
//	key := apttest.Keyring()                   // what the client has to trust
package apttest

import (
	"bytes"
	"crypto"
	"crypto/md5"
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// Options say how one suite is published. The zero value is a good one.
type Options struct {
	Suite     string   // what Release calls it; default: its directory below dists
	Codename  string   // default: as Suite
	Component string   // of WriteArchive; default main
	Arches    []string // besides those of the packages; default amd64 when these are all "all"

	Origin               string // default "Test"
	Label                string // default "Test"
	Version              string
	Date                 time.Time // default Epoch
	ValidUntil           time.Time // default: no such field
	NotAutomatic         bool
	ButAutomaticUpgrades bool
	Fields               map[string]string // more fields of Release, or others in place of the right ones

	Keys     []Key         // that sign, in this order; default TestKey
	Hash     crypto.Hash   // that is signed; default SHA-256
	Lifetime time.Duration // of the signatures; default for ever
	Unsigned bool          // neither InRelease nor Release.gpg
	Detached bool          // only Release and Release.gpg, no InRelease
	NoByHash bool

	Tampered bool // one byte of every Packages file is changed after Release was made: the hashes no longer fit
	// Edit changes the finished files of the suite's directory (path below the archive's root → content), after signing.
	Edit func(files map[string][]byte)
}

// An Archive is packages in suites and components. It may be changed until, and after, it is written or
// served; what was written or served stays as it was.
type Archive struct {
	suites []*suite
}

type suite struct {
	dir        string
	opt        Options
	components []string             // in the order they were added
	packages   map[string][]Package // of a component
}

// New returns an empty archive.
func New() *Archive { return new(Archive) }

// Add puts packages into a component of a suite. A suite that ends in "/" is a flat archive
// (sources.list(5)): its indices and packages are in that directory, and component is ignored.
func (a *Archive) Add(suite, component string, pkgs ...Package) {
	s := a.suite(suite)
	if strings.HasSuffix(suite, "/") {
		component = ""
	}
	if !slices.Contains(s.components, component) {
		s.components = append(s.components, component)
	}
	s.packages[component] = append(s.packages[component], pkgs...)
}

// Options returns the options of a suite, to be changed in place.
func (a *Archive) Options(suite string) *Options { return &a.suite(suite).opt }

// Remove takes every version of a package out of a suite.
func (a *Archive) Remove(suite, name string) {
	s := a.suite(suite)
	for c, pkgs := range s.packages {
		s.packages[c] = slices.DeleteFunc(slices.Clone(pkgs), func(p Package) bool { return p.Name == name })
	}
}

func (a *Archive) suite(dir string) *suite {
	for _, s := range a.suites {
		if s.dir == dir {
			return s
		}
	}
	s := &suite{dir: dir, packages: make(map[string][]Package)}
	a.suites = append(a.suites, s)
	return s
}

// WriteArchive makes an archive of one suite (opt.Suite, default "stable") in dir.
func WriteArchive(dir string, opt Options, pkgs ...Package) error {
	name := or(opt.Suite, "stable")
	a := New()
	a.Add(name, or(opt.Component, "main"), pkgs...)
	*a.Options(name) = opt
	return a.Write(dir)
}

// Write puts the archive's files into dir, beside or over what is there.
func (a *Archive) Write(dir string) error {
	files, err := a.Files()
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		p := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(p, files[name], 0o644); err != nil {
			return err
		}
	}
	return nil
}

// Files returns every file of the archive: path below its root → content. It fails when two different
// packages would have one file name in the pool.
func (a *Archive) Files() (map[string][]byte, error) {
	files := make(map[string][]byte)
	for _, s := range a.suites {
		own, err := s.files(files)
		if err != nil {
			return nil, err
		}
		if s.opt.Edit != nil {
			s.opt.Edit(own)
		}
		maps.Copy(files, own)
	}
	return files, nil
}

// files puts the packages into pool, and returns what is in the suite's directory.
func (s *suite) files(pool map[string][]byte) (map[string][]byte, error) {
	index := make(map[string][]byte) // below the suite's directory: what Release lists
	for _, c := range s.components {
		stanzas, err := s.publish(pool, c)
		if err != nil {
			return nil, err
		}
		for _, arch := range s.arches() {
			name := path.Join(c, "binary-"+arch, "Packages")
			if s.flat() {
				name, arch = "Packages", ""
			}
			text := joinStanzas(stanzas, arch)
			index[name] = text
			index[name+".gz"] = gzipped(text)
			index[name+".xz"] = xzStored(text)
		}
	}
	release := s.release(index)
	if !s.opt.NoByHash {
		addByHash(index)
	}
	if s.opt.Tampered {
		tamper(index)
	}
	return s.place(index, release), nil
}

func (s *suite) flat() bool { return strings.HasSuffix(s.dir, "/") }

// root is the suite's directory below the archive's.
func (s *suite) root() string {
	if s.flat() {
		return path.Clean(s.dir)
	}
	return path.Join("dists", s.dir)
}

func (s *suite) arches() []string {
	arches := slices.Clone(s.opt.Arches)
	for _, pkgs := range s.packages {
		for _, p := range pkgs {
			if arch(p) != "all" {
				arches = append(arches, arch(p))
			}
		}
	}
	if len(arches) == 0 {
		return []string{"amd64"}
	}
	slices.Sort(arches)
	return slices.Compact(arches)
}

// A published package is its stanza in a Packages file.
type published struct{ arch, text string }

func (s *suite) publish(pool map[string][]byte, component string) ([]published, error) {
	var out []published
	for _, p := range s.packages[component] {
		deb := Build(p)
		name := s.poolPath(component, p)
		if old, ok := pool[name]; ok && !bytes.Equal(old, deb) {
			return nil, fmt.Errorf("%s: two different packages have this file name", name)
		}
		pool[name] = deb
		fields := strings.TrimSuffix(Control(p), "\n")
		more := []field{
			{"Filename", name},
			{"Size", fmt.Sprint(len(deb))},
			{"MD5sum", fmt.Sprintf("%x", md5.Sum(deb))},
			{"SHA256", fmt.Sprintf("%x", sha256.Sum256(deb))},
		}
		for _, f := range slices.Sorted(maps.Keys(p.Index)) {
			more = setField(more, f, p.Index[f])
		}
		out = append(out, published{arch(p), fields + "\n" + stanza(more)})
	}
	return out, nil
}

// poolPath is where the Debian archive has a package: pool/main/h/hello/hello_1.0-1_amd64.deb.
func (s *suite) poolPath(component string, p Package) string {
	_, v, ok := strings.Cut(version(p), ":")
	if !ok {
		v = version(p)
	}
	file := fmt.Sprintf("%s_%s_%s.deb", p.Name, v, arch(p))
	if s.flat() {
		return path.Join(s.root(), file)
	}
	source, _, _ := strings.Cut(or(p.Source, p.Name), " ")
	prefix := source[:1]
	if strings.HasPrefix(source, "lib") && len(source) > 3 {
		prefix = source[:4]
	}
	return path.Join("pool", component, prefix, source, file)
}

// joinStanzas returns a Packages file; arch "" takes all.
func joinStanzas(stanzas []published, arch string) []byte {
	var texts []string
	for _, p := range stanzas {
		if arch == "" || p.arch == arch || p.arch == "all" {
			texts = append(texts, p.text)
		}
	}
	return []byte(strings.Join(texts, "\n"))
}

func (s *suite) date() time.Time {
	if s.opt.Date.IsZero() {
		return time.Unix(Epoch, 0).UTC()
	}
	return s.opt.Date.UTC()
}

func (s *suite) release(index map[string][]byte) []byte {
	const layout = "Mon, 02 Jan 2006 15:04:05 UTC"
	name := or(s.opt.Suite, strings.TrimSuffix(s.dir, "/"))
	fields := []field{
		{"Origin", or(s.opt.Origin, "Test")},
		{"Label", or(s.opt.Label, "Test")},
		{"Suite", name},
		{"Version", s.opt.Version},
		{"Codename", or(s.opt.Codename, name)},
		{"Date", s.date().Format(layout)},
		{"Architectures", strings.Join(s.arches(), " ")},
		{"Components", strings.Join(s.components, " ")},
		{"Description", "Test archive"},
	}
	if !s.opt.ValidUntil.IsZero() {
		fields = append(fields, field{"Valid-Until", s.opt.ValidUntil.UTC().Format(layout)})
	}
	if s.opt.NotAutomatic {
		fields = append(fields, field{"NotAutomatic", "yes"})
	}
	if s.opt.ButAutomaticUpgrades {
		fields = append(fields, field{"ButAutomaticUpgrades", "yes"})
	}
	if !s.opt.NoByHash {
		fields = append(fields, field{"Acquire-By-Hash", "yes"})
	}
	for _, f := range slices.Sorted(maps.Keys(s.opt.Fields)) {
		fields = setField(fields, f, s.opt.Fields[f])
	}
	fields = slices.DeleteFunc(fields, func(f field) bool { return f.value == "" })
	var b strings.Builder
	b.WriteString(stanza(fields))
	b.WriteString("SHA256:\n")
	for _, p := range slices.Sorted(maps.Keys(index)) {
		fmt.Fprintf(&b, " %x %16d %s\n", sha256.Sum256(index[p]), len(index[p]), p)
	}
	return []byte(b.String())
}

func addByHash(index map[string][]byte) {
	for p, data := range maps.Clone(index) {
		index[path.Join(path.Dir(p), "by-hash/SHA256", fmt.Sprintf("%x", sha256.Sum256(data)))] = data
	}
}

// tamper changes one byte of every index; its length and, where it is not compressed, its meaning stay.
func tamper(index map[string][]byte) {
	for p, data := range index {
		data = append(bytes.Clone(data), "\n"...)[:max(len(data), 1)]
		data[0] ^= 0x20
		index[p] = data
	}
}

// place adds Release and its signatures.
func (s *suite) place(index map[string][]byte, release []byte) map[string][]byte {
	files := make(map[string][]byte)
	for p, data := range index {
		files[path.Join(s.root(), p)] = data
	}
	files[path.Join(s.root(), "Release")] = release
	if s.opt.Unsigned {
		return files
	}
	sign := signing{keys: s.opt.Keys, at: s.date(), hash: s.opt.Hash, lifetime: s.opt.Lifetime}
	if len(sign.keys) == 0 {
		sign.keys = []Key{TestKey}
	}
	files[path.Join(s.root(), "Release.gpg")] = sign.detached(packet.SigTypeBinary, release)
	if !s.opt.Detached {
		files[path.Join(s.root(), "InRelease")] = sign.clear(release)
	}
	return files
}
