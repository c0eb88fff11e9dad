package index

import (
	"strings"
	"testing"
)

func TestRecipeEntry(t *testing.T) {
	const text = `name: web
packages: [nginx, "lib c"]
files:
- path: /a
  mode: "0644"
- path: /b
  content: |
    one
    two
run:
- nginx -t
user: "www: data"
`
	for what, want := range map[string]string{
		"files[0]":    `{path: /a, mode: "0644"}`,
		"files[1]":    `{path: /b, content: "one\ntwo\n"}`,
		"files":       `[{path: /a, mode: "0644"}, {path: /b, content: "one\ntwo\n"}]`,
		"files[2]":    "",
		"packages[1]": "lib c",
		"run[0]":      "nginx -t",
		"run":         "[nginx -t]",
		"links[0]":    "",
		"":            "",
	} {
		if got, err := recipeEntry([]byte(text), what); err != nil || got != want {
			t.Errorf("recipeEntry(%q) = %q, %v, want %q", what, got, err, want)
		}
	}
}

func FuzzRecipeEntry(f *testing.F) {
	f.Add([]byte("files:\n- {path: /a}\n"), "files[0]")
	f.Add([]byte("a: &x [1]\nfiles: [*x, *x]\n"), "files[1]")
	f.Fuzz(func(t *testing.T, text []byte, what string) {
		if got, err := recipeEntry(text, what); err == nil && strings.Contains(got, "\n") {
			t.Errorf("%q is more than a line", got)
		}
	})
}
