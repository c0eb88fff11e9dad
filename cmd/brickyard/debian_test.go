package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"brickyard/internal/bake/apt/apttest"
)

// debianRecipe is a small Debian with packages whose scripts make users, capabilities and caches.
const debianRecipe = `name: small
from: {debian: SUITE}
packages: [dbus, iputils-ping]
files: [{path: /etc/motd, content: "small\n"}]
run: [ischroot, "grep -q 127.0.0.1 /proc/net/fib_trie", "getent passwd messagebus > /etc/who", {sh: "date > /etc/never", creates: /etc/who}, {argv: [touch, /etc/too], unless: "false"}]
owner: test
expires: 90d
`

// suite is the one that this machine runs, and has apt sources for.
func suite(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("/etc/os-release")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^VERSION_CODENAME=([a-z]+)$`).FindSubmatch(data)
	if m == nil {
		t.Fatal("/etc/os-release has no VERSION_CODENAME")
	}
	return string(m[1])
}

// TestDebian bakes from the Debian archive that this machine's apt uses. The first bake fills a home, of which
// the others get copies.
func TestDebian(t *testing.T) {
	first := newBakery(t, nil, map[string]string{"recipe.yaml": strings.ReplaceAll(debianRecipe, "SUITE", suite(t))})
	first.internet = true
	digest := matrix(t, first, []circumstance{
		{name: "all that a process can have otherwise", set: func(t *testing.T, b *bakery) {
			b.home = filepath.Join(t.TempDir(), `a home: x,y=\z "é"`)
			b.wrap = []string{"taskset", "-c", "0", "sh", "-c", `umask 077; exec "$@"`, "sh"}
			b.env = []string{"GOMAXPROCS=1", "TZ=Pacific/Kiritimati", "LC_ALL=tr_TR.UTF-8", "LANG=ja_JP.UTF-8", "HOME=/nonexistent", "DEBIAN_FRONTEND=dialog"}
		}},
		{name: "an ordinary user", set: asUser},
	})
	t.Run("what is in it", func(t *testing.T) { testDebianContent(t, first, digest) })
	t.Run("dpkg believes it", func(t *testing.T) { testDpkg(t, first, digest) })
	t.Run("a step again", func(t *testing.T) { testStepAgain(t, first) })
	t.Run("a package taken out", func(t *testing.T) { testTakenOut(t, first) })
	t.Run("without scripts", func(t *testing.T) { testWithoutScripts(t, first) })
	t.Run("another day", func(t *testing.T) { testClock(t, first) })
	t.Run("a script fails", func(t *testing.T) { testBrokenScript(t, first) })
	t.Run("a preinst fails", func(t *testing.T) { testBrokenPreinst(t, first) })
	t.Run("a step fails", func(t *testing.T) { testBrokenRun(t, first) })
	t.Run("interrupted", func(t *testing.T) { testInterrupt(t, first) })
	t.Run("killed", func(t *testing.T) { testCrash(t, first, digest) })
	t.Run("full disks", func(t *testing.T) { testFullDisks(t, first, digest) })
	t.Run("many at once", func(t *testing.T) { testManyDebian(t, first) })
}

// copyHome is a bakery with all that b has in its home, and another recipe.
func copyHome(t *testing.T, b *bakery, files map[string]string) *bakery {
	t.Helper()
	c := newBakery(t, b.server, files)
	c.internet = b.internet
	if out, err := exec.Command("cp", "-al", b.home, c.home).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return c
}

// root is an image's root file system on disk.
func (b *bakery) root(t *testing.T, image string) string {
	t.Helper()
	dir := t.TempDir()
	tarball := filepath.Join(t.TempDir(), "root.tar")
	b.must(t, "export", image, "--format", "rootfs", "--to", tarball)
	if out, err := exec.Command("tar", "-xpf", tarball, "--xattrs", "--xattrs-include=*", "--numeric-owner", "-C", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return dir
}

func testDebianContent(t *testing.T, b *bakery, digest string) {
	files := b.must(t, "files", digest, "/", "-R")
	for _, want := range []string{
		`^-rwxr-xr-x\+ 0:0 .* /usr/bin/ping$`, // its capability, which the script sets
		`^-rw-r--r-- 0:0 .* /etc/who$`, `/etc/too$`, `/etc/ld\.so\.cache$`, `/var/lib/dpkg/info/dbus\.list$`,
	} {
		if !regexp.MustCompile(`(?m)` + want).MatchString(files) {
			t.Errorf("no file like %s", want)
		}
	}
	for _, not := range []string{`/etc/never$`, `/usr/sbin/policy-rc\.d$`, `/var/lib/dpkg/tmp\.ci`, `/run/adduser$`, `/var/log/dpkg\.log$`, `aux-cache$`, `-old$`, `\.dpkg-`} {
		if m := regexp.MustCompile(`(?m)^.*` + not).FindString(files); m != "" {
			t.Errorf("there is %s", m)
		}
	}
	if asked := b.must(t, "cat", digest, "/var/cache/debconf/config.dat"); strings.Contains(asked, "unknown") {
		t.Errorf("debconf does not know who asked:\n%s", asked)
	}
	// No time in it is later than the lock's.
	epoch := regexp.MustCompile(`epoch: "(.*)T(..:..)`).FindStringSubmatch(b.read(t, "recipe.lock"))
	for line := range strings.Lines(files) {
		if at := regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d`).FindString(line); at > epoch[1]+" "+epoch[2] {
			t.Errorf("later than %s %s: %s", epoch[1], epoch[2], line)
		}
	}
	if who := b.must(t, "cat", digest, "/etc/who"); !strings.HasPrefix(who, "messagebus:") {
		t.Errorf("/etc/who: %q", who)
	}
}

// testDpkg lets dpkg look at the image.
func testDpkg(t *testing.T, b *bakery, digest string) {
	root := b.root(t, digest)
	for _, args := range [][]string{{"--audit"}, {"--verify"}, {"--configure", "--pending", "--no-act"}} {
		out, err := exec.Command("dpkg", append([]string{"--root=" + root}, args...)...).CombinedOutput()
		if err != nil || len(out) > 0 {
			t.Errorf("dpkg %v: %v\n%s", args, err, out)
		}
	}
	out, err := exec.Command("dpkg-query", "--root="+root, "-W", "-f", "${Package} ${Version} ${db:Status-Status}\n").Output()
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, m := range regexp.MustCompile(`name: (\S+), version: "(.*?)"`).FindAllStringSubmatch(b.read(t, "recipe.lock"), -1) {
		want = append(want, m[1]+" "+m[2]+" installed")
	}
	if got := strings.Split(strings.TrimSpace(string(out)), "\n"); !slices.Equal(got, want) {
		t.Errorf("dpkg knows\n%s\nthe lock has\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// testStepAgain bakes with other files in a home that has the root for the steps from the bake before, in one
// that has not, and in one that has lost all unpacked files: what steps find, and what comes out, is the same.
func testStepAgain(t *testing.T, first *bakery) {
	files := map[string]string{"recipe.yaml": variant(t, `files: [{path: /etc/motd, content: "small\n"}]`,
		`files: [{path: /etc/motd, content: "other\n"}, {path: /etc/new/deep, content: x}, {path: /etc/cron.d, content: "a file where a directory was"}]
links: [{path: /etc/issue, to: motd}]`)}
	files["recipe.yaml"] = strings.Replace(files["recipe.yaml"], "run: [", `run: ["test $(cat /etc/issue)$(cat /etc/new/deep) = otherx && test -f /etc/cron.d && echo >> /etc/motd", `, 1)
	kept, bare, lost := copyHome(t, first, files), copyHome(t, first, files), copyHome(t, first, files)
	roots, err := filepath.Glob(filepath.Join(bare.home, "roots", "*"))
	if err != nil || len(roots) != 1 {
		t.Fatalf("roots of the bake before: %v, %v; want one", roots, err)
	}
	before, err := os.Stat(filepath.Join(kept.home, "roots", filepath.Base(roots[0])))
	if err != nil {
		t.Fatal(err)
	}
	for _, gone := range []string{roots[0], filepath.Join(lost.home, "roots"), filepath.Join(lost.home, "files")} {
		if err := os.RemoveAll(gone); err != nil {
			t.Fatal(err)
		}
	}
	var digests []string
	for _, b := range []*bakery{kept, bare, lost} {
		b.write(t, "recipe.lock", first.read(t, "recipe.lock"))
		b.must(t, "lock", "recipe.yaml")
		digests = append(digests, b.bake(t))
		after, err := os.Stat(filepath.Join(b.home, "roots", filepath.Base(roots[0])))
		if err != nil {
			t.Fatal(err)
		}
		if b == kept && !os.SameFile(before, after) {
			t.Error("the root was made anew")
		}
		if motd := b.must(t, "cat", digests[len(digests)-1], "/etc/motd"); motd != "other\n\n" {
			t.Errorf("/etc/motd: %q", motd)
		}
	}
	if digests[0] != digests[1] || digests[0] != digests[2] {
		t.Errorf("with a root from before, without, and without files: %v", digests)
	}
	again := copyHome(t, kept, map[string]string{"recipe.yaml": first.read(t, "recipe.yaml"), "recipe.lock": first.read(t, "recipe.lock")})
	if err := os.RemoveAll(filepath.Join(again.home, "notes", "bake")); err != nil {
		t.Fatal(err)
	}
	if got := again.bake(t); !strings.Contains(first.images(t), got) {
		t.Errorf("the first recipe comes to %s now, which it did not before:\n%s", got, first.images(t))
	}
}

// testWithoutScripts unpacks packages and runs nothing of them: dpkg takes them for installed.
func testWithoutScripts(t *testing.T, first *bakery) {
	b := copyHome(t, first, map[string]string{"recipe.yaml": "name: bare\nfrom: {debian: " + suite(t) + "}\npackages: [dbus]\nscripts: none\nowner: test\nexpires: 90d\n"})
	b.must(t, "lock", "recipe.yaml")
	o := b.run(t, "bake", "recipe.yaml")
	if o.code != 0 || strings.Contains(o.stderr, "warning") || strings.Contains(o.stderr, "configure") {
		t.Fatalf("exit code %d\n%s", o.code, o.stderr)
	}
	digest := digestOf(t, o.stdout)
	if passwd := b.must(t, "cat", digest, "/etc/passwd"); strings.Contains(passwd, "messagebus") {
		t.Errorf("a script made a user:\n%s", passwd)
	}
	if said := b.must(t, "inspect", digest); !regexp.MustCompile(`scripts did not run\n.*\bdbus\b`).MatchString(said) {
		t.Errorf("inspect does not say whose scripts did not run:\n%s", said)
	}
	testDpkg(t, b, digest)
}

// testTakenOut takes a package out of a base: dpkg in the image does it, and is content afterwards.
func testTakenOut(t *testing.T, first *bakery) {
	b := copyHome(t, first, map[string]string{
		"base.yaml": first.read(t, "recipe.yaml"), "base.lock": first.read(t, "recipe.lock"),
		"recipe.yaml": "name: less\nfrom: {base: base.yaml}\npackages: [-iputils-ping]\nowner: test\nexpires: 90d\n",
	})
	b.must(t, "lock", "recipe.yaml")
	digest := b.bake(t)
	files := b.must(t, "files", digest, "/", "-R")
	for _, gone := range []string{"/usr/bin/ping", "/info/iputils-ping."} {
		if strings.Contains(files, gone) {
			t.Errorf("there is %s", gone)
		}
	}
	if !strings.Contains(files, "/usr/bin/dbus-daemon\n") {
		t.Error("dbus is gone as well")
	}
	testDpkg(t, b, digest)
}

// testClock bakes an image twice, in which the programs of all packages outside of the Essential set see another
// date: a library that shifts the clock is preloaded. Only the file that says by how much may differ.
func testClock(t *testing.T, first *bakery) {
	shifted := func(rc string) (b *bakery, digest string) {
		clock := apttest.Package{
			Name: "clock", Depends: "libfaketime",
			Files: []apttest.File{{Path: "etc/ld.so.preload", Content: "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1\n"}, {Path: "etc/faketimerc", Content: rc}},
		}
		recipe := strings.Replace(strings.ReplaceAll(debianRecipe, "SUITE", suite(t)), "iputils-ping", `iputils-ping, ./clock.deb`, 1)
		recipe = strings.Replace(recipe, "run: [", fmt.Sprintf(`run: ["test $(date +%%Y) != %d", `, time.Now().Year()), 1)
		b = copyHome(t, first, map[string]string{"recipe.yaml": recipe, "clock.deb": string(apttest.Build(clock))})
		b.must(t, "lock", "recipe.yaml")
		return b, b.bake(t, "-t", "clock:1")
	}
	past, one := shifted("-4000d\n")
	future, two := shifted("+1000d\n")
	a, z := past.root(t, one), future.root(t, two)
	out, _ := exec.Command("diff", "-rq", "--no-dereference", a, z).CombinedOutput()
	var differ []string
	for line := range strings.Lines(string(out)) {
		differ = append(differ, strings.Fields(strings.TrimPrefix(line, "Files "+a))[0])
	}
	if want := []string{"/etc/faketimerc", "/var/lib/dpkg/info/clock.md5sums"}; !slices.Equal(differ, want) {
		t.Errorf("differ by the date: %s, want %v", out, want)
	}
}
