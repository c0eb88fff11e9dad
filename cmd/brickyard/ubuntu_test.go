package main

import (
	"regexp"
	"strings"
	"testing"

	"brickyard/internal/bake/apt/apttest"
)

// jammy is an archive in Ubuntu's shape: packages packed with zstd, pockets of one codename, updates that only some
// machines are to get yet, and universe on lines of its own in sources.list.
func jammy() *apttest.Archive {
	a := apttest.New()
	file := func(path, content string) []apttest.File {
		return []apttest.File{{Path: path, Mode: 0o755, Content: content}}
	}
	libc := func(version, content string) apttest.Package {
		return apttest.Package{Name: "libc6", Version: version, Arch: "amd64", Priority: "required", MultiArch: "same", Compression: "zstd", Source: "glibc",
			Files: append(file("lib/x86_64-linux-gnu/libc.so.6", content), apttest.File{Path: "lib64/ld-linux-x86-64.so.2", Link: "/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"})}
	}
	a.Add("jammy", "main",
		apttest.Package{Name: "base-files", Version: "12ubuntu4", Arch: "amd64", Priority: "required", Essential: true, Compression: "zstd", PreDepends: "awk",
			Files: []apttest.File{{Path: "etc/os-release", Content: "ID=ubuntu\n"}, {Path: "bin/", Mode: 0o755}, {Path: "sbin/"}, {Path: "lib/"}, {Path: "tmp/", Mode: 0o1777}}},
		apttest.Package{Name: "mawk", Arch: "amd64", Priority: "required", Provides: "awk", Compression: "zstd", Depends: "libc6", Files: file("usr/bin/mawk", "awk")},
		libc("2.35-0ubuntu3", "old"),
		apttest.Package{Name: "usrmerge", Version: "25ubuntu2", Priority: "required", Compression: "zstd", Depends: "mawk", Files: file("usr/lib/usrmerge/convert-usrmerge", "x")},
		apttest.Package{Name: "apt", Arch: "amd64", Priority: "important", Compression: "zstd", Depends: "libc6", Files: file("usr/bin/apt", "x")},
		apttest.Package{Name: "tool", Version: "1.0", Compression: "zstd", Files: file("bin/tool", "1.0")},
	)
	a.Add("jammy", "universe", apttest.Package{Name: "web", Version: "1.0", Section: "universe/httpd", Compression: "zstd", Depends: "tool, libc6", Files: file("usr/sbin/web", "web")})
	a.Add("jammy-updates", "main", apttest.Package{Name: "tool", Version: "1.0ubuntu0.1", Compression: "zstd", Files: file("bin/tool", "1.0ubuntu0.1"),
		Index: map[string]string{"Phased-Update-Percentage": "10"}})
	a.Add("jammy-updates", "universe")
	a.Add("jammy-security", "main", libc("2.35-0ubuntu3.1", "new"))
	a.Add("jammy-security", "universe")
	for _, suite := range []string{"jammy", "jammy-updates", "jammy-security"} {
		o := a.Options(suite)
		o.Origin, o.Label, o.Version, o.Codename = "Ubuntu", "Ubuntu", "22.04", "jammy"
	}
	return a
}

func TestUbuntu(t *testing.T) {
	server := jammy().Server(t)
	b := newBakery(t, nil, map[string]string{"recipe.yaml": `name: web
from: {ubuntu: jammy, arch: amd64, variant: minbase}
packages: [web]
owner: test
expires: 90d
`})
	var sources strings.Builder
	for _, line := range []string{"jammy main restricted", "jammy-updates main restricted", "jammy universe", "jammy-updates universe", "jammy-security main restricted", "jammy-security universe"} {
		sources.WriteString("deb " + server.URL + "/ " + strings.Replace(line, " restricted", "", 1) + "\n# deb-src " + server.URL + "/ " + line + "\n\n")
	}
	withApt(t, b, map[string]string{"sources.list": sources.String(), "trusted.gpg.d/ubuntu-keyring-2018-archive.gpg": string(apttest.Keyring())})
	b.must(t, "lock", "recipe.yaml")
	var got []string
	for _, m := range regexp.MustCompile(`name: (\S+), version: "(.*?)".* from: (\S+),`).FindAllStringSubmatch(b.read(t, "recipe.lock"), -1) {
		got = append(got, m[1]+" "+m[2]+" "+m[3])
	}
	want := []string{
		"apt 1.0 ubuntu/jammy", "base-files 12ubuntu4 ubuntu/jammy", "libc6 2.35-0ubuntu3.1 ubuntu/jammy-security", "mawk 1.0 ubuntu/jammy",
		"tool 1.0ubuntu0.1 ubuntu/jammy-updates", // phased or not
		"usrmerge 25ubuntu2 ubuntu/jammy", "web 1.0 ubuntu/jammy",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("locked\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	digest := b.bake(t)
	files := b.must(t, "files", digest, "/", "-R")
	for _, want := range []string{`/bin -> usr/bin$`, `/lib64 -> usr/lib64$`, `/usr/bin/tool$`, `/usr/lib/x86_64-linux-gnu/libc\.so\.6$`, `/usr/lib64/ld-linux-x86-64\.so\.2 ->`, `/usr/sbin/web$`} {
		if !regexp.MustCompile(`(?m)` + want).MatchString(files) {
			t.Errorf("no file like %s in\n%s", want, files)
		}
	}
	if libc := b.must(t, "cat", digest, "/lib/x86_64-linux-gnu/libc.so.6"); libc != "new" {
		t.Errorf("libc.so.6 is %q, not that of the security suite", libc)
	}
	b.must(t, "verify", digest)
}
