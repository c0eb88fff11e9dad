package apt

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"brickyard/internal/bake/apt/control"
)

// A Source is one suite of one archive.
type Source struct {
	ID         string   // as locks name it: "debian/bookworm-security"; set when it was selected
	URIs       []string // of the same archive, tried in this order; without "/" at the end
	Suite      string   // "bookworm-security"; ends in "/" for a flat archive
	Components []string // none for a flat archive
	Keys       Keyring  // that may sign it
	Origin     string   // what Origin in the Release must be, without regard to case; "" for anything
	Where      string   // what names it: "etc/apt/sources.list:3"

	options sourceOptions
	guess   bool  // of the host, maybe of another origin: then it is left out, which is no error
	problem error // why it can't be used, told when it is needed
}

// Flat says whether the archive has no dists directory and no components.
func (s Source) Flat() bool { return strings.HasSuffix(s.Suite, "/") }

// String is the source as a person would write it in sources.list.
func (s Source) String() string {
	uri := ""
	if len(s.URIs) > 0 {
		uri = s.URIs[0]
	}
	return strings.TrimSpace(redact(uri) + " " + s.Suite + " " + strings.Join(s.Components, " "))
}

// A Host is what a machine's apt is configured with.
type Host struct {
	Sources  []Source // in apt's order
	Distro   string   // ID of os-release: "debian", "ubuntu"; "" when unknown
	Codename string   // VERSION_CODENAME of os-release: "bookworm"
	Trusted  Keyring  // keys for sources without Signed-By: trusted.gpg and trusted.gpg.d
}

// HostSources reads apt's configuration below root, "/" for this machine. A machine without apt has no
// sources; that is no error. What makes one source unusable is told when it is selected, see [Host.Select].
//
// Errors: a sources file that is there and can't be read or understood.
func HostSources(root string) (*Host, error) {
	h := &Host{}
	h.readOSRelease(root)
	h.readTrusted(root)
	dir := filepath.Join(root, "etc/apt")
	for _, name := range sourceFiles(dir) {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		p := sourceParser{root: root, file: "etc/apt/" + name, trusted: h.Trusted}
		if strings.HasSuffix(name, ".sources") {
			err = p.deb822(data)
		} else {
			err = p.oneLine(data)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Join(dir, name), withoutLogins(err))
		}
		h.Sources = append(h.Sources, p.sources...)
	}
	return h, nil
}

// logins are what addresses in a text may say of who asks.
var logins = regexp.MustCompile(`//[^\s"]*@`)

// withoutLogins hides logins in what a syntax error cites.
func withoutLogins(err error) error {
	if se, ok := errors.AsType[*control.SyntaxError](err); ok {
		return &control.SyntaxError{Line: se.Line, Msg: logins.ReplaceAllString(se.Msg, "//***@")}
	}
	return err
}

// sourceFiles returns sources.list and what is in sources.list.d, sorted, relative to dir.
func sourceFiles(dir string) []string {
	var names []string
	if _, err := os.Stat(filepath.Join(dir, "sources.list")); err == nil {
		names = append(names, "sources.list")
	}
	return append(names, partsIn(dir, "sources.list.d", ".list", ".sources")...)
}

// partsIn returns the files of dir/sub that apt would read: known extension, no odd characters; sorted.
func partsIn(dir, sub string, exts ...string) []string {
	var names []string
	entries, _ := os.ReadDir(filepath.Join(dir, sub)) // sorted; one that isn't there has none
	for _, e := range entries {
		odd := strings.ContainsFunc(e.Name(), func(r rune) bool {
			return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-_.", r))
		})
		if !odd && !e.IsDir() && e.Name()[0] != '.' && slices.Contains(exts, filepath.Ext(e.Name())) {
			names = append(names, sub+"/"+e.Name())
		}
	}
	return names
}

func (h *Host) readOSRelease(root string) {
	for _, name := range []string{"etc/os-release", "usr/lib/os-release"} {
		data, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(data)) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			switch value = strings.Trim(value, `"'`); key {
			case "ID":
				h.Distro = value
			case "VERSION_CODENAME":
				h.Codename = value
			}
		}
		return
	}
}

func (h *Host) readTrusted(root string) {
	dir := filepath.Join(root, "etc/apt")
	for _, name := range append([]string{"trusted.gpg"}, partsIn(dir, "trusted.gpg.d", ".gpg", ".asc")...) {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) || err == nil && len(data) == 0 {
			continue
		}
		h.Trusted = h.Trusted.Merge(keysOrProblem(filepath.Join(dir, name), data, err))
	}
}

