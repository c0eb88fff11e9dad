package recipe

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Render is the recipe as YAML: parameters resolved and no longer there, defaults not invented, always in
// the same order. Loading it in the same directory gives the same recipe but for Params and places.
func (r *Recipe) Render() []byte {
	plain := *r
	plain.Params = nil
	n := encodeValue(reflect.ValueOf(plain), "")
	escape(n)
	var p printer
	p.mapping(n, 0)
	return []byte(p.String())
}

// escape makes the text of a recipe's scalars stand for itself when it is loaded.
func escape(n *node) {
	if n.kind == scalar {
		n.text = escapeUses(n.text)
	}
	for _, e := range n.entries {
		escape(e.value)
	}
	for _, item := range n.items {
		escape(item)
	}
}

// A type that isn't written as its struct's mapping encodes itself.
type nodeEncoder interface {
	encodeNode() *node
}

func textNode(s string) *node { return &node{tag: "!!str", text: s} }

// encodeValue is the opposite of decoder.value.
func encodeValue(v reflect.Value, tag reflect.StructTag) *node {
	switch x := v.Interface().(type) {
	case nodeEncoder:
		return x.encodeNode()
	case time.Time:
		return &node{tag: "!!str", text: x.UTC().Format(time.RFC3339), quoted: true}
	case time.Duration:
		return textNode(x.String())
	}
	switch v.Kind() {
	case reflect.Struct:
		return encodeStruct(v)
	case reflect.Pointer:
		return encodeValue(v.Elem(), tag)
	case reflect.Slice:
		n := &node{kind: sequence}
		for i := range v.Len() {
			n.items = append(n.items, encodeValue(v.Index(i), tag))
		}
		return n
	case reflect.Map:
		n := &node{kind: mapping}
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, key := range keys {
			n.entries = append(n.entries, entry{key: key.String(), value: encodeValue(v.MapIndex(key), tag)})
		}
		return n
	case reflect.Int, reflect.Int64:
		return &node{tag: "!!int", text: strconv.FormatInt(v.Int(), 10)}
	case reflect.Bool:
		return &node{tag: "!!bool", text: strconv.FormatBool(v.Bool())}
	case reflect.String:
		return &node{tag: "!!str", text: v.String(), quoted: tag.Get("style") == "quoted"}
	}
	panic(fmt.Sprintf("recipe: no way to encode a %s", v.Type()))
}

func encodeStruct(v reflect.Value) *node {
	n := &node{kind: mapping}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		key, omitempty := fieldKey(f)
		if key == "" || omitempty && v.Field(i).IsZero() {
			continue
		}
		n.entries = append(n.entries, entry{key: key, value: encodeValue(v.Field(i), f.Tag)})
	}
	return n
}

func (f From) encodeNode() *node { return encodeStruct(reflect.ValueOf(f)) }

// encodeNode is the short form, when there is nothing else to say.
func (s Step) encodeNode() *node {
	switch {
	case s.Unless != "" || s.Creates != "":
		return encodeStruct(reflect.ValueOf(s))
	case s.Shell != "":
		return textNode(s.Shell)
	}
	return encodeValue(reflect.ValueOf(s.Argv), "")
}

func (p Package) encodeNode() *node { return textNode(p.String()) }
func (e Expiry) encodeNode() *node  { return textNode(e.String()) }

func (p Port) encodeNode() *node {
	if p.Proto == "tcp" {
		return &node{tag: "!!int", text: p.String()}
	}
	return textNode(p.String())
}

// A printer writes nodes as YAML.
type printer struct{ strings.Builder }

// mapping writes a block mapping, its first key where the printer stands.
func (p *printer) mapping(n *node, indent int) {
	for i, e := range n.entries {
		if i > 0 {
			p.pad(indent)
		}
		p.scalar(textNode(e.key), 0, false)
		p.WriteByte(':')
		p.value(e.value, indent)
	}
}

// value writes what follows "key:" or "-", up to and with the end of the line.
func (p *printer) value(n *node, indent int) {
	switch {
	case n.kind == scalar:
		p.WriteByte(' ')
		p.scalar(n, indent, true)
		p.WriteByte('\n')
	case n.flow || len(n.entries)+len(n.items) == 0:
		p.WriteByte(' ')
		p.flow(n)
		p.WriteByte('\n')
	case n.kind == mapping:
		p.WriteByte('\n')
		p.pad(indent + 2)
		p.mapping(n, indent+2)
	default:
		p.WriteByte('\n')
		p.sequence(n, indent+2)
	}
}

