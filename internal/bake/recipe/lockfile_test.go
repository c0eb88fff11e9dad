package recipe

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var digits = strings.Repeat("0123456789abcdef", 4)

func testLock() *Lock {
	epoch := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	return &Lock{
		Version: 1, Request: "sha256:" + digits, Arch: "amd64", Epoch: epoch,
		Base:   &LockedBase{Name: "web:1.0", Digest: "sha256:" + digits},
		Rootfs: digits,
		Sources: []LockedFrom{{
			ID: "debian/bookworm", Origin: "Debian", Suite: "bookworm", Components: []string{"main"},
			Date: epoch, SHA256: digits, SignedBy: []string{strings.Repeat("A1", 20)},
		}},
		Packages: []LockedDeb{
			{Name: "adduser", Version: "3.134", Arch: "all", Size: 105364, SHA256: digits, Source: "adduser",
				From: "debian/bookworm", Path: "pool/main/a/adduser/adduser_3.134_all.deb", Essential: true},
			{Name: "local", Version: "1:1.0-1", Arch: "amd64", Size: 1, SHA256: digits, Source: "local-src",
				SourceVersion: "1.0", From: "file", Path: "./local.deb", Asked: true},
		},
		URLs: []LockedURL{{URL: "https://archive.example/a b?c={d}", Size: 0, SHA256: digits}},
	}
}

func TestLockRoundTrip(t *testing.T) {
	want := testLock()
	text := want.Encode()
	got, err := ParseLock(text, "recipe.lock")
	if err != nil {
		t.Fatalf("%v\nin\n%s", err, text)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("encoded and parsed (-want +got):\n%s\nin\n%s", diff, text)
	}
	if again := string(got.Encode()); again != string(text) {
		t.Errorf("encoded twice:\n%s", cmp.Diff(string(text), again))
	}
}

func TestLockIsSortedOneLineEach(t *testing.T) {
	l := testLock()
	l.Packages[0], l.Packages[1] = l.Packages[1], l.Packages[0]
	text := string(l.Encode())
	if !strings.HasPrefix(text, "# Made by brickyard lock. Do not edit: change the recipe and lock again.\nlock: 1\n") {
		t.Errorf("head of the lock:\n%s", text)
	}
	if text != string(testLock().Encode()) {
		t.Error("the order of the packages shows")
	}
	want := `  - {name: adduser, version: "3.134", arch: all, size: 105364, sha256: "` + digits +
		`", source: adduser, from: debian/bookworm, path: pool/main/a/adduser/adduser_3.134_all.deb, essential: true}` + "\n"
	if !strings.Contains(text, want) {
		t.Errorf("no line\n%s in\n%s", want, text)
	}
}