// keysOrProblem returns the keys in data, or a ring without keys that says why.
func keysOrProblem(name string, data []byte, err error) Keyring {
	var k Keyring
	if err == nil {
		k, err = ReadKeys(name, data)
	}
	if err != nil {
		return Keyring{problems: []error{err}}
	}
	return k
}

// sourceParser reads one file of sources.
type sourceParser struct {
	root    string
	file    string // relative to root, for messages
	trusted Keyring
	sources []Source
}

// oneLine reads the format of sources.list.
func (p *sourceParser) oneLine(data []byte) error {
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, control.MaxLine)
	for n := 1; lines.Scan(); n++ {
		words, opts, err := splitOneLine(lines.Text())
		if err != nil {
			return &control.SyntaxError{Line: n, Msg: err.Error()}
		}
		if len(words) == 0 || words[0] == "deb-src" {
			continue
		}
		if words[0] != "deb" {
			return &control.SyntaxError{Line: n, Msg: fmt.Sprintf("type %q is not known", words[0])}
		}
		if len(words) < 3 {
			return &control.SyntaxError{Line: n, Msg: "a source needs an address and a suite"}
		}
		where := fmt.Sprintf("%s:%d", p.file, n)
		if err := p.add(where, words[1:2], words[2:3], words[3:], opts); err != nil {
			return &control.SyntaxError{Line: n, Msg: err.Error()}
		}
	}
	return lines.Err()
}

// splitOneLine splits a line into words and options. A "#" starts a comment, except inside brackets;
// a cdrom's name is in brackets and has spaces.
func splitOneLine(line string) (words []string, opts sourceOptions, err error) {
	var word strings.Builder
	depth := 0
	var raw []string
	flush := func() {
		if word.Len() > 0 {
			raw = append(raw, word.String())
			word.Reset()
		}
	}
scan:
	for _, c := range line {
		switch {
		case c == '#' && depth == 0:
			break scan
		case (c == ' ' || c == '\t' || c == '\r') && depth == 0:
			flush()
			continue
		case c == '[':
			depth++
		case c == ']':
			depth--
		}
		word.WriteRune(c)
	}
	flush()
	if depth != 0 {
		return nil, opts, errors.New("a bracket is not closed")
	}
	for i, w := range raw {
		if i == 1 && strings.HasPrefix(w, "[") {
			if opts, err = lineOptions(strings.Trim(w, "[]")); err != nil {
				return nil, opts, err
			}
			continue
		}
		words = append(words, strings.Trim(w, `"`))
	}
	return words, opts, nil
}

// deb822 reads the format of .sources.
func (p *sourceParser) deb822(data []byte) error {
	r := control.NewReader(bytes.NewReader(data))
	r.Comments = true
	for {
		s, err := r.Next()
		if err != nil {
			if err == io.EOF {
				return nil
			}
			return err
		}
		if isNo(s.Get("Enabled")) || !slices.Contains(strings.Fields(s.Get("Types")), "deb") {
			continue
		}
		opts, err := stanzaOptions(s)
		if err != nil {
			return &control.SyntaxError{Line: s.Line, Msg: err.Error()}
		}
		where := fmt.Sprintf("%s:%d", p.file, s.Line)
		uris, suites := strings.Fields(s.Get("URIs")), strings.Fields(s.Get("Suites"))
		if len(uris) == 0 || len(suites) == 0 {
			return &control.SyntaxError{Line: s.Line, Msg: "a source needs URIs and Suites"}
		}
		if err := p.add(where, uris, suites, strings.Fields(s.Get("Components")), opts); err != nil {
			return &control.SyntaxError{Line: s.Line, Msg: err.Error()}
		}
	}
}

// add expands one entry into a Source for each address and suite.
func (p *sourceParser) add(where string, uris, suites, components []string, o sourceOptions) error {
	keys, problem := p.signedBy(o.signedBy)
	if o.trusted != "" {
		problem = &trustedError{where, o.trusted}
	}
	for _, uri := range uris {
		mirrors, err := p.mirrors(uri)
		uriProblem := problem
		if uriProblem == nil {
			uriProblem = err
		}
		for _, suite := range suites {
			flat := strings.HasSuffix(suite, "/")
			if flat != (len(components) == 0) {
				return fmt.Errorf("suite %q: components go with a suite, and none with one that ends in \"/\"", suite)
			}
			p.sources = append(p.sources, Source{URIs: mirrors, Suite: suite, Components: components,
				Keys: keys, Where: where, options: o, problem: uriProblem})
		}
	}
	return nil
}

