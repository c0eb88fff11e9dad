package recipe

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// LockVersion is the format that this program writes and reads.
const LockVersion = 1

// maxDebBytes is more than any package; ar(5) has ten digits for it.
const maxDebBytes = 16 << 30

const lockHeader = "# Made by brickyard lock. Do not edit: change the recipe and lock again.\n"

// Encode is the lock as text: sorted, each package, source and address on a line of its own. [ParseLock] of it
// gives the same lock. Slices of l are sorted in place.
func (l *Lock) Encode() []byte {
	l.sort()
	n := encodeValue(reflect.ValueOf(*l), "")
	for _, e := range n.entries {
		for _, item := range e.value.items {
			item.flow = true
		}
		e.value.flow = e.value.kind == mapping
	}
	var p printer
	p.WriteString(lockHeader)
	p.mapping(n, 0)
	return []byte(p.String())
}

func (l *Lock) sort() {
	slices.SortFunc(l.Sources, func(a, b LockedFrom) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(l.Packages, compareDebs)
	slices.SortFunc(l.URLs, func(a, b LockedURL) int { return cmp.Compare(a.URL, b.URL) })
}

func compareDebs(a, b LockedDeb) int {
	return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Arch, b.Arch))
}

// ReadLock reads the lock at path.
//
// Errors: [Problems] for what is wrong in it; else that of reading, such as [fs.ErrNotExist].
func ReadLock(path string) (*Lock, error) {
	data, err := Options{}.read(path, maxLockBytes)
	if err != nil {
		return nil, err
	}
	return ParseLock(data, path)
}

// ParseLock reads a lock from text; path is for messages. The error is [Problems].
func ParseLock(data []byte, path string) (*Lock, error) {
	rep := &reporter{file: path}
	root := parseYAML(data, rep)
	if root == nil {
		return nil, rep.err()
	}
	l := &Lock{}
	d := newDecoder(rep)
	if n := root.get("lock"); n != nil && n.text != fmt.Sprint(LockVersion) {
		rep.add(n.pos, "lock again with this version of brickyard", "a lock of format %s, want %d", n.text, LockVersion)
		return nil, rep.err()
	}
	d.structure(root, reflect.ValueOf(l).Elem(), "")
	c := &lockChecker{d, l}
	c.check()
	if err := rep.err(); err != nil {
		return nil, err
	}
	return l, nil
}

// A lockChecker looks at what a decoded lock means. Whoever bakes from it trusts these checks: the paths and
// sizes of a lock come from an archive.
type lockChecker struct {
	*decoder
	l *Lock
}

const lockHint = "lock again"

