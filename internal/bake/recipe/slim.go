package recipe

import (
	"crypto/sha256"
	"fmt"
	"path"
	"slices"
	"strings"
)

// A SlimKind is something that an image can do without.
type SlimKind struct {
	Name     string
	Describe string
	Why      string
	Paths    []string // globs as of [path.Match], without leading slash; "**" stands for any number of names
	Keep     []string // exceptions
}

// slimKinds is the table of what slim: takes away. A path belongs to the first kind that has it.
var slimKinds = []SlimKind{
	{
		Name: "docs", Describe: "documentation, but not copyright files and notices",
		Why:   "nobody reads it in an image; copyright files and notices are what licences ask to be shipped",
		Paths: []string{"usr/share/doc/*/**", "usr/share/doc-base/**", "usr/share/gtk-doc/**", "usr/share/help/**", "usr/share/lintian/**", "usr/share/linda/**", "usr/share/bug/**"},
		// A package's directory may be a link to another's (Debian Policy 12.5), and then leads to a copyright file.
		Keep: []string{"usr/share/doc/*/copyright", "usr/share/doc/*/NOTICE*"},
	},
	{
		Name: "man", Describe: "manual pages",
		Why:   "they are read elsewhere, and no man program is there to show them",
		Paths: []string{"usr/share/man/**", "usr/local/share/man/**", "usr/local/man/**", "usr/X11R6/man/**", "var/cache/man/**", "var/lib/man-db/**"},
	},
	{
		Name: "info", Describe: "GNU info pages",
		Why:   "they are read elsewhere",
		Paths: []string{"usr/share/info/**", "usr/local/share/info/**"},
	},
	{
		Name: "locales", Describe: "translations and locales other than C, C.UTF-8 and POSIX",
		Why:   "services speak to machines; C.UTF-8 stays so that text is still UTF-8",
		Paths: []string{"usr/share/locale/**", "usr/share/i18n/locales/**", "usr/lib/locale/**"},
		Keep: []string{
			"usr/share/locale/locale.alias", "usr/share/i18n/locales/C", "usr/share/i18n/locales/POSIX",
			"usr/share/i18n/locales/i18n*", "usr/share/i18n/locales/translit_*",
			"usr/lib/locale/C.utf8/**", "usr/lib/locale/C.UTF-8/**", "usr/lib/locale/C/**", "usr/lib/locale/POSIX/**",
		},
	},
	{
		Name: "apt", Describe: "apt's package lists, caches and logs",
		Why:   "they are out of date in an image at once; apt update makes them again",
		Paths: []string{"var/lib/apt/lists/**", "var/cache/apt/**", "var/log/apt/**"},
		Keep:  []string{"var/lib/apt/lists/partial", "var/cache/apt/archives", "var/cache/apt/archives/partial"},
	},
	{
		Name: "dpkg-cache", Describe: "dpkg's copies of its own files and its list of what is available",
		Why:   "they are older versions of files that are there; dpkg makes them again",
		Paths: []string{"var/lib/dpkg/*-old", "var/lib/dpkg/available", "var/cache/debconf/*-old", "var/backups/**", "var/log/dpkg.log", "var/log/alternatives.log"},
	},
	{
		Name: "caches", Describe: "what programs compute again when it is missing",
		Why:   "it differs from machine to machine and is made again when needed",
		Paths: []string{"var/cache/ldconfig/**", "var/cache/fontconfig/**", "usr/share/icons/*/icon-theme.cache", "usr/share/mime/mime.cache", "root/.cache/**", "tmp/**", "var/tmp/**"},
	},
	{
		Name: "pyc", Describe: "Python's compiled modules",
		Why:   "Python compiles them again in memory; it starts a little slower",
		Paths: []string{"**/__pycache__/*.pyc", "**/__pycache__"},
	},
	{
		Name: "gconv", Describe: "converters of character sets, but not those that libc has built in",
		Why:   "UTF-8, UTF-16, UCS-4 and ASCII are in libc itself; the others are for old texts",
		Paths: []string{"usr/lib/*/gconv/**", "usr/lib/gconv/**"},
	},
	{
		Name: "zoneinfo", Describe: "time zones other than UTC",
		Why:   "services keep time in UTC",
		Paths: []string{"usr/share/zoneinfo/**"},
		Keep:  []string{"usr/share/zoneinfo/UTC", "usr/share/zoneinfo/Etc/UTC", "usr/share/zoneinfo/tzdata.zi"},
	},
	{
		Name: "static", Describe: "static libraries and libtool archives",
		Why:   "only a compiler reads them",
		Paths: []string{"usr/lib/**/*.a", "usr/lib/**/*.la", "usr/local/lib/**/*.a", "usr/local/lib/**/*.la"},
	},
	{
		Name: "headers", Describe: "C and C++ headers and pkg-config files",
		Why:   "only a compiler reads them",
		Paths: []string{"usr/include/**", "usr/local/include/**", "usr/lib/**/pkgconfig/*.pc", "usr/share/pkgconfig/*.pc"},
	},
}

