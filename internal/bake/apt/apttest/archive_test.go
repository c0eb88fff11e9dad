package apttest

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// digest is of names and contents, in the order of the names.
func digest(files map[string][]byte) string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(h, "%s %d\n%s", name, len(files[name]), files[name])
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

func TestPaths(t *testing.T) {
	a := New()
	a.Add("sid", "main", Package{Name: "libx1", Version: "1:2-3", Arch: "arm64", Source: "libx (2)"})
	a.Add("sid", "contrib", Package{Name: "y"})
	a.Add("sid-updates", "main", Package{Name: "y"})
	a.Add("flat/", "", Package{Name: "z"})
	a.Options("sid").NoByHash = true
	a.Options("sid-updates").Unsigned = true
	a.Options("flat/").NoByHash = true
	a.Options("flat/").Detached = true
	files, err := a.Files()
	if err != nil {
		t.Fatal(err)
	}
	got := slices.DeleteFunc(slices.Sorted(maps.Keys(files)), func(p string) bool { return strings.Contains(p, "by-hash") })
	want := strings.Fields(`
dists/sid-updates/Release
dists/sid-updates/main/binary-amd64/Packages
dists/sid-updates/main/binary-amd64/Packages.gz
dists/sid-updates/main/binary-amd64/Packages.xz
dists/sid/InRelease
dists/sid/Release
dists/sid/Release.gpg
dists/sid/contrib/binary-arm64/Packages
dists/sid/contrib/binary-arm64/Packages.gz
dists/sid/contrib/binary-arm64/Packages.xz
dists/sid/main/binary-arm64/Packages
dists/sid/main/binary-arm64/Packages.gz
dists/sid/main/binary-arm64/Packages.xz
flat/Packages
flat/Packages.gz
flat/Packages.xz
flat/Release
flat/Release.gpg
flat/z_1.0_all.deb
pool/contrib/y/y/y_1.0_all.deb
pool/main/libx/libx/libx1_2-3_arm64.deb
pool/main/y/y/y_1.0_all.deb`)
	if !slices.Equal(got, want) {
		t.Errorf("files:\n got %q\nwant %q", got, want)
	}
}

func TestRelease(t *testing.T) {
	a := New()
	a.Add("sid", "main", Package{Name: "x"})
	*a.Options("sid") = Options{
		Suite: "unstable", Codename: "sid", Origin: "O", Label: "L", Version: "13", NotAutomatic: true, ButAutomaticUpgrades: true,
		Fields: map[string]string{"Label": "other", "Acquire-By-Hash": "", "Changelogs": "no"},
	}
	files, err := a.Files()
	if err != nil {
		t.Fatal(err)
	}
	got, _, _ := strings.Cut(string(files["dists/sid/Release"]), "SHA256:")
	want := `Origin: O
Label: other
Suite: unstable
Version: 13
Codename: sid
Date: Mon, 01 Jan 2024 00:00:00 UTC
Architectures: amd64
Components: main
Description: Test archive
NotAutomatic: yes
ButAutomaticUpgrades: yes
Changelogs: no
`
	if got != want {
		t.Errorf("Release:\n got %s\nwant %s", got, want)
	}
}

func TestSameFileTwice(t *testing.T) {
	a := New()
	a.Add("stable", "main", Package{Name: "x", Section: "one"})
	a.Add("testing", "main", Package{Name: "x", Section: "one"})
	if _, err := a.Files(); err != nil {
		t.Errorf("the same package in two suites: %v", err)
	}
	a.Add("sid", "main", Package{Name: "x", Section: "other"})
	if _, err := a.Files(); err == nil {
		t.Error("another package with the same file name: no error")
	}
}

func TestIndexLies(t *testing.T) {
	a := New()
	a.Add("stable", "main", Package{Name: "x", Index: map[string]string{"Size": "5", "Phased-Update-Percentage": "10"}})
	files, err := a.Files()
	if err != nil {
		t.Fatal(err)
	}
	text := string(files["dists/stable/main/binary-amd64/Packages"])
	for _, want := range []string{"\nSize: 5\n", "\nPhased-Update-Percentage: 10\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("Packages has no %q:\n%s", want, text)
		}
	}
}

func TestWriteArchive(t *testing.T) {
	dir := t.TempDir()
	if err := WriteArchive(dir, Options{Component: "extra"}, Package{Name: "x"}); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"dists/stable/InRelease", "dists/stable/extra/binary-amd64/Packages.xz", "pool/extra/x/x/x_1.0_all.deb"} {
		if _, err := os.Stat(filepath.Join(dir, p)); err != nil {
			t.Error(err)
		}
	}
	file := filepath.Join(dir, "dists/stable/InRelease")
	if err := WriteArchive(file, Options{}, Package{Name: "x"}); err == nil {
		t.Error("written below a file: no error")
	}
}
