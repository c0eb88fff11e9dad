package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"brickyard/internal/bake/apt/apttest"
)

// plainRecipe takes PACKAGES from the local archive.
const plainRecipe = `name: plain
from: {debian: bookworm, mirror: "http://archive.example", keys: [archive.gpg], variant: none}
packages: [PACKAGES]
owner: test
expires: 90d
`

func plain(packages string) map[string]string {
	return map[string]string{"recipe.yaml": strings.ReplaceAll(plainRecipe, "PACKAGES", packages)}
}

// hello is an archive with one package.
func hello() *apttest.Archive {
	a := apttest.New()
	a.Add("bookworm", "main", apttest.Package{Name: "hello", Files: []apttest.File{{Path: "usr/bin/hello", Mode: 0o755, Content: strings.Repeat("hello\n", 10_000)}}})
	return a
}

// What is wrong with an archive makes lock fail, and changes nothing: no lock is written, an old one stays.
func TestBadArchive(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		archive func(a *apttest.Archive)
		server  func(s *apttest.Server)
		pkgs    string // default hello
		says    []string
	}{
		{name: "no such package, with a near name", pkgs: "helo", says: []string{`helo`, `hello`}},
		{name: "no such version", pkgs: `"hello=3.0"`, says: []string{`hello.*3\.0`, `1\.0`}},
		{name: "of another architecture", pkgs: `"hello:i386"`, says: []string{`hello:i386: only packages for \S+ are looked at`, `hint: .*arch: i386 under from`}},
		{name: "unsatisfiable: a dependency that is nowhere", pkgs: "shop", archive: func(a *apttest.Archive) {
			a.Add("bookworm", "main", apttest.Package{Name: "shop", Depends: "till (>= 2)"}, apttest.Package{Name: "till"})
		}, says: []string{`shop`, `till`, `>= 2`}},
		{name: "unsatisfiable: a conflict", pkgs: "shop, hello", archive: func(a *apttest.Archive) {
			a.Add("bookworm", "main", apttest.Package{Name: "shop", Depends: "till"}, apttest.Package{Name: "till", Conflicts: "hello"})
		}, says: []string{`shop`, `till`, `[Cc]onflicts`, `hello`}},
		{name: "an exclusion that something needs", pkgs: "shop, -till", archive: func(a *apttest.Archive) {
			a.Add("bookworm", "main", apttest.Package{Name: "shop", Depends: "till"}, apttest.Package{Name: "till"})
		}, says: []string{`shop`, `till`}},
		{name: "another key", archive: func(a *apttest.Archive) { a.Options("bookworm").Keys = []apttest.Key{apttest.OtherKey} },
			says: []string{`InRelease`, apttest.OtherKey.Fingerprint()[24:]}},
		{name: "an expired key", archive: func(a *apttest.Archive) { a.Options("bookworm").Keys = []apttest.Key{apttest.ExpiredKey} }, says: []string{`InRelease`}},
		{name: "no signature", archive: func(a *apttest.Archive) { a.Options("bookworm").Unsigned = true }, says: []string{`not signed`}},
		{name: "an expired Release", archive: func(a *apttest.Archive) {
			a.Options("bookworm").ValidUntil = time.Date(2024, 3, 1, 0, 0, 0, 0, time.UTC)
		}, says: []string{`valid until`, `hint: the clock here says`}},
		{name: "a Release of tomorrow", archive: func(a *apttest.Archive) { a.Options("bookworm").Date = time.Now().Add(24 * time.Hour) }, says: []string{`not yet`}},
		{name: "another suite", archive: func(a *apttest.Archive) { a.Options("bookworm").Suite = "trixie" }, says: []string{`trixie`}},
		{name: "tampered Packages", archive: func(a *apttest.Archive) { a.Options("bookworm").Tampered = true }, says: []string{`binary-amd64`, `sha256`}},
		{name: "an InRelease that was changed", archive: func(a *apttest.Archive) {
			a.Options("bookworm").Edit = func(files map[string][]byte) {
				const p = "dists/bookworm/InRelease"
				files[p] = bytes.Replace(files[p], []byte("Origin: Test"), []byte("Origin: Best"), 1)
			}
		}, says: []string{`InRelease`, `signature`}},
		{name: "no such suite", server: func(s *apttest.Server) { s.Fail("dists/*/*", apttest.Fault{Kind: apttest.Status, Code: 404}) }, says: []string{`Release`, `404`}},
		{name: "redirects in a loop", server: func(s *apttest.Server) { s.Fail("InRelease", apttest.Fault{Kind: apttest.Redirect}) }, says: []string{`InRelease`, `loop`}},
		{name: "an index that is cut off", server: func(s *apttest.Server) { s.Fail("*", apttest.Fault{Kind: apttest.Short, After: 10}) }, says: []string{`InRelease`}},
		{name: "answers 500", server: func(s *apttest.Server) { s.Fail("*", apttest.Fault{Kind: apttest.Status}) }, says: []string{`InRelease`, `500`, `attempts`}},
		{name: "resets", server: func(s *apttest.Server) { s.Fail("*", apttest.Fault{Kind: apttest.Reset}) }, says: []string{`InRelease`, `reset|EOF`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := hello()
			if tt.archive != nil {
				tt.archive(a)
			}
			s := a.Server(t)
			if tt.server != nil {
				tt.server(s)
			}
			pkgs := tt.pkgs
			if pkgs == "" {
				pkgs = "hello"
			}
			b := newBakery(t, s, plain(pkgs))
			o := b.refuse(t, 1, append(tt.says, `(?m)^brickyard: `), "lock", "recipe.yaml")
			if strings.Contains(o.stderr, b.home) {
				t.Errorf("the message speaks of the home:\n%s", o.stderr)
			}
		})
	}
}

