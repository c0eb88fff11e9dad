package main

import (
	"strings"
	"testing"

	"brickyard/internal/bake/apt/apttest"
)

// pinnedImage is the digest of the image that pinnedRecipe gives from testArchive on amd64. It is the promise
// that the same lock gives the same bits, over versions of this program: whoever changes it breaks that promise
// for every image out there, and must do so on purpose, with a word in the CHANGELOG.
const pinnedImage = "sha256:792564116a9e984d6ad7ce90aaa7d860669ba38d02e5b1423e51cb6497986b23"

// testArchive has packages without maintainer scripts, with every kind of file that packages ship.
func testArchive() *apttest.Archive {
	a := apttest.New()
	a.Add("bookworm", "main",
		apttest.Package{
			Name: "base", Version: "12.1", Arch: "amd64", Priority: "required", Essential: true,
			Files: []apttest.File{
				{Path: "etc/"}, {Path: "etc/passwd", Content: "root:x:0:0:root:/root:/bin/sh\n"}, {Path: "etc/group", Content: "root:x:0:\nmail:x:8:\n"},
				{Path: "root/", Mode: 0o700}, {Path: "tmp/", Mode: 0o1777}, {Path: "var/mail/", Mode: 0o2775, GID: 8},
				{Path: "usr/bin/true", Mode: 0o755, Content: "#!/bin/sh\n"}, {Path: "usr/bin/yes", Type: apttest.HardLink, Link: "usr/bin/true"},
				{Path: "lib/old-place", Content: "moved\n"}, // comes to lie below /usr
			},
		},
		apttest.Package{
			Name: "shop", Version: "1:2.0-1", Arch: "amd64", Depends: "libshop (>= 2), shop-data", Recommends: "shop-doc",
			Conffiles: []string{"/etc/shop.conf"},
			Files: []apttest.File{
				{Path: "etc/shop.conf", Content: "port=80\n", Mode: 0o640},
				{Path: "usr/bin/shop", Mode: 0o4755, Content: strings.Repeat("shop", 1000)},
				{Path: "usr/bin/shopctl", Link: "shop"},
				{Path: "usr/bin/ping-shop", Mode: 0o755, Content: "x", Xattrs: map[string]string{"security.capability": "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"}},
				{Path: "usr/share/doc/shop/copyright", Content: "free\n"}, {Path: "usr/share/doc/shop/README", Content: "read\n"},
				{Path: "usr/share/man/man1/shop.1.gz", Content: "man"},
			},
		},
		apttest.Package{Name: "libshop", Version: "2.0-1", Arch: "amd64", Source: "shop (1:2.0-1)", MultiArch: "same",
			Files: []apttest.File{{Path: "usr/lib/libshop.so.2", Content: strings.Repeat("lib", 400_000)}}},
		apttest.Package{Name: "shop-data", Version: "7", Compression: "gzip", Replaces: "shop-old",
			Files: []apttest.File{{Path: "usr/share/shop/caf\u00e9 menu", Content: "tea"}, {Path: "usr/share/shop/empty"}}},
		apttest.Package{Name: "shop-doc", Version: "1", Files: []apttest.File{{Path: "usr/share/shop-doc/x", Content: "x"}}},
		apttest.Package{Name: "tool", Version: "0.9-1", Compression: "none", Files: []apttest.File{{Path: "usr/bin/tool", Mode: 0o755, Content: "tool 0.9"}}},
	)
	return a
}

// pinnedRecipe uses all parts of the language that need no program inside the image.
const pinnedRecipe = `name: shop
from: {debian: bookworm, arch: amd64, mirror: "http://archive.example", keys: [archive.gpg], variant: none}
packages: [base, shop, tool]
groups: [{name: staff, gid: 50}]
users: [{name: app, uid: 900, system: true, groups: [mail]}]
directories: [{path: /srv/shop, owner: app, mode: "0750"}]
files:
  - {path: /etc/motd, content: "welcome\n"}
  - {path: /usr/local/bin/start, source: start.sh, owner: app, group: staff}
  - {path: /srv/www, tree: www}
links: [{path: /srv/current, to: www}]
delete: [/usr/bin/yes]
slim: [docs, man]
env: {SHOP: open}
workdir: /srv/shop
user: app
entrypoint: [/usr/bin/shop]
command: [--port, "80"]
ports: {http: 80, dns: 53/udp}
stop_signal: SIGINT
state: [/srv/shop]
labels: {team: shop}
owner: shop-team
expires: 90d
`

func pinnedFiles() map[string]string {
	return map[string]string{
		"recipe.yaml": pinnedRecipe, "start.sh": "#!/bin/sh\nexec shop\n", "www/index.html": "<h1>shop</h1>\n", "www/img/a.svg": "<svg/>\n",
	}
}

func TestPinnedImage(t *testing.T) {
	b := newBakery(t, testArchive().Server(t), pinnedFiles())
	b.must(t, "lock", "recipe.yaml")
	if got := b.bake(t); got != pinnedImage {
		t.Errorf("image %s, want %s", got, pinnedImage)
	}
	b.must(t, "verify", b.bake(t))
	b.tidy(t)
}