func TestLockProblems(t *testing.T) {
	good := string(testLock().Encode())
	deb := func(old, new string) string { return strings.Replace(good, old, new, 1) }
	adduser := good[strings.Index(good, "  - {name: adduser"):strings.Index(good, "  - {name: local")]
	for _, tt := range []struct{ name, text, want string }{
		{"empty", "", "the file is empty"},
		{"format", deb("lock: 1", "lock: 2"), "a lock of format 2, want 1 (lock again with this version of brickyard)"},
		{"unknown key", deb("arch: amd64\n", "arch: amd64\nextra: 1\n"), `unknown key "extra"`},
		{"request", deb("request: sha256:0", "request: sha256:"), "request: "},
		{"digest", deb("digest: sha256:0", "digest: sha512:0"), "base.digest: "},
		{"sha256", deb(`sha256: "0`, `sha256: "G`), "sources[0].sha256: "},
		{"upper case", strings.ReplaceAll(good, "abcdef", "ABCDEF"), "rootfs: "},
		{"size", deb("size: 105364", "size: 0"), "packages[0].size: a size of 0 bytes (lock again)"},
		{"negative size", deb("size: 105364", "size: -1"), "packages[0].size: a size of -1 bytes"},
		{"absurd size", deb("size: 105364", "size: 17179869184"), "packages[0].size: a size of 17179869184 bytes"},
		{"size with an exponent", deb("size: 105364", "size: 1e5"), "packages[0].size: 1e5 is not a plain decimal number"},
		{"path that leaves", deb("path: pool/main", "path: ../pool"), `packages[0].path: "../pool/a/adduser/adduser_3.134_all.deb" is not a clean path below the archive`},
		{"absolute path", deb("path: pool", "path: /pool"), "packages[0].path: "},
		{"not a package", deb("_all.deb", "_all.rpm"), "packages[0].path: "},
		{"no source", deb("from: debian/bookworm", "from: debian/trixie"), `packages[0].from: no source "debian/trixie"`},
		{"package twice", deb(adduser, adduser+adduser), "packages[1]: adduser:all is there twice"},
		{"one package less is fine", deb(adduser, ""), ""},
		{"order", deb("name: adduser", "name: zzz"), "packages[1]: local stands after zzz"},
		{"signed by nobody", deb("signed_by: [A1A1A1A1A1A1A1A1A1A1A1A1A1A1A1A1A1A1A1A1]", "signed_by: []"), "sources[0].signed_by: signed by nobody"},
		{"suite that leaves", deb("suite: bookworm", "suite: ../bookworm"), `sources[0].suite: "../bookworm" leaves the archive`},
		{"time", deb("epoch: \"2026", "epoch: \"1926"), `epoch: "1926-01-31T12:00:00Z" is not a time`},
		{"URL", deb("https://archive", "file://archive"), "urls[0].url: "},
		{"missing key", deb(" source: adduser,", ""), `packages[0] needs "source"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseLock([]byte(tt.text), "recipe.lock")
			got := problemLines(t, err)
			if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
				t.Errorf("got\n%swant %s", got, tt.want)
			}
		})
	}
}

func TestReadLock(t *testing.T) {
	dir := t.TempDir()
	if _, err := ReadLock(dir + "/recipe.lock"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no lock: got %v, want ErrNotExist", err)
	}
	path := write(t, dir, "recipe.lock", string(testLock().Encode()))
	l, err := ReadLock(path)
	if err != nil || len(l.Packages) != 2 {
		t.Errorf("got %v, %v", l, err)
	}
}

func TestDiffLocks(t *testing.T) {
	lock := func(debs ...string) *Lock {
		l := testLock()
		l.Packages = nil
		for _, d := range debs {
			f := strings.Fields(d)
			l.Packages = append(l.Packages, LockedDeb{Name: f[0], Version: f[1], Arch: f[2], SHA256: f[3]})
		}
		return l
	}
	old := lock("openssl 3.0.11-1 amd64 a", "gone 1 all a", "back 2 all a", "same 1 all a", "built 1 all a", "multi 1 amd64 a", "toall 1 amd64 a")
	new := lock("openssl 3.0.13-1 amd64 b", "new 1 all a", "back 1 all b", "same 1 all a", "built 1 all b", "multi 2 amd64 b", "multi 2 i386 c", "toall 2 all b")
	new.Base.Digest = "sha256:" + strings.Repeat("f", 64)
	new.URLs = nil
	var got []string
	for _, c := range DiffLocks(old, new, strings.Compare) {
		got = append(got, c.Kind+": "+c.String())
	}
	want := []string{
		"downgraded: back 2 → 1 (older)", "changed: built 1 a → 1 b", "removed: gone removed, was 1",
		"upgraded: multi:amd64 1 → 2", "added: multi:i386 added, 2", "added: new added, 1",
		"upgraded: openssl 3.0.11-1 → 3.0.13-1", "upgraded: toall 1 → 2",
		"changed: base web:1.0 0123456789ab → ffffffffffff", "removed: https://archive.example/a b?c={d} removed, was 0123456789ab",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	if got := DiffLocks(nil, lock("a 1 all x"), strings.Compare); len(got) != 4 {
		t.Errorf("from nothing: got %v", got)
	}
	if got := DiffLocks(old, old, strings.Compare); got != nil {
		t.Errorf("nothing changed: got %v", got)
	}
}
