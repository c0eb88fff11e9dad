package recipe

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

const (
	maxRecipeBytes = 1 << 20  // a recipe is read and reviewed by people
	maxLockBytes   = 64 << 20 // a lock has 300 bytes for each package
	maxDepth       = 50       // levels of nesting; what we define has six
)

type kind int

const (
	scalar kind = iota
	mapping
	sequence
)

// A node is a piece of YAML (1.2.2) without what we don't take: anchors, aliases, merge keys and tags.
type node struct {
	kind
	pos
	tag       string // of a scalar: "!!str", "!!int", "!!bool", "!!float" or "!!null"
	text      string // of a scalar
	block     bool   // a scalar written with | or >
	quoted    bool   // a scalar written in quotes; printed in quotes
	flow      bool   // printed on one line
	fromParam bool   // all of the scalar came from one parameter
	entries   []entry
	items     []*node
}

type entry struct {
	key   string
	pos   pos // of the key
	value *node
}

func (n *node) isString() bool { return n.kind == scalar && (n.tag == "!!str" || n.fromParam) }
func (n *node) isNull() bool   { return n.kind == scalar && n.tag == "!!null" }

// get is the value of key in a mapping, or nil.
func (n *node) get(key string) *node {
	for _, e := range n.entries {
		if e.key == key {
			return e.value
		}
	}
	return nil
}

// what names the node's type for a person.
func (n *node) what() string {
	switch {
	case n.kind == mapping:
		return "a mapping"
	case n.kind == sequence:
		return "a list"
	}
	switch n.tag {
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "true or false"
	case "!!null":
		return "nothing"
	}
	return "text"
}

// parseYAML reads the one mapping that data must be. What is wrong goes to rep, whose lines it sets;
// nil means that nothing more can be said.
func parseYAML(data []byte, rep *reporter) *node {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	data = bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
	rep.lines = strings.Split(string(data), "\n")
	if !checkText(rep) {
		return nil
	}
	doc := parseDocument(data, rep)
	if doc == nil {
		return nil
	}
	c := converter{rep: rep}
	root := c.node(doc, 1)
	checkTabs(rep, c.blocks, c.starts)
	if root.kind != mapping {
		rep.add(root.pos, "", "want a mapping, not %s", root.what())
		return nil
	}
	return root
}

// checkText refuses what isn't UTF-8 and what editors and YAML disagree about.
func checkText(rep *reporter) bool {
	for i, line := range rep.lines {
		column := 0
		for j, c := range line {
			column++
			if c == utf8.RuneError {
				if _, size := utf8.DecodeRuneInString(line[j:]); size == 1 {
					rep.add(pos{i + 1, column}, "save the file as UTF-8", "byte 0x%02x is not UTF-8", line[j])
					return false
				}
			}
			if c != '\t' && c < 0x20 || c >= 0x7f && c < 0xa0 || c == '\u2028' || c == '\u2029' || c == '\ufeff' {
				rep.add(pos{i + 1, column}, `in double quotes it can be written as an escape, as "\x07"`,
					"control character %U", c)
				return false
			}
		}
	}
	return true
}

// parseDocument gives the content of the single document in data.
func parseDocument(data []byte, rep *reporter) *yaml.Node {
	loader, err := yaml.NewLoader(bytes.NewReader(data), yaml.WithPlugin(limits{}))
	if err != nil {
		rep.add(pos{}, "", "%v", err)
		return nil
	}
	var doc yaml.Node
	if err := loader.Load(&doc); errors.Is(err, io.EOF) || err == nil && len(doc.Content) == 0 {
		rep.add(pos{}, "", "the file is empty")
		return nil
	} else if err != nil {
		syntaxProblem(rep, err)
		return nil
	}
	var next yaml.Node
	if err := loader.Load(&next); err == nil {
		rep.add(pos{next.Line, next.Column}, "", "a second document; one file holds one")
		return nil
	} else if !errors.Is(err, io.EOF) {
		syntaxProblem(rep, err)
		return nil
	}
	return doc.Content[0]
}

// limits stops the parser early.
type limits struct{}

var errDeep = fmt.Errorf("nested deeper than %d levels", maxDepth)

// CheckDepth is called with each new level.
func (limits) CheckDepth(depth int, _ *yaml.DepthContext) error {
	if depth > maxDepth {
		return errDeep
	}
	return nil
}

// CheckAlias never stops: decoding into a yaml.Node follows no alias, and the converter reports each by place.
func (limits) CheckAlias(int, int) error { return nil }

// syntaxHints says what to do about the parser's more puzzling messages.
var syntaxHints = []struct{ in, hint string }{
	{"mapping values are not allowed", `text with ": " in it needs quotes`},
	{"did not find expected key", "is the line indented like the ones before it?"},
	{"could not find expected ':'", "a key needs a colon and a space after it"},
	{"did not find expected ','", `inside [ ] and { }, put text such as "${name}" in quotes`},
	{"unexpected end of stream", "is a quote or bracket never closed?"},
}