var (
	hexSHA256   = regexp.MustCompile(`^[0-9a-f]{64}$`)
	fingerprint = regexp.MustCompile(`^[0-9A-F]{40}([0-9A-F]{24})?$`)
	sourceID    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9./_+-]*$`)
)

func (c *lockChecker) bad(place, format string, args ...any) {
	if !c.mistyped[place] && c.places[place] != (pos{}) {
		c.rep.add(c.places[place], lockHint, "%s: "+format, append([]any{place}, args...)...)
	}
}

func (c *lockChecker) match(place, value string, re *regexp.Regexp) {
	if !re.MatchString(value) {
		c.bad(place, "%q is not allowed here", value)
	}
}

// archivePath is match for what becomes part of a path in an archive.
func (c *lockChecker) archivePath(place, value string, re *regexp.Regexp) {
	if leavesDir(value) {
		c.bad(place, "%q leaves the archive", value)
	}
	c.match(place, value, re)
}

func (c *lockChecker) check() {
	l := c.l
	c.match("request", l.Request, digestRE)
	c.match("arch", l.Arch, archOnly)
	if b := l.Base; b != nil {
		c.match("base.name", b.Name, singleLineRE)
		c.match("base.digest", b.Digest, digestRE)
	}
	c.match("rootfs", l.Rootfs, hexSHA256)
	ids := map[string]bool{"file": true}
	for i, s := range l.Sources {
		place := fmt.Sprintf("sources[%d]", i)
		if ids[s.ID] {
			c.bad(place+".id", "%q is there twice", s.ID)
		}
		ids[s.ID] = true
		c.source(place, s)
	}
	for i, p := range l.Packages {
		c.deb(fmt.Sprintf("packages[%d]", i), p, ids)
	}
	for i, u := range l.URLs {
		place := fmt.Sprintf("urls[%d]", i)
		if !strings.HasPrefix(u.URL, "https://") && !strings.HasPrefix(u.URL, "http://") {
			c.bad(place+".url", "%q is not a URL with http or https", u.URL)
		}
		c.size(place+".size", u.Size, 0)
		c.match(place+".sha256", u.SHA256, hexSHA256)
	}
	c.order()
}

func (c *lockChecker) source(place string, s LockedFrom) {
	c.match(place+".id", s.ID, sourceID)
	c.archivePath(place+".suite", s.Suite, archiveSuiteRE)
	for i, comp := range s.Components {
		c.archivePath(fmt.Sprintf("%s.components[%d]", place, i), comp, componentRE)
	}
	c.match(place+".sha256", s.SHA256, hexSHA256)
	for i, f := range s.SignedBy {
		c.match(fmt.Sprintf("%s.signed_by[%d]", place, i), f, fingerprint)
	}
	if len(s.SignedBy) == 0 {
		c.bad(place+".signed_by", "signed by nobody")
	}
}

func (c *lockChecker) deb(place string, p LockedDeb, ids map[string]bool) {
	c.match(place+".name", p.Name, nameOnly)
	c.match(place+".version", p.Version, versionOnly)
	c.match(place+".arch", p.Arch, archOnly)
	c.match(place+".source", p.Source, nameOnly)
	c.match(place+".source_version", p.SourceVersion, versionOnly)
	c.match(place+".sha256", p.SHA256, hexSHA256)
	c.size(place+".size", p.Size, 1)
	if !ids[p.From] {
		c.bad(place+".from", "no source %q", p.From)
	}
	rel := strings.TrimPrefix(p.Path, "./")
	if checkPath("/"+rel) != nil || !strings.HasSuffix(rel, ".deb") && p.From != "file" {
		c.bad(place+".path", "%q is not a clean path below the archive", p.Path)
	}
}

func (c *lockChecker) size(place string, size, least int64) {
	if size < least || size >= maxDebBytes {
		c.bad(place, "a size of %d bytes", size)
	}
}

// order reports packages and addresses that are there twice or aren't sorted: a lock that was edited.
func (c *lockChecker) order() {
	for i := range c.l.Packages[min(1, len(c.l.Packages)):] {
		a, b := c.l.Packages[i], c.l.Packages[i+1]
		switch d := compareDebs(a, b); {
		case d == 0:
			c.bad(fmt.Sprintf("packages[%d]", i+1), "%s:%s is there twice", b.Name, b.Arch)
		case d > 0:
			c.bad(fmt.Sprintf("packages[%d]", i+1), "%s stands after %s", b.Name, a.Name)
		}
	}
	for i := range c.l.URLs[min(1, len(c.l.URLs)):] {
		if c.l.URLs[i].URL >= c.l.URLs[i+1].URL {
			c.bad(fmt.Sprintf("urls[%d]", i+1), "%s is there twice or not in its order", c.l.URLs[i+1].URL)
		}
	}
}

// A LockChange is one difference between two locks.
type LockChange struct {
	Kind string `json:"kind"` // added, removed, upgraded, downgraded or changed
	Name string `json:"name"` // of the package, with its architecture where one name has several; or a URL
	Old  string `json:"old,omitempty"`
	New  string `json:"new,omitempty"` // versions; of a URL, sha256
}

// String is one line: "openssl 3.0.11-1 → 3.0.13-1".
func (c LockChange) String() string {
	switch c.Kind {
	case "added":
		return fmt.Sprintf("%s added, %s", c.Name, c.New)
	case "removed":
		return fmt.Sprintf("%s removed, was %s", c.Name, c.Old)
	case "downgraded":
		return fmt.Sprintf("%s %s → %s (older)", c.Name, c.Old, c.New)
	}
	return fmt.Sprintf("%s %s → %s", c.Name, c.Old, c.New)
}

// DiffLocks says what changed, sorted by name. compare orders Debian versions as [cmp.Compare] orders numbers.
// Either lock may be nil.
func DiffLocks(old, new *Lock, compare func(a, b string) int) []LockChange {
	var changes []LockChange
	before, after := debsOf(old, new), debsOf(new, old)
	for _, key := range unionKeys(before, after) {
		a, b := before[key], after[key]
		c := LockChange{Name: key.name, Old: a.Version, New: b.Version}
		if key.arch != "" {
			c.Name += ":" + key.arch
		}
		switch {
		case a.Name == "":
			c.Kind = "added"
		case b.Name == "":
			c.Kind = "removed"
		case compare(a.Version, b.Version) < 0:
			c.Kind = "upgraded"
		case compare(a.Version, b.Version) > 0:
			c.Kind = "downgraded"
		case a.SHA256 != b.SHA256:
			c.Kind = "changed"
			c.Old, c.New = c.Old+" "+short(a.SHA256), c.New+" "+short(b.SHA256)
		default:
			continue
		}
		changes = append(changes, c)
	}
	return append(changes, diffInputs(old, new)...)
}

// debKey names a package in a diff: the architecture counts only where one name has several.
type debKey struct{ name, arch string }

func debsOf(l, other *Lock) map[debKey]LockedDeb {
	debs := map[debKey]LockedDeb{}
	if l == nil {
		return debs
	}
	several := severalArchs(l)
	if other != nil {
		maps.Copy(several, severalArchs(other))
	}
	for _, p := range l.Packages {
		key := debKey{name: p.Name}
		if several[p.Name] {
			key.arch = p.Arch
		}
		debs[key] = p
	}
	return debs
}

// severalArchs has the names that are in l for more than one architecture.
func severalArchs(l *Lock) map[string]bool {
	several := map[string]bool{}
	seen := map[string]bool{}
	for _, p := range l.Packages {
		if seen[p.Name] {
			several[p.Name] = true
		}
		seen[p.Name] = true
	}
	return several
}

func unionKeys(a, b map[debKey]LockedDeb) []debKey {
	var keys []debKey
	for k := range a {
		keys = append(keys, k)
	}
	for k := range b {
		if _, both := a[k]; !both {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(a, b debKey) int {
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.arch, b.arch))
	})
	return keys
}

// diffInputs compares what isn't a package: the base, the root file system and files from elsewhere.
func diffInputs(old, new *Lock) []LockChange {
	before, after := inputsOf(old), inputsOf(new)
	var changes []LockChange
	for _, name := range slices.Sorted(maps.Keys(merged(before, after))) {
		a, b := before[name], after[name]
		c := LockChange{Name: name, Old: short(a), New: short(b), Kind: "changed"}
		switch {
		case a == b:
			continue
		case a == "":
			c.Kind = "added"
		case b == "":
			c.Kind = "removed"
		}
		changes = append(changes, c)
	}
	return changes
}

func merged(a, b map[string]string) map[string]string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

func inputsOf(l *Lock) map[string]string {
	inputs := map[string]string{}
	if l == nil {
		return inputs
	}
	if l.Base != nil {
		inputs["base "+l.Base.Name] = l.Base.Digest
	}
	if l.Rootfs != "" {
		inputs["rootfs"] = l.Rootfs
	}
	for _, u := range l.URLs {
		inputs[u.URL] = u.SHA256
	}
	return inputs
}

// short is enough of a digest to tell two apart.
func short(digest string) string {
	digest = strings.TrimPrefix(digest, "sha256:")
	return digest[:min(12, len(digest))]
}
