package apt

import (
	"fmt"
	"io"
	"iter"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"brickyard/internal/bake/apt/control"
)

// A Universe is every package for one architecture in some sources. Building one is for one goroutine;
// afterwards any number may read it.
type Universe struct {
	Arch     string
	Releases []*Release // in the order of the sources

	names   map[string]*Name
	foreign []foreignName
	buf     []byte
	spans   [numTexts][2]int
}

// A Name is what packages are called, or provide, or mention in a dependency.
type Name struct {
	Name      string
	ID        int32      // the order in which the indexes mention names, from 0: apt's last tie-break
	Versions  []*Package // newest first
	Providers []Provider
	Essential bool // some version says Essential: yes
	Protected bool // some version says Protected: yes, or Important: yes
}

// A Provider is a package that provides a Name.
type Provider struct {
	Package *Package
	Version string // "" when it provides no version
}

// A Package is one version of one binary package.
type Package struct {
	Of            *Name
	Version       string
	Arch          string // the universe's, or "all"
	Source        string // name of the source package
	SourceVersion string
	Filename      string // below the archive's root, clean; for a local file its path as given
	Size          int64  // bytes of the .deb
	SHA256        string // 64 lower-case hex digits
	Priority      Priority
	MultiArch     MultiArch
	Essential     bool
	In            []*Release // that list it; none for a local file

	texts [numTexts]string
}

// A Priority is one of Policy 2.5, the most important first.
type Priority uint8

const (
	NoPriority Priority = iota
	Required
	Important
	Standard
	Optional
	Extra
)

// MultiArch is the value of the field (deb-control(5)).
type MultiArch uint8

const (
	MultiArchNo MultiArch = iota
	MultiArchSame
	MultiArchForeign
	MultiArchAllowed
)

// A Field is a dependency field that a Package keeps.
type Field uint8

const (
	PreDepends Field = iota
	Depends
	Conflicts
	Breaks
	Recommends
	Provides
	Replaces
	numFields

	// texts that share the array with the fields
	textVersion  = numFields
	textSource   = numFields + 1
	textFilename = numFields + 2
	textSHA256   = numFields + 3
	numTexts     = numFields + 4
)

func (f Field) String() string {
	return [...]string{"Pre-Depends", "Depends", "Conflicts", "Breaks", "Recommends", "Provides", "Replaces"}[f]
}

// mentions are the fields in the order that apt reads them in; where they name a package for the first time, it
// gets its ID. Those that map to numFields are not kept.
var mentions = []struct {
	name string
	keep Field
}{
	{"Pre-Depends", PreDepends}, {"Depends", Depends}, {"Conflicts", Conflicts}, {"Breaks", Breaks},
	{"Recommends", Recommends}, {"Suggests", numFields}, {"Replaces", Replaces}, {"Enhances", numFields},
	{"Provides", Provides},
}

// Local is the ID of the source of packages from files.
const Local = "file"

// NewUniverse returns an empty Universe for an architecture, Debian's name.
func NewUniverse(arch string) *Universe {
	return &Universe{Arch: arch, names: make(map[string]*Name, 100_000)}
}

// Name returns what is known of a name, nil when nothing is.
func (u *Universe) Name(name string) *Name { return u.names[name] }

// Names yields every name, in no order.
func (u *Universe) Names() iter.Seq[*Name] { return maps.Values(u.names) }

// Len is the number of names; their IDs are below it.
func (u *Universe) Len() int { return len(u.names) }

// SourceID is the source that a package is taken from: the first that lists it, or [Local].
func (p *Package) SourceID() string {
	if len(p.In) == 0 {
		return Local
	}
	return p.In[0].Source.ID
}

// Text is a field as it was written.
func (p *Package) Text(f Field) string { return p.texts[f] }

// Relations reads a field. The error names the package.
func (p *Package) Relations(f Field) ([]control.Clause, error) {
	if p.texts[f] == "" {
		return nil, nil
	}
	list, err := control.ParseRelations(p.texts[f])
	if err != nil {
		return nil, fmt.Errorf("%s %s in %s: %s: %w", p.Of.Name, p.Version, p.SourceID(), f, err)
	}
	return list, nil
}

func (p *Package) String() string { return p.Of.Name + " " + p.Version }

