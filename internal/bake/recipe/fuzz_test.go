package recipe

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzLoad: whatever stands in a file, there is a recipe that renders as itself, or problems within the file.
func FuzzLoad(f *testing.F) {
	for _, path := range []string{"testdata/valid/web.yaml", "testdata/valid/full.yaml", "testdata/valid/scratch.yaml"} {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	var bomb strings.Builder
	bomb.WriteString("a0: &a0 [x, x]\n")
	for i := range 30 {
		bomb.WriteString(fmt.Sprintf("a%d: &a%d [*a%d, *a%d]\n", i+1, i+1, i, i))
	}
	f.Add(bomb.String())
	f.Add("&a [*a]: *a\n")
	f.Add("a: |\n" + strings.Repeat("\n", 5000))
	f.Add(head + "params: {a: {default: b}}\nlabels: {x: \"$${a}${a}$\", \"y z\": \" \\t\\u2028\\x85\", \"yes\": |2-\n  }\n")
	f.Add(head + "labels:\n  a: >-\n    x\n\n     y\n  b: |+\n    c\n\n")
	s := compileSchema(f)
	f.Fuzz(func(t *testing.T, text string) {
		read := func(path string) ([]byte, error) {
			if path == "recipe.yaml" {
				return []byte(text), nil
			}
			if strings.HasSuffix(path, "missing") {
				return nil, fs.ErrNotExist
			}
			return []byte(path), nil
		}
		r, err := Load("recipe.yaml", Options{ReadFile: read})
		if err != nil {
			checkProblems(t, err, text)
			return
		}
		checkRender(t, r, read)
		if err := validate(t, s, text); err != nil {
			t.Errorf("the schema refuses what Load takes: %v", err)
		}
		r.Dir = t.TempDir() // sources aren't there
		Lint(r)
	})
}

// checkProblems reports problems that are somewhere else than in the file.
func checkProblems(t *testing.T, err error, text string) {
	t.Helper()
	ps, ok := errors.AsType[Problems](err)
	if !ok || len(ps) == 0 || len(ps) > maxProblems+1 {
		t.Fatalf("got %T with %d problems: %v", err, len(ps), err)
	}
	lines := strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	for _, p := range ps {
		if p.Line < 0 || p.Line > len(lines) || p.Message == "" || (p.Line > 0) != (p.Snippet != "") {
			t.Errorf("a problem that is nowhere: %+v", p)
		}
	}
}

// FuzzReadLock: what is read is written as the same.
func FuzzReadLock(f *testing.F) {
	text := string(testLock().Encode())
	f.Add(text)
	f.Add(strings.ReplaceAll(text, "adduser", "x"))
	f.Add("lock: 1\nrequest: sha256:" + digits + "\nepoch: \"2026-01-31T12:00:00+02:00\"\n")
	f.Fuzz(func(t *testing.T, text string) {
		l, err := ParseLock([]byte(text), "recipe.lock")
		if err != nil {
			checkProblems(t, err, text)
			return
		}
		again, err := ParseLock(l.Encode(), "recipe.lock")
		if err != nil {
			t.Fatalf("%v\nin\n%s", err, l.Encode())
		}
		if diff := cmp.Diff(l, again); diff != "" {
			t.Errorf("read and written differ (-read +written):\n%s", diff)
		}
	})
}

// FuzzScalar: any text survives being printed, wherever it stands.
func FuzzScalar(f *testing.F) {
	for _, s := range []string{"", " ", "a", "yes", "12", "1e3", "-", "- a", "a: b", "a #b", "#", "a\nb", "a\nb\n", "\na", " a\nb", "a\n\n", "a\n \n", "a\n\tb",
		"a \nb", "${a}", "\x00", "\u0085", "\u2028", "\ufeff", "\U0001f600", "\U000e0001", "'", "\"", "\\", "{a}", "[a]", "a, b", "*a", "&a", "!a", "%a", "@a", "`a", "|", ">", "a:", "~", "null", ".5", "0x1", "2027-01-31", "<<", "=", "a\r\nb", "a\n---\nb\n", "---", "..."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		s = strings.ToValidUTF8(s, "")
		value := textNode(s)
		root := &node{kind: mapping, entries: []entry{
			{key: "k" + s, value: value},
			{key: "flow", value: &node{kind: sequence, flow: true, items: []*node{value, {kind: mapping, entries: []entry{{key: s, value: value}}}}}},
			{key: "list", value: &node{kind: sequence, items: []*node{value, {kind: sequence, items: []*node{value}}, {kind: mapping, entries: []entry{{key: "a", value: value}}}}}},
			{key: "map", value: &node{kind: mapping, entries: []entry{{key: "a", value: value}, {key: "b", value: value}}}},
		}}
		var p printer
		p.mapping(root, 0)
		rep := &reporter{file: "f"}
		got := parseYAML([]byte(p.String()), rep)
		if err := rep.err(); err != nil {
			t.Fatalf("%v\nin\n%s", err, p.String())
		}
		want := []string{"k" + s, s, "flow", s, s, s, "list", s, s, "a", s, "map", "a", s, "b", s}
		if diff := cmp.Diff(want, flatten(got, nil)); diff != "" {
			t.Errorf("(-want +got):\n%s\nin\n%s", diff, p.String())
		}
	})
}

// flatten lists all keys and scalars.
func flatten(n *node, all []string) []string {
	if n.kind == scalar {
		return append(all, n.text)
	}
	for _, e := range n.entries {
		all = flatten(e.value, append(all, e.key))
	}
	for _, item := range n.items {
		all = flatten(item, all)
	}
	return all
}
