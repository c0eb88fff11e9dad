package deb

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"brickyard/internal/bake/apt/apttest"
)

// buildWithDpkg makes a package of everything that a file system and a .deb can have, with the real dpkg-deb.
func buildWithDpkg(t *testing.T, compression string) string {
	t.Helper()
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	write := func(name, content string, mode os.FileMode) {
		t.Helper()
		must(os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		must(os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644))
		must(os.Chmod(filepath.Join(dir, name), mode))
	}
	long := strings.Repeat("long-name/", 20)
	write("DEBIAN/control", "Package: x\nVersion: 1:2.0-3\nArchitecture: all\nMaintainer: Nobody <n@archive.example>\nDescription: short\n long\n .\n longer\n", 0o644)
	write("DEBIAN/conffiles", "/etc/x.conf\nremove-on-upgrade /etc/old.conf\n", 0o644)
	write("DEBIAN/postinst", "#!/bin/sh\nset -e\n", 0o755)
	write("etc/x.conf", "a=b\n", 0o640)
	write("usr/bin/x", strings.Repeat("content ", 100_000), 0o755|os.ModeSetuid)
	write("usr/bin/y", "", 0o755|os.ModeSetgid)
	write("usr/share/"+long+"file", "deep", 0o444)
	write("usr/share/caf\u00e9 and space", "name", 0o600)
	write(`usr/share/a\x2db`, "name", 0o600)
	must(os.Link(filepath.Join(dir, "usr/bin/x"), filepath.Join(dir, "usr/bin/z")))
	must(os.Symlink("../bin/x", filepath.Join(dir, "usr/share/link")))
	must(os.Symlink("/"+long+"target", filepath.Join(dir, "usr/share/far")))
	must(os.MkdirAll(filepath.Join(dir, "var/tmp/x"), 0o755))
	must(os.Chmod(filepath.Join(dir, "var/tmp/x"), 0o777|os.ModeSticky))
	must(syscall.Mkfifo(filepath.Join(dir, "var/fifo"), 0o644))
	deb := filepath.Join(t.TempDir(), "x.deb")
	cmd := exec.Command("dpkg-deb", "--root-owner-group", "-Z"+compression, "-b", dir, deb)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("dpkg-deb -b: %v\n%s", err, out)
	}
	return deb
}

func TestLikeDpkg(t *testing.T) {
	for _, compression := range []string{"gzip", "xz", "zstd", "none"} {
		t.Run(compression, func(t *testing.T) { checkLikeDpkg(t, buildWithDpkg(t, compression)) })
	}
	t.Run("bzip2", func(t *testing.T) {
		// Neither dpkg-deb nor Go makes bzip2 any more: data.tar.bz2 is `bzip2 -9` of a small archive.
		data, err := os.ReadFile("testdata/data.tar.bz2")
		if err != nil {
			t.Fatal(err)
		}
		checkLikeDpkg(t, writeFile(t, apttest.Ar(
			apttest.Member{Name: "debian-binary", Data: []byte("2.0\n")},
			apttest.Member{Name: "control.tar", Data: apttest.Tar(apttest.File{Path: "control", Content: apttest.Control(apttest.Package{Name: "x"})})},
			apttest.Member{Name: "data.tar.bz2", Data: data})))
	})
	for _, name := range realPackages(t) {
		t.Run(filepath.Base(name), func(t *testing.T) { checkLikeDpkg(t, name) })
	}
}

func writeFile(t *testing.T, data []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "x.deb")
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// dpkgDeb returns what dpkg-deb prints.
func dpkgDeb(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("dpkg-deb", args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "TZ=UTC")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("dpkg-deb %s: %v", args, err)
	}
	return string(out)
}

func checkLikeDpkg(t *testing.T, name string) {
	t.Helper()
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Open(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Fatal(err)
	}
	checkControl(t, p, name)
	if got, want := listing(t, p), dpkgDeb(t, "-c", name); got != want {
		t.Errorf("entries:\n%s", firstDifference(got, want))
	}
	s, err := p.open(context.Background(), p.data, 1<<40)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	got, err := io.ReadAll(s)
	if want := dpkgDeb(t, "--fsys-tarfile", name); err != nil || string(got) != want {
		t.Errorf("uncompressed data: %d bytes, %v; dpkg-deb --fsys-tarfile has %d, or others", len(got), err, len(want))
	}
}

