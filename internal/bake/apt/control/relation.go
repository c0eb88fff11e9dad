package control

import (
	"fmt"
	"strings"
)

// An Op compares the version that is there with the one that was named.
type Op uint8

const (
	Any       Op = iota // no version named
	Less                // <<
	LessEq              // <=
	Equal               // =
	GreaterEq           // >=
	Greater             // >>
)

func (o Op) String() string { return [...]string{"", "<<", "<=", "=", ">=", ">>"}[o] }

// Holds says whether version v is in the relation o to named.
func (o Op) Holds(v, named string) bool {
	if o == Any {
		return true
	}
	c := Compare(v, named)
	switch o {
	case Less:
		return c < 0
	case LessEq:
		return c <= 0
	case Equal:
		return c == 0
	case GreaterEq:
		return c >= 0
	}
	return c > 0
}

// A Relation is one package that a field names: "libc6:any (>= 2.36)".
type Relation struct {
	Name    string
	Arch    string // "", "any", "native" or an architecture
	Op      Op
	Version string // "" with Any
}

func (r Relation) String() string {
	s := r.Name
	if r.Arch != "" {
		s += ":" + r.Arch
	}
	if r.Op != Any {
		s += " (" + r.Op.String() + " " + r.Version + ")"
	}
	return s
}

// A Clause is alternatives, the preferred first: "mailx | mail-reader". In Conflicts, Breaks, Replaces and
// Provides it has one Relation.
type Clause []Relation

func (c Clause) String() string {
	var b strings.Builder
	for i, r := range c {
		if i > 0 {
			b.WriteString(" | ")
		}
		b.WriteString(r.String())
	}
	return b.String()
}

// ParseRelations reads the value of Depends, Conflicts, Provides and the like (Policy 7.1). What a source
// package may say in addition, [architectures] and <profiles>, is taken and ignored.
func ParseRelations(value string) ([]Clause, error) {
	var list []Clause
	p := relationParser{text: value}
	for p.skipSpace(); p.pos < len(p.text); {
		if p.text[p.pos] == ',' { // an empty member: written by hand, taken by dpkg
			p.pos++
			p.skipSpace()
			continue
		}
		var c Clause
		for {
			r, err := p.relation()
			if err != nil {
				return nil, err
			}
			c = append(c, r)
			if !p.take('|') {
				break
			}
		}
		if p.pos < len(p.text) && !p.take(',') {
			return nil, p.errorf("expected a comma")
		}
		list = append(list, c)
	}
	return list, nil
}

type relationParser struct {
	text string
	pos  int
}

func (p *relationParser) errorf(format string, args ...any) error {
	from := max(0, p.pos-20)
	to := min(len(p.text), p.pos+20)
	return fmt.Errorf("relation at byte %d (%q): %s", p.pos, p.text[from:to], fmt.Sprintf(format, args...))
}

func (p *relationParser) skipSpace() {
	for p.pos < len(p.text) && isSpace(p.text[p.pos]) {
		p.pos++
	}
}

// take skips c and the space after it, if c is next.
func (p *relationParser) take(c byte) bool {
	if p.pos >= len(p.text) || p.text[p.pos] != c {
		return false
	}
	p.pos++
	p.skipSpace()
	return true
}

// until returns the text up to the first of the bytes in stop or a space.
func (p *relationParser) until(stop string) string {
	start := p.pos
	for p.pos < len(p.text) && !isSpace(p.text[p.pos]) && strings.IndexByte(stop, p.text[p.pos]) < 0 {
		p.pos++
	}
	return p.text[start:p.pos]
}

func (p *relationParser) relation() (Relation, error) {
	name := p.until("(),|[]<>")
	if name == "" {
		return Relation{}, p.errorf("no package name")
	}
	var r Relation
	r.Name = name
	if i := strings.LastIndexByte(name, ':'); i >= 0 {
		r.Name, r.Arch = name[:i], name[i+1:]
		if r.Name == "" || r.Arch == "" {
			return Relation{}, p.errorf("no package name in %q", name)
		}
	}
	p.skipSpace()
	if p.take('(') {
		if err := p.version(&r); err != nil {
			return Relation{}, err
		}
	}
	for p.pos < len(p.text) && (p.text[p.pos] == '[' || p.text[p.pos] == '<') {
		end := strings.IndexByte(p.text[p.pos:], map[byte]byte{'[': ']', '<': '>'}[p.text[p.pos]])
		if end < 0 || strings.ContainsAny(p.text[p.pos+1:p.pos+end], "[]<>(),|") {
			return Relation{}, p.errorf("a bracket is not closed")
		}
		p.pos += end + 1
		p.skipSpace()
	}
	return r, nil
}

// version reads ">= 1.2)". A lone "<" means "<=", a lone ">" ">=", and none "=", as dpkg and apt take it.
func (p *relationParser) version(r *Relation) error {
	r.Op = Equal
	switch {
	case p.take('='):
	case p.take('<'):
		r.Op = LessEq
		if p.take('<') {
			r.Op = Less
		} else {
			p.take('=')
		}
	case p.take('>'):
		r.Op = GreaterEq
		if p.take('>') {
			r.Op = Greater
		} else {
			p.take('=')
		}
	}
	r.Version = p.until("()[]<>=|,")
	p.skipSpace()
	if r.Version == "" {
		return p.errorf("no version in the parentheses")
	}
	if !p.take(')') {
		return p.errorf("the parenthesis is not closed")
	}
	return nil
}

func isSpace(c byte) bool { return c == ' ' || '\t' <= c && c <= '\r' }