// Nobody waits for an archive that says nothing more than Ctrl-C takes.
func TestArchiveHangs(t *testing.T) {
	s := hello().Server(t)
	b := newBakery(t, s, plain("hello"))
	b.must(t, "lock", "recipe.yaml")
	s.Fail("*.deb", apttest.Fault{Kind: apttest.Hang, After: 1000})
	b.interrupt(t, func() bool { return s.Requests("*.deb") > 0 }, syscall.SIGINT, "bake", "recipe.yaml", "-t", "plain:1")
	// The next one goes on where that stopped.
	s.Heal()
	b.bake(t)
	if log := strings.Join(s.Log(), "\n"); !strings.Contains(log, "hello_1.0_all.deb bytes=") {
		t.Errorf("the download began anew:\n%s", log)
	}
}

// interrupt runs the program, sends it the signal once ready says so, and checks that it leaves at once, says so,
// and changes nothing.
func (b *bakery) interrupt(t *testing.T, ready func() bool, sig syscall.Signal, args ...string) {
	t.Helper()
	images := b.images(t)
	cmd := b.command(t.Context(), args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	await(t, func() bool { return ready() || len(ended) > 0 })
	if err := cmd.Process.Signal(sig); err != nil {
		t.Errorf("%v before the signal: %s", err, &stderr)
	}
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		cmd.Process.Kill()
		<-ended
		t.Errorf("still running long after the signal:\n%s", &stderr)
	}
	if code := cmd.ProcessState.ExitCode(); code != 130 {
		t.Errorf("exit code %d, want 130: %s", code, &stderr)
	}
	if !strings.Contains(stderr.String(), "brickyard: interrupted") {
		t.Errorf("stderr %q, want that it was interrupted", &stderr)
	}
	if got := b.images(t); got != images {
		t.Errorf("the catalogue has %s, and had %s", got, images)
	}
	b.tidy(t)
	await(t, func() bool { return len(processes(t)) == 0 })
}

// await waits until done says so.
func await(t *testing.T, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it did not come to that within two minutes")
		}
	}
}

// What comes in place of a locked package is not used, whatever it is.
func TestBadDownload(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		fault apttest.Fault
		says  []string
	}{
		{"one byte is another", apttest.Fault{Kind: apttest.WrongBytes, After: 5000}, []string{`hello 1\.0: .*hello_1\.0_all\.deb`, `sha256`}},
		{"it is too short", apttest.Fault{Kind: apttest.Short, After: 5000}, []string{`hello`, `bytes|size`}},
		{"it is gone", apttest.Fault{Kind: apttest.Status, Code: 404}, []string{`hello`, `404`}},
		{"it redirects in a loop", apttest.Fault{Kind: apttest.Redirect}, []string{`hello`, `loop`}},
		{"it is cut off every time", apttest.Fault{Kind: apttest.Truncate, After: 5000}, []string{`hello`, `EOF`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := hello().Server(t)
			b := newBakery(t, s, plain("hello"))
			b.must(t, "lock", "recipe.yaml")
			s.Fail("*.deb", tt.fault)
			b.refuse(t, 1, append(tt.says, `(?m)^brickyard: `), "bake", "recipe.yaml", "-t", "plain:1")
			s.Heal()
			b.bake(t)
		})
	}
}

