package tree

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// The text form of a tree: a header line, then a line an entry, sorted by path, the fields separated by
// single spaces:
//
//	type mode uid gid mtime size digest-hex path [link=…] [dev=major:minor] [opaque] [hard=…] [x:NAME=VALUE]…
//
// mode is octal; size and digest are "-" for what has none; path, link, hard and attribute values are Go
// quoted strings only when they hold something other than printable ASCII without space, quote and
// backslash. Format 1.
const header = "brickyard tree 1"

// ErrFormat means bytes are not a tree's text form.
var ErrFormat = errors.New("not a tree listing")

// Encode returns the text form of t. The same tree always gives the same bytes.
func (t Tree) Encode() []byte {
	b := make([]byte, 0, 64+len(t)*160)
	b = append(b, header...)
	b = append(b, '\n')
	for _, p := range t.Paths() {
		b = appendEntry(b, p, t[p])
	}
	return b
}

func appendEntry(b []byte, p string, e Entry) []byte {
	b = append(b, byte(e.Type), ' ')
	b = strconv.AppendUint(b, uint64(e.Mode), 8)
	b = append(b, ' ')
	b = strconv.AppendUint(b, uint64(e.UID), 10)
	b = append(b, ' ')
	b = strconv.AppendUint(b, uint64(e.GID), 10)
	b = append(b, ' ')
	b = strconv.AppendInt(b, e.MTime, 10)
	b = append(b, ' ')
	if e.Type == Regular {
		b = strconv.AppendInt(b, e.Size, 10)
		b = append(b, ' ')
		b = append(b, e.Digest.Hex()...)
	} else {
		b = append(b, "- -"...)
	}
	b = append(b, ' ')
	b = appendText(b, p)
	if e.Link != "" {
		b = appendText(append(b, " link="...), e.Link)
	}
	if e.Type == Char || e.Type == Block {
		b = fmt.Appendf(b, " dev=%d:%d", e.Dev[0], e.Dev[1])
	}
	if e.Opaque {
		b = append(b, " opaque"...)
	}
	if e.Hard != "" {
		b = appendText(append(b, " hard="...), e.Hard)
	}
	for _, name := range slices.Sorted(maps.Keys(e.Xattrs)) {
		b = append(b, " x:"...)
		b = appendText(b, name+"="+e.Xattrs[name])
	}
	return append(b, '\n')
}

func appendText(b []byte, s string) []byte {
	if plain(s) {
		return append(b, s...)
	}
	return strconv.AppendQuoteToASCII(b, s)
}

func plain(s string) bool {
	if s == "" {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// Decode reads what Encode wrote. Errors: ErrFormat with the line.
func Decode(data []byte) (Tree, error) {
	first, rest, _ := strings.Cut(string(data), "\n")
	if first != header {
		return nil, fmt.Errorf("%w: no header", ErrFormat)
	}
	t := make(Tree, strings.Count(rest, "\n"))
	last, n := "", 1
	for line := range strings.Lines(rest) {
		n++
		line, ended := strings.CutSuffix(line, "\n")
		p, e, err := decodeLine(line)
		if err == nil && !ended {
			err = errors.New("cut off")
		}
		if err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", ErrFormat, n, err)
		}
		if p <= last {
			return nil, fmt.Errorf("%w: line %d: %q is out of order", ErrFormat, n, p)
		}
		last = p
		t[p] = e
	}
	return t, nil
}

func decodeLine(line string) (string, Entry, error) {
	var e Entry
	f := fields{rest: line}
	typ := f.word()
	if len(typ) != 1 || !strings.Contains("fdlcbpw", typ) {
		return "", e, fmt.Errorf("type %q", typ)
	}
	e.Type = Type(typ[0])
	e.Mode = uint32(f.num(8, 12))
	e.UID = uint32(f.num(10, 32))
	e.GID = uint32(f.num(10, 32))
	e.MTime = f.signed()
	size, digest := f.word(), f.word()
	if e.Type == Regular {
		n, err := strconv.ParseUint(size, 10, 62)
		if err != nil || !isHex(digest) {
			return "", e, errors.New("size or digest")
		}
		e.Size, e.Digest = int64(n), Digest("sha256:"+digest)
	}
	p := f.text()
	for f.err == nil && f.rest != "" {
		f.attribute(&e)
	}
	if f.err == nil && (!clean(p) || e.Hard != "" && !clean(e.Hard)) {
		f.err = fmt.Errorf("path %q", p)
	}
	return p, e, f.err
}

func isHex(digest string) bool {
	return len(digest) == 64 && strings.Trim(digest, "0123456789abcdef") == ""
}

// clean says whether p is a path as trees have it: whoever makes what a listing says must not leave the root.
func clean(p string) bool {
	if p == "." {
		return true
	}
	for c := range strings.SplitSeq(p, "/") {
		if c == "" || c == "." || c == ".." {
			return false
		}
	}
	return strings.IndexByte(p, 0) < 0
}

// fields takes a line apart, and remembers the first error.
type fields struct {
	rest string
	err  error
}

func (f *fields) word() string {
	w, rest, _ := strings.Cut(f.rest, " ")
	f.rest = rest
	return w
}

func (f *fields) num(base, bits int) uint64 {
	n, err := strconv.ParseUint(f.word(), base, bits)
	f.err = cmp.Or(f.err, err)
	return n
}

func (f *fields) signed() int64 {
	n, err := strconv.ParseInt(f.word(), 10, 64)
	f.err = cmp.Or(f.err, err)
	return n
}

// text takes a word that may be quoted.
func (f *fields) text() string {
	if !strings.HasPrefix(f.rest, `"`) {
		w := f.word()
		if !plain(w) {
			f.err = cmp.Or(f.err, errors.New("empty or unquoted text"))
		}
		return w
	}
	q, err := strconv.QuotedPrefix(f.rest)
	if err != nil {
		f.err = cmp.Or(f.err, err)
		f.rest = ""
		return ""
	}
	f.rest = strings.TrimPrefix(f.rest[len(q):], " ")
	s, err := strconv.Unquote(q)
	f.err = cmp.Or(f.err, err)
	return s
}

func (f *fields) attribute(e *Entry) {
	switch {
	case f.cut("link="):
		e.Link = f.text()
	case f.cut("dev="):
		if _, err := fmt.Sscanf(f.word(), "%d:%d", &e.Dev[0], &e.Dev[1]); err != nil {
			f.err = cmp.Or(f.err, err)
		}
	case f.cut("hard="):
		e.Hard = f.text()
	case f.cut("x:"):
		name, value, _ := strings.Cut(f.text(), "=")
		if e.Xattrs == nil {
			e.Xattrs = map[string]string{}
		}
		e.Xattrs[name] = value
	default:
		if w := f.word(); w != "opaque" {
			f.err = cmp.Or(f.err, fmt.Errorf("attribute %q", w))
		}
		e.Opaque = true
	}
}

func (f *fields) cut(prefix string) bool {
	rest, ok := strings.CutPrefix(f.rest, prefix)
	f.rest = rest
	return ok
}
