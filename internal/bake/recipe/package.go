package recipe

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Names and versions are those of Debian Policy 5.6.1, 5.6.8 and 5.6.12.
const (
	packageName    = `[a-z0-9][a-z0-9+.-]+`
	packageVersion = `(?:[0-9]+:)?[0-9][A-Za-z0-9.+~-]*`
	archName       = `[a-z0-9][a-z0-9-]*`
)

var (
	packageEntry = regexp.MustCompile(`^(-?)(` + packageName + `)(?::(` + archName + `))?(?:=(` + packageVersion + `))?$`)
	nameOnly     = regexp.MustCompile(`^` + packageName + `$`)
	versionOnly  = regexp.MustCompile(`^` + packageVersion + `$`)
	archOnly     = regexp.MustCompile(`^` + archName + `$`)
)

// ParsePackage reads one entry of packages: [-]name[:arch][=version], or ./file.deb.
func ParsePackage(s string) (Package, error) {
	if strings.HasPrefix(s, "./") {
		if !strings.HasSuffix(s, ".deb") {
			return Package{}, fmt.Errorf("%q is a file but not a .deb", s)
		}
		return Package{File: s}, nil
	}
	if strings.HasSuffix(s, ".deb") {
		return Package{}, fmt.Errorf("%q: write a file beside the recipe as ./%s", s, strings.TrimLeft(s, "./"))
	}
	m := packageEntry.FindStringSubmatch(s)
	if m == nil {
		return Package{}, fmt.Errorf("%q is not name, name=version, name:arch, -name or ./file.deb", s)
	}
	p := Package{Name: m[2], Arch: m[3], Version: m[4], Exclude: m[1] == "-"}
	if p.Exclude && p.Version != "" {
		return Package{}, errors.New(s + ": a package is kept out in every version")
	}
	return p, nil
}

// String is the entry as a recipe says it.
func (p Package) String() string {
	if p.File != "" {
		return p.File
	}
	s := p.Name
	if p.Exclude {
		s = "-" + s
	}
	if p.Arch != "" {
		s += ":" + p.Arch
	}
	if p.Version != "" {
		s += "=" + p.Version
	}
	return s
}

func (p *Package) decodeNode(d *decoder, n *node, place string) {
	if !n.isString() {
		d.wrong(n, place, "a package as text", "")
		return
	}
	got, err := ParsePackage(n.text)
	if err != nil {
		d.reject(n, place, "", "%s: %v", place, err)
		return
	}
	*p = got
}
