package apttest

import (
	"crypto/md5"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// Epoch is the time, in seconds since 1970, of everything that is not given another: 2024-01-01 00:00:00 UTC.
const Epoch int64 = 1704067200

// A Package is what Build makes a .deb of. Only Name is needed.
type Package struct {
	Name    string
	Version string // default "1.0"
	Arch    string // default "all", so that it installs on any machine
	Source  string // as in the control file: "src" or "src (1.0)"; default: Name
	Section string // default "misc"

	Priority    string // default "optional"
	Essential   bool
	MultiArch   string // same, foreign or allowed
	Depends     string
	PreDepends  string
	Recommends  string
	Provides    string
	Conflicts   string
	Breaks      string
	Replaces    string
	Description string // default "Test package NAME"

	Fields map[string]string // more fields of the control file; one named above is replaced
	Index  map[string]string // fields of the Packages stanza only, in place of the right ones: "SHA256", "Size", "Filename"

	Files       []File            // in this order; missing parent directories are put before
	Scripts     map[string]string // of the control archive: preinst, postinst, prerm, postrm, config, triggers, templates, …
	Conffiles   []string          // lines of the conffiles file: "/etc/x" or "remove-on-upgrade /etc/y"
	Compression string            // of both archives: xz (default), gzip, zstd or none

	Deb []byte // used as the .deb in place of what Build would make; for hostile and broken ones
}

// A File is one entry of a package's data archive.
type File struct {
	Path    string // "usr/bin/x" or "/usr/bin/x": both are stored as "./usr/bin/x"
	Type    Type   // default: Link when Link is given, Dir when Path ends in "/", else Regular
	Mode    int64  // permission, setuid, setgid and sticky bits; default 0644, 0755 (directory), 0777 (link)
	UID     int
	GID     int
	Content string
	Link    string // target of a symbolic link as it is; of a hard link a path as Path
	MTime   int64  // seconds since 1970; default Epoch
	Major   int64
	Minor   int64
	Xattrs  map[string]string // as PAX SCHILY.xattr records

	// Raw is the exact name in the archive, in place of Path, with nothing added: "../x", "/etc/x".
	// No parent directories are put before it, and a hard link's target is stored as it is.
	Raw string
}

// A Type is the type flag of a tar header.
type Type byte

// The types of a File.
const (
	Regular  Type = '0'
	HardLink Type = '1'
	Link     Type = '2'
	Char     Type = '3'
	Block    Type = '4'
	Dir      Type = '5'
	FIFO     Type = '6'
)

// Build returns p as a .deb. The same p always gives the same bytes, except that zstd's may change with the
// library that makes it. It panics on a Compression it doesn't know: that is a mistake in a test.
func Build(p Package) []byte {
	if p.Deb != nil {
		return p.Deb
	}
	comp := p.Compression
	if comp == "" {
		comp = "xz"
	}
	return Ar(
		Member{Name: "debian-binary", Data: []byte("2.0\n")},
		Member{Name: "control.tar" + suffix(comp), Data: Compress(comp, Tar(controlFiles(p)...))},
		Member{Name: "data.tar" + suffix(comp), Data: Compress(comp, Tar(dataFiles(p.Files)...))},
	)
}

// Control returns the control file of p: one stanza, its lines ending in a newline.
func Control(p Package) string {
	fields := slices.Clone(controlFields(p))
	for _, name := range slices.Sorted(maps.Keys(p.Fields)) {
		fields = setField(fields, name, p.Fields[name])
	}
	return stanza(fields)
}

// A field is one line of a stanza.
type field struct{ name, value string }

func controlFields(p Package) []field {
	essential := ""
	if p.Essential {
		essential = "yes"
	}
	fields := []field{
		{"Package", p.Name},
		{"Source", p.Source},
		{"Version", version(p)},
		{"Architecture", arch(p)},
		{"Essential", essential},
		{"Multi-Arch", p.MultiArch},
		{"Maintainer", "Nobody <nobody@archive.example>"},
		{"Section", or(p.Section, "misc")},
		{"Priority", or(p.Priority, "optional")},
		{"Pre-Depends", p.PreDepends},
		{"Depends", p.Depends},
		{"Recommends", p.Recommends},
		{"Provides", p.Provides},
		{"Conflicts", p.Conflicts},
		{"Breaks", p.Breaks},
		{"Replaces", p.Replaces},
		{"Description", or(p.Description, "Test package "+p.Name)},
	}
	return slices.DeleteFunc(fields, func(f field) bool { return f.value == "" })
}

// setField replaces a field, or puts it at the end.
func setField(fields []field, name, value string) []field {
	for i := range fields {
		if strings.EqualFold(fields[i].name, name) {
			fields[i].value = value
			return fields
		}
	}
	return append(fields, field{name, value})
}

func stanza(fields []field) string {
	var b strings.Builder
	for _, f := range fields {
		fmt.Fprintf(&b, "%s: %s\n", f.name, f.value)
	}
	return b.String()
}

func version(p Package) string { return or(p.Version, "1.0") }
func arch(p Package) string    { return or(p.Arch, "all") }

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func controlFiles(p Package) []File {
	files := []File{{Path: "/", Raw: "./", Type: Dir}, {Path: "control", Content: Control(p)}}
	if len(p.Conffiles) > 0 {
		files = append(files, File{Path: "conffiles", Content: strings.Join(p.Conffiles, "\n") + "\n"})
	}
	if sums := md5sums(p.Files); sums != "" {
		files = append(files, File{Path: "md5sums", Content: sums})
	}
	for _, name := range slices.Sorted(maps.Keys(p.Scripts)) {
		files = append(files, File{Path: name, Content: p.Scripts[name], Mode: scriptMode(name)})
	}
	return files
}

func scriptMode(name string) int64 {
	if slices.Contains([]string{"preinst", "postinst", "prerm", "postrm", "config"}, name) {
		return 0o755
	}
	return 0o644
}

func md5sums(files []File) string {
	var b strings.Builder
	for _, f := range files {
		if f.kind() == Regular && f.Raw == "" {
			fmt.Fprintf(&b, "%x  %s\n", md5.Sum([]byte(f.Content)), clean(f.Path))
		}
	}
	return b.String()
}

// dataFiles puts "./" and the missing parent directories of files before them.
func dataFiles(files []File) []File {
	out := []File{{Raw: "./", Type: Dir}}
	have := map[string]bool{".": true}
	for _, f := range files {
		if f.Raw == "" {
			out = appendParents(out, have, path.Dir(clean(f.Path)))
			have[clean(f.Path)] = true
		}
		out = append(out, f)
	}
	return out
}

func appendParents(out []File, have map[string]bool, dir string) []File {
	if have[dir] {
		return out
	}
	have[dir] = true
	return append(appendParents(out, have, path.Dir(dir)), File{Path: dir, Type: Dir})
}

func clean(p string) string { return path.Clean(strings.TrimPrefix(p, "/")) }