// A package that is signed for, and hostile all the same, is refused whole.
func TestHostileDeb(t *testing.T) {
	pkg := func(files ...apttest.File) apttest.Package {
		return apttest.Package{Name: "evil", Version: "1", Files: files}
	}
	raw := func(members ...apttest.Member) apttest.Package {
		p := pkg()
		p.Deb = apttest.Ar(members...)
		return p
	}
	good := apttest.Build(pkg(apttest.File{Path: "usr/x", Content: "x"}))
	control := apttest.Compress("none", apttest.Tar(apttest.File{Path: "control", Content: apttest.Control(pkg())}))
	data := func(b []byte) apttest.Package {
		return raw(apttest.Member{Name: "debian-binary", Data: []byte("2.0\n")}, apttest.Member{Name: "control.tar", Data: control}, apttest.Member{Name: "data.tar", Data: b})
	}
	for _, tt := range []struct {
		name string
		pkg  apttest.Package
		says string
	}{
		{"a path that leaves the root", pkg(apttest.File{Raw: "../../etc/passwd", Content: "x"}), `passwd`},
		{"a path that leaves it on the way", pkg(apttest.File{Raw: "./usr/../../x", Content: "x"}), `usr`},
		{"a hard link out of it", pkg(apttest.File{Path: "x", Raw: "./x", Type: apttest.HardLink, Link: "../../../etc/shadow"}), `x`},
		{"a hard link to nothing", pkg(apttest.File{Path: "x", Type: apttest.HardLink, Link: "/etc/shadow"}), `x`},
		{"a file through its own link", pkg(apttest.File{Path: "usr/out", Link: "/etc"}, apttest.File{Raw: "./usr/out/passwd", Content: "x"}), `usr/out`},
		{"a disk", pkg(apttest.File{Path: "dev/sda", Type: apttest.Block, Major: 8}), `dev/sda`},
		{"a memory device", pkg(apttest.File{Path: "usr/mem", Type: apttest.Char, Major: 1, Minor: 1}), `usr/mem`},
		{"a size of 8 EiB", data(append(apttest.RawHeader("./big", apttest.Regular, "\x80\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff", ""), make([]byte, 1024)...)), `big`},
		{"a size of 8 GiB and no bytes", data(append(apttest.RawHeader("./big", apttest.Regular, "77777777777", ""), make([]byte, 1024)...)), `big`},
		{"cut off", apttest.Package{Name: "evil", Version: "1", Deb: good[:len(good)-700]}, `truncated`},
		{"of one byte", apttest.Package{Name: "evil", Version: "1", Deb: []byte{'!'}}, `1 bytes long`},
		{"no ar archive", apttest.Package{Name: "evil", Version: "1", Deb: bytes.Repeat([]byte("hello "), 1000)}, `not an ar archive`},
		{"another package", apttest.Package{Name: "evil", Version: "1", Deb: apttest.Build(apttest.Package{Name: "good"})}, `evil`},
		{"another version", apttest.Package{Name: "evil", Version: "1", Deb: apttest.Build(apttest.Package{Name: "evil", Version: "2"})}, `Version`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := apttest.New()
			a.Add("bookworm", "main", tt.pkg)
			b := newBakery(t, a.Server(t), plain("evil"))
			b.must(t, "lock", "recipe.yaml")
			b.refuse(t, 1, []string{`(?m)^brickyard: package evil 1: .*` + tt.says}, "bake", "recipe.yaml", "-t", "plain:1")
			for _, p := range []string{"etc", "x", "passwd"} {
				if _, err := os.Lstat(filepath.Join(b.home, p)); err == nil {
					t.Errorf("there is %s in the home", p)
				}
			}
		})
	}
}

// Two packages with one file are refused as dpkg refuses them.
func TestFileInTwoPackages(t *testing.T) {
	a := apttest.New()
	a.Add("bookworm", "main", apttest.Package{Name: "one", Files: []apttest.File{{Path: "bin/x", Content: "1"}}},
		apttest.Package{Name: "two", Files: []apttest.File{{Path: "usr/bin/x", Content: "2"}}})
	b := newBakery(t, a.Server(t), plain("one, two"))
	b.must(t, "lock", "recipe.yaml")
	b.refuse(t, 1, []string{`package two: /usr/bin/x is also in package one`}, "bake", "recipe.yaml")
}