// mirrors returns the addresses behind one: itself, or the list that a mirror+file: names.
func (p *sourceParser) mirrors(uri string) ([]string, error) {
	name, isList := strings.CutPrefix(uri, "mirror+file:")
	if !isList {
		return []string{strings.TrimRight(uri, "/")}, checkURI(uri)
	}
	data, err := os.ReadFile(filepath.Join(p.root, path.Clean("/"+name)))
	if err != nil {
		return []string{uri}, fmt.Errorf("list of mirrors: %w", err)
	}
	type mirror struct {
		uri      string
		priority int
	}
	var list []mirror
	for line := range strings.Lines(string(data)) {
		words := strings.Fields(line) // an address, then what apt may know about it: apt-transport-mirror(1)
		if len(words) == 0 || words[0][0] == '#' {
			continue
		}
		if err := checkURI(words[0]); err != nil {
			return []string{uri}, fmt.Errorf("list of mirrors %s: %w", name, err)
		}
		m := mirror{strings.TrimRight(words[0], "/"), math.MaxInt}
		for _, w := range words[1:] {
			if v, ok := strings.CutPrefix(w, "priority:"); ok {
				fmt.Sscan(v, &m.priority) // one that is no number is none
			}
		}
		list = append(list, m)
	}
	if len(list) == 0 {
		return []string{uri}, fmt.Errorf("list of mirrors %s: names none", name)
	}
	slices.SortStableFunc(list, func(a, b mirror) int { return cmp.Compare(a.priority, b.priority) })
	var uris []string
	for _, m := range list {
		uris = append(uris, m.uri)
	}
	return uris, nil
}

// checkURI refuses addresses that we have no way to read.
func checkURI(uri string) error {
	scheme, rest, ok := strings.Cut(uri, ":")
	_, err := url.Parse(uri)
	switch {
	case !ok || rest == "":
		return fmt.Errorf("address %q: no scheme, as in https://", uri)
	case scheme == "cdrom":
		return &discError{uri}
	case err != nil:
		return fmt.Errorf("address %s: malformed", redact(uri)) // err has all of it
	case scheme == "http" || scheme == "https" || scheme == "file" || scheme == "copy":
		return nil
	}
	return &schemeError{uri: redact(uri), scheme: scheme}
}

// schemeError means that an archive is reached in a way that only apt knows.
type schemeError struct{ uri, scheme string }

func (e *schemeError) Error() string {
	return fmt.Sprintf("address %s: %s: is not supported, only http, https, file, copy and mirror+file are", e.uri, e.scheme)
}

func (e *schemeError) Hint() string {
	return "name an archive on the network or on disk with mirror: in the recipe"
}

// discError means that an archive is on discs, which only apt knows.
type discError struct{ uri string }

func (e *discError) Error() string {
	return fmt.Sprintf("address %s: discs are not read", e.uri)
}

func (e *discError) Hint() string {
	return "copy the disc to a directory and name that with mirror: file:… in the recipe, or name an archive on the network"
}

// trustedError means that a source asks to be believed without a signature, or not to be believed at all.
type trustedError struct{ where, value string }

func (e *trustedError) Error() string {
	if e.value == "no" {
		return fmt.Sprintf("source at %s: trusted=no says not to believe it", e.where)
	}
	return fmt.Sprintf("source at %s: trusted=yes asks to believe it without a signature, which is never done", e.where)
}

func (e *trustedError) Hint() string {
	if e.value == "no" {
		return "name another archive with mirror: and its keys with keys: in the recipe"
	}
	return "sign the archive and name its key with Signed-By, or name another with mirror: and keys: in the recipe"
}

// signedBy returns the keys that a Signed-By value names: key files, fingerprints of trusted keys, or a key
// block itself. Without a value it is every trusted key.
func (p *sourceParser) signedBy(value string) (Keyring, error) {
	if value == "" {
		return p.trusted, nil
	}
	if strings.Contains(value, armorStart) {
		return ReadKeys("Signed-By in "+p.file, []byte(value))
	}
	var keys Keyring
	var files, fingerprints []string
	for word := range strings.FieldsSeq(strings.ReplaceAll(value, ",", " ")) {
		if !strings.HasPrefix(word, "/") {
			fingerprints = append(fingerprints, word)
			continue
		}
		files = append(files, word)
		data, err := os.ReadFile(filepath.Join(p.root, word))
		k := keysOrProblem(word, data, err)
		if err := errors.Join(k.problems...); err != nil {
			return Keyring{}, fmt.Errorf("Signed-By: %w", err)
		}
		keys = keys.Merge(k)
	}
	if len(fingerprints) == 0 {
		return keys, nil
	}
	if len(files) == 0 {
		keys = p.trusted
	}
	keys, err := keys.limit(fingerprints)
	if err != nil {
		return Keyring{}, fmt.Errorf("Signed-By: %w", err)
	}
	return keys, nil
}