func checkControl(t *testing.T, p *Package, name string) {
	t.Helper()
	c, err := p.Control()
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{"Package", "version", "ARCHITECTURE", "Depends", "Description", "Nothing"} {
		// Spaces at the end of a line mean nothing (Policy 5.1); dpkg-deb prints them.
		want := strings.TrimSuffix(strings.ReplaceAll(dpkgDeb(t, "-f", name, field), " \n", "\n"), "\n")
		if got := c.Field(field); got != want {
			t.Errorf("field %s:\n got %q\nwant %q", field, got, want)
		}
	}
	dir := t.TempDir()
	dpkgDeb(t, "-e", name, dir)
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != len(c.Files) {
		t.Errorf("%d files in control.tar, dpkg-deb -e has %d (%v)", len(c.Files), len(files), err)
	}
	for _, f := range files {
		want, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		fi, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		got := c.Files[f.Name()]
		if !bytes.Equal(got.Data, want) || got.Mode != uint32(fi.Mode().Perm()) {
			t.Errorf("control file %s: mode %o, %q; want %o, %q", f.Name(), got.Mode, got.Data, fi.Mode().Perm(), want)
		}
	}
}

// listing prints the entries as "dpkg-deb -c" does, which is as tar does.
func listing(t *testing.T, p *Package) string {
	t.Helper()
	d, err := p.Data(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var b strings.Builder
	modes := map[string]uint32{}
	for {
		e, err := d.Next()
		if err == io.EOF {
			return b.String()
		}
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, d); err != nil || n != e.Size {
			t.Errorf("%s: read %d bytes, %v; want %d", e.Path, n, err, e.Size)
		}
		modes[e.Path] = e.Mode
		if e.Type == HardLink && modes[e.Link] != e.Mode {
			t.Errorf("%s has mode %o, its first name %s has %o", e.Path, e.Mode, e.Link, modes[e.Link])
		}
		b.WriteString(listLine(e))
	}
}

func listLine(e *Entry) string {
	name := "./" + strings.TrimPrefix(e.Path, ".")
	size, typ := fmt.Sprint(e.Size), string(e.Type)
	switch e.Type {
	case Regular:
		typ = "-"
	case Dir:
		name = strings.TrimSuffix(name, "/") + "/"
	case Symlink:
		name += " -> " + e.Link
	case HardLink:
		name += " link to ./" + e.Link
	case Char, Block:
		size = fmt.Sprintf("%d,%d", e.Major, e.Minor)
	}
	name = strings.ReplaceAll(name, `\`, `\\`) // as tar prints it
	owner := cmp.Or(e.User, fmt.Sprint(e.UID)) + "/" + cmp.Or(e.Group, fmt.Sprint(e.GID))
	pad := max(19-len(owner), len(size)+1) // tar widens its columns as it goes; wide enough for these
	return fmt.Sprintf("%s%s %s%*s %s %s\n", typ, permissions(e.Mode), owner, pad, size, time.Unix(e.MTime, 0).UTC().Format("2006-01-02 15:04"), name)
}

func permissions(mode uint32) string {
	b := []byte("rwxrwxrwx")
	for i := range b {
		if mode&(1<<(8-i)) == 0 {
			b[i] = '-'
		}
	}
	for _, s := range []struct {
		bit     uint32
		at      int
		on, off byte
	}{{0o4000, 2, 's', 'S'}, {0o2000, 5, 's', 'S'}, {0o1000, 8, 't', 'T'}} {
		if mode&s.bit == 0 {
			continue
		}
		if b[s.at] == 'x' {
			b[s.at] = s.on
		} else {
			b[s.at] = s.off
		}
	}
	return string(b)
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range slices.Min([]int{len(g), len(w)}) {
		if g[i] != w[i] {
			return fmt.Sprintf("line %d:\n got %q\nwant %q", i+1, g[i], w[i])
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(g), len(w))
}