// syntaxProblem reports what the parser said.
func syntaxProblem(rep *reporter, err error) {
	bad, ok := errors.AsType[*yaml.LoadError](err)
	if !ok {
		rep.add(pos{}, "", "%v", err)
		return
	}
	if errors.Is(err, errDeep) || strings.Contains(bad.Message, errDeep.Error()) {
		rep.add(pos{bad.Mark.Line, bad.Mark.Column}, "", "%v", errDeep)
		return
	}
	at := pos{bad.Mark.Line, bad.Mark.Column}
	if tabAt(rep.lines, at.line) {
		reportTab(rep, at.line)
		return
	}
	unfinished := strings.Contains(bad.Message, "end of stream") || strings.Contains(bad.Message, "expected ':'")
	if unfinished && bad.ContextMark.Line > 0 { // where it starts says more than where it was missed
		at = pos{bad.ContextMark.Line, bad.ContextMark.Column}
	}
	hint := ""
	for _, h := range syntaxHints {
		if strings.Contains(bad.Message, h.in) {
			hint = h.hint
			break
		}
	}
	context := ""
	if bad.ContextMsg != "" {
		context = " " + bad.ContextMsg
	}
	rep.add(at, hint, "not YAML: %s%s", bad.Message, context)
}

// tabAt reports whether a line is indented with a tab.
func tabAt(lines []string, line int) bool {
	if line < 1 || line > len(lines) {
		return false
	}
	text := lines[line-1]
	indent := text[:len(text)-len(strings.TrimLeft(text, " \t"))]
	return strings.Contains(indent, "\t") && len(indent) < len(text)
}

func reportTab(rep *reporter, line int) {
	column := strings.Index(rep.lines[line-1], "\t") + 1
	rep.add(pos{line, column}, "indent with spaces", "a tab in the indentation")
}

// checkTabs refuses tabs in indentation, which mean something else in every editor. The text of block
// scalars, which ends where the next node starts, may have them.
func checkTabs(rep *reporter, blocks []int, starts []int) {
	inBlock := map[int]bool{}
	for i, start := range blocks {
		end := len(rep.lines) + 1
		if starts[i] > 0 {
			end = starts[i]
		}
		for line := start + 1; line < end; line++ {
			inBlock[line] = true
		}
	}
	for line := 1; line <= len(rep.lines); line++ {
		if !inBlock[line] && tabAt(rep.lines, line) {
			reportTab(rep, line)
		}
	}
}

// A converter turns the parser's nodes into ours.
type converter struct {
	rep    *reporter
	blocks []int // lines where block scalars start
	starts []int // for each of them, the line of the next node, or 0
}

func (c *converter) node(y *yaml.Node, depth int) *node {
	if n := len(c.starts); n > 0 && c.starts[n-1] == 0 && y.Line > c.blocks[n-1] {
		c.starts[n-1] = y.Line
	}
	n := &node{pos: pos{y.Line, y.Column}}
	switch {
	case depth > maxDepth:
		c.rep.add(n.pos, "", "%v", errDeep)
		n.tag = "!!null"
		return n
	case y.Anchor != "":
		c.rep.add(n.pos, "write the value out where it is used", "anchor &%s", y.Anchor)
	case y.Kind == yaml.AliasNode:
		c.rep.add(n.pos, "write the value out", "alias *%s", y.Value)
		n.tag = "!!null"
		return n
	case y.Style&yaml.TaggedStyle != 0:
		c.rep.add(n.pos, "quotes make a value text", "tag %s", y.ShortTag())
	}
	switch y.Kind {
	case yaml.MappingNode:
		n.kind = mapping
		c.mapping(n, y, depth)
	case yaml.SequenceNode:
		n.kind = sequence
		for _, item := range y.Content {
			n.items = append(n.items, c.node(item, depth+1))
		}
	default:
		c.scalar(n, y)
	}
	return n
}

func (c *converter) scalar(n *node, y *yaml.Node) {
	n.text = y.Value
	switch n.tag = y.ShortTag(); n.tag {
	case "!!int", "!!float", "!!bool", "!!null":
	default: // times and the merge sign are text to us
		n.tag = "!!str"
	}
	n.quoted = y.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0
	n.block = y.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0
	if n.block {
		c.blocks = append(c.blocks, y.Line)
		c.starts = append(c.starts, 0)
	}
}

func (c *converter) mapping(n *node, y *yaml.Node, depth int) {
	seen := map[string]int{} // key → line
	for i := 0; i+1 < len(y.Content); i += 2 {
		key, tag := y.Content[i], y.Content[i].ShortTag()
		at := c.node(key, depth+1).pos
		value := c.node(y.Content[i+1], depth+1)
		switch first := seen[key.Value]; {
		case key.Kind == yaml.AliasNode:
		case tag == "!!merge":
			c.rep.add(at, "write the keys out", "merge key <<")
		case key.Kind != yaml.ScalarNode || tag != "!!str" && tag != "!!timestamp":
			c.rep.add(at, "put it in quotes if it is meant", "a key must be text")
		case first > 0:
			c.rep.add(at, "", "duplicate key %q, first on line %d", key.Value, first)
		default:
			seen[key.Value] = at.line
			n.entries = append(n.entries, entry{key.Value, at, value})
		}
	}
}
