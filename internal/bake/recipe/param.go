package recipe

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// ParamTypes are the types that a parameter may have; the first is the default.
var ParamTypes = []string{"string", "int", "bool", "enum", "port", "path"}

var (
	paramName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)
	paramUse  = regexp.MustCompile(`^\$\{([a-z][a-z0-9_]{0,63})\}$`) // all of a scalar
)

// check says what is wrong with a value of p, or nil.
func (p Param) check(value string) error {
	switch p.Type {
	case "int":
		if !decimal.MatchString(value) {
			return fmt.Errorf("%q is not a plain decimal number", value)
		}
	case "bool":
		if value != "true" && value != "false" {
			return fmt.Errorf("%q is neither true nor false", value)
		}
	case "enum":
		if !slices.Contains(p.Values, value) {
			return fmt.Errorf("%q is none of %s", value, strings.Join(p.Values, ", "))
		}
	case "port":
		if n, err := strconv.Atoi(value); err != nil || !validPort(n) || !decimal.MatchString(value) {
			return fmt.Errorf("%q is not a port within 1 to 65535", value)
		}
	case "path":
		return checkPath(value)
	}
	if i := strings.IndexFunc(value, isControl); i >= 0 {
		return fmt.Errorf("a control character at byte %d", i)
	}
	return nil
}

// isControl holds for what has no place in a value: control characters but tab and newline.
func isControl(c rune) bool {
	return c < 0x20 && c != '\t' && c != '\n' || c >= 0x7f && c < 0xa0 || c == '\uFFFD'
}

// tag is the type that a scalar takes which is nothing but the parameter.
func (p Param) tag() string {
	switch p.Type {
	case "int", "port":
		return "!!int"
	case "bool":
		return "!!bool"
	}
	return "!!str"
}

// A given value of a parameter, and where it was given.
type given struct {
	value string
	rep   *reporter // nil for one from Options.Set
	pos   pos
}

// checkParams reports what is wrong with the declarations.
func (d *decoder) checkParams(params map[string]Param) {
	for _, name := range slices.Sorted(maps.Keys(params)) {
		p, at := params[name], d.places["params."+name]
		place := func(key string) pos { return d.places["params."+name+"."+key] }
		switch {
		case !paramName.MatchString(name):
			d.rep.add(at, "lower case letters, digits and _", "%q can't name a parameter", name)
		case p.Type != "" && !slices.Contains(ParamTypes, p.Type):
			hint := "one of " + strings.Join(ParamTypes, ", ")
			d.rep.add(place("type"), hint, "parameter %s: unknown type %q", name, p.Type)
		case p.Type == "enum" && len(p.Values) == 0:
			d.rep.add(at, "", "parameter %s: an enum needs values", name)
		case p.Type != "enum" && p.Values != nil:
			d.rep.add(place("values"), "type: enum", "parameter %s: only an enum has values", name)
		case p.Default != nil && strings.Contains(*p.Default, "${"):
			d.rep.add(place("default"), "", "parameter %s: a default can't use parameters", name)
		case p.Default != nil:
			if err := p.check(*p.Default); err != nil {
				d.rep.add(place("default"), "", "parameter %s: default %v", name, err)
			}
		}
	}
}

// resolveParams gives every declared parameter its value. What is missing or wrong is reported, where it
// was given or else where it is declared.
func (d *decoder) resolveParams(params map[string]Param, values map[string]given) map[string]string {
	names := slices.Sorted(maps.Keys(params))
	resolved := map[string]string{}
	for _, name := range names {
		p, at := params[name], d.places["params."+name]
		g, ok := values[name]
		switch {
		case ok:
			rep := d.rep
			if g.rep != nil {
				rep, at = g.rep, g.pos
			}
			if err := p.check(g.value); err != nil {
				rep.add(at, "", "parameter %s: %v", name, err)
			}
			resolved[name] = g.value
		case p.Default != nil:
			resolved[name] = *p.Default
		default:
			d.rep.add(at, fmt.Sprintf("give it with --set %s=…", name), "parameter %s has no value and no default", name)
			resolved[name] = ""
		}
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if _, ok := params[name]; !ok {
			rep, g := d.rep, values[name]
			if g.rep != nil {
				rep = g.rep
			}
			rep.add(g.pos, didYouMean(name, names), "parameter %q is not declared", name)
		}
	}
	return resolved
}