func (p *printer) sequence(n *node, indent int) {
	for _, item := range n.items {
		p.pad(indent)
		p.WriteByte('-')
		switch {
		case item.kind == mapping && !item.flow && len(item.entries) > 0:
			p.WriteByte(' ')
			p.mapping(item, indent+2)
		case item.kind == sequence: // on one line, which is what people write
			p.WriteByte(' ')
			p.flow(item)
			p.WriteByte('\n')
		default:
			p.value(item, indent)
		}
	}
}

// flow writes a node on one line.
func (p *printer) flow(n *node) {
	switch n.kind {
	case mapping:
		p.WriteByte('{')
		for i, e := range n.entries {
			if i > 0 {
				p.WriteString(", ")
			}
			p.scalar(textNode(e.key), 0, false)
			p.WriteString(": ")
			p.flow(e.value)
		}
		p.WriteByte('}')
	case sequence:
		p.WriteByte('[')
		for i, item := range n.items {
			if i > 0 {
				p.WriteString(", ")
			}
			p.flow(item)
		}
		p.WriteByte(']')
	default:
		p.scalar(n, 0, false)
	}
}

func (p *printer) pad(n int) { p.WriteString(strings.Repeat(" ", n)) }

// plainText is what needs no quotes anywhere and is nothing but text: a subset of ns-plain (YAML 1.2.2, 7.3.3)
// that starts with a letter, / or _. In a block there may be single spaces and commas, too.
var (
	plainText  = regexp.MustCompile(`^(?:\./)?[A-Za-z/_](?:[A-Za-z0-9_./+@~^=-]|:[A-Za-z0-9_/+])*$`)
	plainBlock = regexp.MustCompile(`^(?:\./)?[A-Za-z/_](?:[A-Za-z0-9_./+@~^=-]|[:,;&|<>][A-Za-z0-9_/+]| [A-Za-z0-9_./+@~^=<>|&;-])*$`)
	notText    = regexp.MustCompile(`(?i)^(?:true|false|yes|no|on|off|y|n|null)$`)
)

// scalar writes a scalar. In a block, where indent is that of its key, several lines stand as such.
func (p *printer) scalar(n *node, indent int, inBlock bool) {
	s := n.text
	switch {
	case n.tag != "!!str":
		p.WriteString(s)
	case inBlock && isLiteral(s):
		p.literal(s, indent+2)
	case !n.quoted && !notText.MatchString(s) && (plainText.MatchString(s) || inBlock && plainBlock.MatchString(s)):
		p.WriteString(s)
	default:
		p.WriteString(quote(s))
	}
}

// isLiteral reports whether s can stand as a literal block scalar (YAML 1.2.2, 8.1.2) without an indentation
// or a keep indicator.
func isLiteral(s string) bool {
	body := strings.TrimSuffix(s, "\n")
	if !strings.Contains(s, "\n") || body == "" || strings.HasSuffix(body, "\n") {
		return false
	}
	if strings.ContainsRune(" \t\n", rune(body[0])) || strings.TrimRight(lastLine(body), " \t") == "" {
		return false
	}
	return !strings.ContainsFunc(s, needsEscape)
}

func lastLine(s string) string { return s[strings.LastIndexByte(s, '\n')+1:] }

func (p *printer) literal(s string, indent int) {
	body, ended := strings.CutSuffix(s, "\n")
	p.WriteByte('|')
	if !ended {
		p.WriteByte('-')
	}
	for line := range strings.SplitSeq(body, "\n") {
		p.WriteByte('\n')
		if line != "" {
			p.pad(indent)
			p.WriteString(line)
		}
	}
}

// needsEscape holds for what can't stand as itself in a YAML file.
func needsEscape(c rune) bool {
	return isControl(c) || c == '\u2028' || c == '\u2029' || c == '\ufeff' || !strconv.IsPrint(c) && c != '\n' && c != '\t'
}

// quote is s in double quotes (YAML 1.2.2, 7.3.1).
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteRune(c)
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\t':
			b.WriteString(`\t`)
		case c > 0xffff && needsEscape(c):
			fmt.Fprintf(&b, `\U%08x`, c)
		case c > 0xff && needsEscape(c):
			fmt.Fprintf(&b, `\u%04x`, c)
		case needsEscape(c):
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteRune(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}
