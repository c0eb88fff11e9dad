package recipe

import (
	"strings"
	"testing"
)

func TestRequest(t *testing.T) {
	const base = `name: web
from: {debian: bookworm, keys: [key.asc]}
packages: [nginx, ./local.deb, curl]
files:
  - {path: /a, content: x}
  - {path: /b, url: "https://archive.example/b"}
run: [nginx -t]
`
	request := func(text string) string {
		t.Helper()
		r, err := loadText(text, nil)
		if err != nil {
			t.Fatal(err)
		}
		return r.Request()
	}
	want := request(base)
	if !digestRE.MatchString(want) {
		t.Errorf("request: got %q", want)
	}
	for _, tt := range []struct {
		name, old, new string
		same           bool
	}{
		{"another name", "name: web", "name: other", true},
		{"another content", "content: x", "content: y", true},
		{"another step", "nginx -t", "nginx -T", true},
		{"another order", "[nginx, ./local.deb, curl]", "[./local.deb, curl, nginx]", true},
		{"another place for the URL", "path: /b", "path: /c", true},
		{"another suite", "bookworm", "trixie", false},
		{"another architecture", "keys:", "arch: arm64, keys:", false},
		{"another version", "nginx,", "nginx=1.0,", false},
		{"a package kept out", "curl", "-curl", false},
		{"another URL", "example/b", "example/c", false},
		{"no key", ", keys: [key.asc]", "", false},
		{"recommends", "run:", "recommends: true\nrun:", false},
		{"a pin", "run:", "pins: [{package: a, origin: b, priority: 1}]\nrun:", false},
		{"an archive", "run:", "archives: [{name: a, uri: \"https://archive.example\", suite: \"./\", keys: [key.asc]}]\nrun:", false},
	} {
		text := strings.Replace(base, tt.old, tt.new, 1)
		if text == base {
			t.Fatalf("%s: nothing replaced", tt.name)
		}
		if got := request(text); (got == want) != tt.same {
			t.Errorf("%s: got the same request: %v, want %v", tt.name, got == want, tt.same)
		}
	}
}

func TestRequestHashesKeysAndLocalPackages(t *testing.T) {
	dir := t.TempDir()
	recipe := write(t, dir, "recipe.yaml", "name: a\nfrom: {debian: bookworm, keys: [key.asc]}\npackages: [./local.deb]\nfiles: [{path: /a, source: a}]\n")
	request := func(key, deb, file string) string {
		t.Helper()
		write(t, dir, "key.asc", key)
		write(t, dir, "local.deb", deb)
		write(t, dir, "a", file)
		r, err := Load(recipe, Options{})
		if err != nil {
			t.Fatal(err)
		}
		return r.Request()
	}
	want := request("k", "d", "f")
	if got := request("k", "d", "F"); got != want {
		t.Error("a file's content changes the request")
	}
	if got := request("K", "d", "f"); got == want {
		t.Error("a key's content doesn't change the request")
	}
	if got := request("k", "D", "f"); got == want {
		t.Error("a local package's content doesn't change the request")
	}
}