// A recipe that can't be read is refused with the place of each mistake.
func TestBadRecipe(t *testing.T) {
	for _, tt := range []struct {
		name, recipe string
		says         []string
	}{
		{"not YAML", "name: [", []string{`recipe\.yaml:1`}},
		{"unknown key", plainRecipe + "packges: [x]\n", []string{`recipe\.yaml:6:1: .*packges`, `packages`}},
		{"two mistakes", plainRecipe + "ports: {http: 99999}\nworkdir: srv\n", []string{`recipe\.yaml:6:`, `recipe\.yaml:7:`}},
		{"an alias", "name: &a x\nowner: *a\n", []string{`alias`}},
		{"a parameter that is not declared", plainRecipe + "workdir: ${dir}\n", []string{`recipe\.yaml:6:.*dir`}},
		{"huge", "name: x\n#" + strings.Repeat("x", 20<<20), []string{`larger than`}},
		{"deep", strings.Repeat("{a: ", 100_000), []string{`recipe\.yaml:1`}},
		{"empty", "", []string{`recipe\.yaml`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBakery(t, nil, map[string]string{"recipe.yaml": tt.recipe})
			b.refuse(t, 1, append(tt.says, "(?m)^brickyard: "), "lock", "recipe.yaml")
			b.refuse(t, 1, append(tt.says, "(?m)^brickyard: "), "bake", "recipe.yaml")
		})
	}
}

// A lock is refused when it is not there, was edited, or fits another recipe.
func TestBadLock(t *testing.T) {
	b := newBakery(t, hello().Server(t), plain("hello"))
	b.refuse(t, 1, []string{`recipe\.yaml: no recipe\.lock`, `hint: brickyard lock recipe\.yaml`}, "bake", "recipe.yaml")
	b.must(t, "lock", "recipe.yaml")
	lock := b.read(t, "recipe.lock")
	for _, tt := range []struct{ name, old, new, says string }{
		{"another digest", "sha256: \"", "sha256: \"0", `recipe\.lock:\d+:\d+: `},
		{"a path that leaves the archive", "path: pool/", "path: ../../pool/", `leaves|not a clean path`},
		{"cut off", lock[100:], "", `recipe\.lock`},
		{"a later format", "lock: 1\n", "lock: 2\n", `format 2`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b.write(t, "recipe.lock", strings.Replace(lock, tt.old, tt.new, 1))
			b.refuse(t, 1, []string{tt.says}, "bake", "recipe.yaml")
		})
	}
	b.write(t, "recipe.lock", lock)
	b.write(t, "recipe.yaml", b.read(t, "recipe.yaml")+"recommends: true\n")
	b.refuse(t, 1, []string{`the lock of recipe\.yaml does not fit it`, `hint: brickyard lock recipe\.yaml`}, "bake", "recipe.yaml")
}

// A full disk is said, leaves nothing behind, and is no harm once there is room.
func TestDiskFull(t *testing.T) {
	s := testArchive().Server(t)
	b := newBakery(t, s, pinnedFiles())
	b.must(t, "lock", "recipe.yaml")
	small := t.TempDir()
	b.home = filepath.Join(small, "home")
	mount := func(size int, flags string) {
		t.Helper()
		if out, err := exec.Command("mount", "-t", "tmpfs", "-o", fmt.Sprintf("%ssize=%dk", flags, size), "brickyard-test", small).CombinedOutput(); err != nil {
			t.Fatalf("mount: %v: %s", err, out)
		}
	}
	mount(1000, "")
	t.Cleanup(func() {
		if err := syscall.Unmount(small, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	for size := 1000; size < 3000; size += 400 { // in the middle of this and that
		mount(size, "remount,")
		b.refuse(t, 1, []string{`no space left on device`, `(?m)^hint: make room where \S*/home is, `}, "bake", "recipe.yaml", "-t", "shop:1")
	}
	mount(100_000, "remount,")
	if got := b.bake(t); got != pinnedImage {
		t.Errorf("image %s, want %s", got, pinnedImage)
	}
	b.must(t, "verify", pinnedImage)
}

// Who is no root and may not make user namespaces is told what is missing.
func TestNoUserNamespace(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil string // shell, before the user is one
		says  []string
	}{
		{"no ids", "mount --bind /dev/null /etc/subuid; ", []string{`not root, and /etc/subuid gives mason no 65535 ids`, `hint: .*usermod --add-subuids`}},
		{"no newuidmap", "mount --bind /dev/null $(command -v newuidmap); ", []string{`newuidmap is not installed`, `hint: .*apt-get install uidmap`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBakery(t, hello().Server(t), plain("hello"))
			b.must(t, "lock", "recipe.yaml")
			asUser(t, b)
			script := &b.wrap[len(b.wrap)-2]
			*script = strings.Replace(*script, "exec ", tt.spoil+"exec ", 1)
			b.refuse(t, 1, tt.says, "bake", "recipe.yaml")
		})
	}
}