// AddIndex adds the packages of one Packages file.
func (u *Universe) AddIndex(rel *Release, r io.Reader) error {
	reader := control.NewReader(r)
	for {
		s, err := reader.Next()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			_, err = u.add(s, rel, localFile{})
		}
		if err != nil {
			return err
		}
	}
}

// localFile is where the .deb of a package is that no index lists.
type localFile struct {
	path, sha256 string
	size         int64
}

// AddFile adds the package of a .deb on disk: its control paragraph, its path (kept as given), size and sha256.
func (u *Universe) AddFile(s *control.Stanza, path string, size int64, sha256 string) (*Package, error) {
	p, err := u.add(s, nil, localFile{path, sha256, size})
	if err == nil && p == nil {
		err = fmt.Errorf("architecture is %q, not %s", s.Get("Architecture"), u.Arch)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

// add returns nil for a package of another architecture, or that the source's options leave out.
func (u *Universe) add(s *control.Stanza, rel *Release, local localFile) (*Package, error) {
	name, arch := string(s.Bytes("Package")), string(s.Bytes("Architecture"))
	switch {
	case name == "" || arch == "":
		return nil, &control.SyntaxError{Line: s.Line, Msg: "a package without Package or Architecture"}
	case arch == "all":
		arch = "all"
	case arch == u.Arch:
		arch = u.Arch
	default:
		return nil, nil
	}
	if rel != nil && rel.Source.options.leavesOut(name) {
		return nil, nil
	}
	n := u.intern(name)
	p, err := u.newPackage(n, arch, s, local)
	if err != nil {
		return nil, &control.SyntaxError{Line: s.Line, Msg: fmt.Sprintf("package %s: %v", name, err)}
	}
	at, known := slices.BinarySearchFunc(n.Versions, p, func(have, p *Package) int {
		if c := control.Compare(p.Version, have.Version); c != 0 {
			return c
		}
		if have.SHA256 == p.SHA256 {
			return 0
		}
		return -1 // the same version built otherwise: behind those that are there
	})
	if known {
		same := n.Versions[at]
		if rel != nil {
			same.In = append(same.In, rel)
		}
		return same, nil
	}
	if rel != nil {
		p.In = []*Release{rel}
	}
	n.Versions = slices.Insert(n.Versions, at, p)
	n.Essential = n.Essential || p.Essential
	n.Protected = n.Protected || isYes(string(s.Bytes("Protected"))) || isYes(string(s.Bytes("Important")))
	return p, u.mention(p, s)
}

// newPackage copies what is kept of a paragraph, as one string that the fields are parts of.
func (u *Universe) newPackage(n *Name, arch string, s *control.Stanza, local localFile) (*Package, error) {
	p := &Package{Of: n, Arch: arch, Source: n.Name, Size: local.size}
	u.buf = u.buf[:0]
	u.spans = [numTexts][2]int{}
	put := func(t Field, value []byte) {
		u.spans[t] = [2]int{len(u.buf), len(u.buf) + len(value)}
		u.buf = append(u.buf, value...)
	}
	for key, value := range s.Fields() {
		switch string(key) {
		case "Version":
			put(textVersion, value)
		case "Source":
			put(textSource, value)
		case "Filename":
			put(textFilename, value)
		case "SHA256":
			put(textSHA256, value)
		case "Size":
			if local.path == "" {
				size, err := strconv.ParseInt(string(value), 10, 64)
				if err != nil || size <= 0 {
					return nil, fmt.Errorf("size %q is no number", value)
				}
				p.Size = size
			}
		case "Priority":
			p.Priority = parsePriority(string(value))
		case "Multi-Arch":
			p.MultiArch = parseMultiArch(string(value))
		case "Essential":
			p.Essential = isYes(string(value))
		default:
			for _, m := range mentions {
				if m.keep < numFields && string(key) == m.name {
					put(m.keep, value)
				}
			}
		}
	}
	text := string(u.buf)
	for t, span := range u.spans {
		p.texts[t] = text[span[0]:span[1]]
	}
	return p, p.complete(local)
}

// complete checks the texts that are facts of their own and puts them in their places.
func (p *Package) complete(local localFile) error {
	p.Version, p.SHA256, p.SourceVersion = p.texts[textVersion], p.texts[textSHA256], p.texts[textVersion]
	if p.Version == "" {
		return fmt.Errorf("no version")
	}
	if name, version, ok := strings.Cut(p.texts[textSource], " ("); ok {
		p.Source, p.SourceVersion = strings.TrimSpace(name), strings.TrimRight(version, ") ")
	} else if name != "" {
		p.Source = name
	}
	if local.path != "" {
		p.Filename, p.SHA256 = local.path, local.sha256
		return nil
	}
	p.Filename = path.Clean(p.texts[textFilename])
	if !filepath.IsLocal(p.Filename) || p.Filename == "." {
		return fmt.Errorf("file name %q leaves the archive", p.texts[textFilename])
	}
	if !isSHA256(p.SHA256) || strings.ToLower(p.SHA256) != p.SHA256 {
		return fmt.Errorf("no sha256")
	}
	if p.Size == 0 {
		return fmt.Errorf("no size")
	}
	return nil
}

func parsePriority(v string) Priority {
	switch strings.ToLower(v) {
	case "required":
		return Required
	case "important":
		return Important
	case "standard":
		return Standard
	case "optional":
		return Optional
	}
	return Extra
}

func parseMultiArch(v string) MultiArch {
	switch strings.ToLower(v) {
	case "same":
		return MultiArchSame
	case "foreign":
		return MultiArchForeign
	case "allowed":
		return MultiArchAllowed
	}
	return MultiArchNo
}

// intern returns the Name, made when it is new.
func (u *Universe) intern(name string) *Name {
	n := u.names[name]
	if n == nil {
		name = strings.Clone(name)
		n = &Name{Name: name, ID: int32(len(u.names))}
		u.names[name] = n
	}
	return n
}

// mention gives every name in the dependency fields its ID, and enters what the package provides.
func (u *Universe) mention(p *Package, s *control.Stanza) error {
	for _, m := range mentions {
		if m.keep == Provides {
			continue
		}
		for name := range mentionedNames(s.Bytes(m.name)) {
			if u.names[string(name)] == nil {
				u.mentionName(string(name))
			}
		}
	}
	provided, err := p.Relations(Provides)
	if err != nil {
		return err
	}
	for _, c := range provided {
		r := c[0]
		if r.Op != control.Any && r.Op != control.Equal {
			continue // means nothing; apt warns and goes on
		}
		name := r.Name
		switch r.Arch {
		case "":
		case "any":
			name += ":any"
		default:
			if u.mentionName(r.Name + ":" + r.Arch); r.Arch != u.Arch {
				continue // of another architecture, which nothing here asks for
			}
		}
		u.provide(name, p, r.Version)
		if p.MultiArch == MultiArchAllowed && r.Arch == "" {
			u.provide(name+":any", p, r.Version)
		}
	}
	if p.MultiArch == MultiArchAllowed {
		u.provide(p.Of.Name+":any", p, p.Version)
	}
	return nil
}

// mentionName enters a name as a relation has it. With an architecture apt makes two of it: of the whole, which only
// apt's order is about, and of the package that is meant.
func (u *Universe) mentionName(name string) {
	group, arch, qualified := strings.Cut(name, ":")
	switch {
	case !qualified || arch == "any":
		u.intern(name)
	case arch == "native" || arch == u.Arch:
		u.intern(group)
		u.intern(group + ":" + u.Arch)
	case u.names[name] == nil:
		u.intern(name)
		u.foreign = append(u.foreign, foreignName{group, len(u.names)})
	}
}

func (u *Universe) provide(name string, p *Package, version string) {
	n := u.intern(name)
	n.Providers = append(n.Providers, Provider{p, version})
}

// mentionedNames yields the package names of a dependency field, without checking its form.
func mentionedNames(value []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for i := 0; i < len(value); {
			for i < len(value) && (value[i] == ' ' || value[i] == ',' || value[i] == '|' || value[i] == '\n') {
				i++
			}
			start := i
			for i < len(value) && value[i] != ' ' && value[i] != ',' && value[i] != '|' && value[i] != '(' {
				i++
			}
			if i > start && !yield(value[start:i]) {
				return
			}
			for i < len(value) && value[i] != ',' && value[i] != '|' {
				i++
			}
		}
	}
}
