package main

import (
	"strings"
	"testing"

	"brickyard/internal/bake/apt/apttest"
)

// Packages put on a base meet the base's own as dpkg lets them: what it may replace is its own from then on, to dpkg
// and to owner; what it may not is refused.
func TestPackagesOnABase(t *testing.T) {
	file := func(path, content string) []apttest.File {
		return []apttest.File{{Path: path, Content: content}, {Path: "usr/share/" + content, Content: content}}
	}
	a := apttest.New()
	a.Add("bookworm", "main",
		apttest.Package{Name: "old", Files: file("usr/bin/x", "old")},
		apttest.Package{Name: "new", Files: file("usr/bin/x", "new"), Replaces: "old (<< 2)"},
		apttest.Package{Name: "rude", Files: file("bin/x", "rude")},
	)
	child := func(packages string) string {
		return "name: child\nfrom: {base: recipe.yaml}\npackages: [" + packages + "]\nowner: test\nexpires: 90d\n"
	}
	files := plain("old")
	files["new.yaml"], files["rude.yaml"] = child("new"), child("rude")
	b := newBakery(t, a.Server(t), files)
	b.must(t, "lock", "recipe.yaml")
	base := b.bake(t)
	b.must(t, "lock", "new.yaml")
	image := digestOf(t, b.must(t, "bake", "new.yaml"))
	for _, tt := range []struct{ args, want string }{
		{"cat " + image + " /usr/bin/x", "new"},
		{"cat " + base + " /usr/bin/x", "old"},
		{"cat " + image + " /var/lib/dpkg/info/old.list", "/.\n/usr\n/usr/bin\n/usr/share\n/usr/share/old\n"},
		{"cat " + base + " /var/lib/dpkg/info/old.list", "/.\n/usr\n/usr/bin\n/usr/bin/x\n/usr/share\n/usr/share/old\n"},
	} {
		if got := b.must(t, strings.Fields(tt.args)...); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.args, got, tt.want)
		}
	}
	if got := b.must(t, "owner", image, "/usr/bin/x"); !strings.Contains(got, "new 1.0") {
		t.Errorf("owner: %q", got)
	}
	b.must(t, "verify", image)
	b.must(t, "lock", "rude.yaml")
	b.refuse(t, 1, []string{`package rude: /usr/bin/x is also in package old, and neither replaces the other`}, "bake", "rude.yaml")
}