// readValues reads a YAML mapping of parameters.
func readValues(data []byte, rep *reporter) map[string]given {
	values := map[string]given{}
	root := parseYAML(data, rep)
	if root == nil {
		return values
	}
	for _, e := range root.entries {
		if e.value.kind != scalar || e.value.isNull() {
			rep.add(e.value.pos, "", "parameter %s: want one value, not %s", e.key, e.value.what())
			continue
		}
		values[e.key] = given{e.value.text, rep, e.value.pos}
	}
	return values
}

// A substituter replaces ${name} in nodes.
type substituter struct {
	rep    *reporter
	params map[string]Param
	values map[string]string
	added  int // bytes
}

// maxSubstituted bounds what values can add to a recipe, each of them at each of its uses.
const maxSubstituted = 4 << 20

// value is that of a parameter, or "" when all of them together have become too long.
func (s *substituter) value(n *node, name string) string {
	v := s.values[name]
	if s.added > maxSubstituted {
		return ""
	}
	if s.added += len(v); s.added > maxSubstituted {
		s.rep.add(n.pos, "", "parameters add more than %d MiB to the recipe", maxSubstituted>>20)
		return ""
	}
	return v
}

func (s *substituter) node(n *node) {
	for _, e := range n.entries {
		s.node(e.value)
	}
	for _, item := range n.items {
		s.node(item)
	}
	if n.kind != scalar || !strings.Contains(n.text, "${") {
		return
	}
	if m := paramUse.FindStringSubmatch(n.text); m != nil {
		if p, ok := s.params[m[1]]; ok {
			n.text, n.tag, n.fromParam = s.value(n, m[1]), p.tag(), true
			return
		}
	}
	n.text = s.text(n)
}

// text replaces what stands in a scalar, once: values are not looked at again.
func (s *substituter) text(n *node) string {
	var b strings.Builder
	rest := n.text
	for {
		i := strings.Index(rest, "${")
		if i < 0 {
			return b.String() + rest
		}
		if i > 0 && rest[i-1] == '$' {
			b.WriteString(rest[:i-1] + "${")
			rest = rest[i+2:]
			continue
		}
		b.WriteString(rest[:i])
		name, after, closed := strings.Cut(rest[i+2:], "}")
		if _, ok := s.params[name]; !ok || !closed {
			s.unresolved(n, name, closed)
			b.WriteString("${")
			rest = rest[i+2:]
			continue
		}
		b.WriteString(s.value(n, name))
		rest = after
	}
}

func (s *substituter) unresolved(n *node, name string, closed bool) {
	use := "${" + name + "}"
	if !closed || len(name) > 64 || strings.Contains(name, "\n") {
		use = "${"
	}
	if s.rep.full() {
		s.rep.add(n.pos, "", "")
		return
	}
	at := findUse(s.rep.lines, n, use)
	hint := didYouMean(name, slices.Sorted(maps.Keys(s.params)))
	if hint == "" {
		hint = fmt.Sprintf("declare it under params, or write $%s for the text itself", use)
	}
	s.rep.add(at, hint, "%s is not a declared parameter", use)
}

// findUse is where use stands in the scalar n, which may have several lines.
func findUse(lines []string, n *node, use string) pos {
	for i := n.line; i <= len(lines); i++ {
		line, skipped := lines[i-1], 0
		if i == n.line {
			skipped = min(byteOffset(line, n.column), len(line))
		}
		if at := strings.Index(line[skipped:], use); at >= 0 {
			return pos{i, len([]rune(line[:skipped+at])) + 1}
		}
		if i > n.line+len(n.text) {
			break
		}
	}
	return n.pos
}

// byteOffset is where the column of a line starts.
func byteOffset(line string, column int) int {
	for i := range line {
		if column--; column < 1 {
			return i
		}
	}
	return len(line)
}

// escapeUses is the text that substitution turns into s.
func escapeUses(s string) string { return strings.ReplaceAll(s, "${", "$${") }

// decodeParams decodes and checks the params of a recipe.
func (d *decoder) decodeParams(root *node) map[string]Param {
	var params map[string]Param
	if n := root.get("params"); n != nil {
		d.value(n, reflect.ValueOf(&params).Elem(), "params", "")
	}
	d.checkParams(params)
	return params
}