// SlimKinds lists what slim: may name, in the order in which they are asked.
func SlimKinds() []SlimKind { return slices.Clone(slimKinds) }

func slimNames() []string {
	names := make([]string, len(slimKinds))
	for i, k := range slimKinds {
		names[i] = k.Name
	}
	return names
}

// A Matcher tells what slim: takes away. The zero value takes nothing. It may be used by several goroutines.
type Matcher struct {
	kinds []slimMatcher
}

type slimMatcher struct {
	name        string
	paths, keep []glob
}

// Slim is the matcher of some kinds, whose order doesn't matter. Unknown ones are an error.
func Slim(kinds []string) (Matcher, error) {
	for _, k := range kinds {
		if !slices.Contains(slimNames(), k) {
			return Matcher{}, fmt.Errorf("slim: unknown kind %q", k)
		}
	}
	var m Matcher
	for _, k := range slimKinds {
		if slices.Contains(kinds, k.Name) {
			m.kinds = append(m.kinds, slimMatcher{k.Name, globs(k.Paths), globs(k.Keep)})
		}
	}
	return m, nil
}

// Match says which kind takes name away, a path without leading slash. For a directory, ok means that it may
// go when nothing inside it stays.
func (m Matcher) Match(name string) (kind string, ok bool) {
	for _, k := range m.kinds {
		if matchAny(k.paths, name) && !matchAny(k.keep, name) {
			return k.name, true
		}
	}
	return "", false
}

// String is the same for matchers that take the same away, and another when a kind's paths change in a
// later version: it may be part of a cache's key.
func (m Matcher) String() string {
	var names []string
	h := sha256.New()
	for _, k := range m.kinds {
		names = append(names, k.name)
		for _, g := range slices.Concat(k.paths, []glob{{}}, k.keep, []glob{{}}) {
			fmt.Fprintln(h, strings.Join(g.parts, "/"))
		}
	}
	return fmt.Sprintf("%s@%x", strings.Join(names, ","), h.Sum(nil)[:8])
}

// A glob is split at the slashes.
type glob struct {
	prefix string   // what every match starts with, without metacharacters,
	suffix string   // and ends with: most paths are told by these
	parts  []string // "**" stands for any number of names
}

func globs(patterns []string) []glob {
	gs := make([]glob, len(patterns))
	for i, p := range patterns {
		gs[i] = glob{p[:strings.IndexAny(p+"*", "*?[")], p[strings.LastIndexAny(p, "*?]")+1:], strings.Split(p, "/")}
	}
	return gs
}

func matchAny(gs []glob, name string) bool {
	for _, g := range gs {
		if strings.HasPrefix(name, g.prefix) && strings.HasSuffix(name, g.suffix) && matchParts(g.parts, name) {
			return true
		}
	}
	return false
}

// matchParts matches names against a glob's parts. Where ** is last, at least one name must be left.
func matchParts(parts []string, name string) bool {
	for i, part := range parts {
		if part == "**" {
			if i == len(parts)-1 {
				return name != ""
			}
			for rest := name; ; {
				if matchParts(parts[i+1:], rest) {
					return true
				}
				var more bool
				if _, rest, more = strings.Cut(rest, "/"); !more {
					return false
				}
			}
		}
		first, rest, more := strings.Cut(name, "/")
		if name == "" || first != part && !matchName(part, first) {
			return false
		}
		if i == len(parts)-1 {
			return !more
		}
		name = rest
	}
	return name == ""
}

func matchName(pattern, name string) bool {
	ok, _ := path.Match(pattern, name) // the patterns are ours, and tested
	return ok
}
