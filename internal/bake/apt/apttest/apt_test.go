package apttest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// newApt is the real apt-get with one source and its key.
func newApt(t *testing.T, source string, keyring []byte) *Apt {
	t.Helper()
	return NewApt(t, "amd64", map[string]string{
		"usr/share/keyrings/key.gpg": string(keyring),
		"etc/apt/sources.list":       "deb [signed-by=/usr/share/keyrings/key.gpg] " + source + "\n",
	})
}

func demo(dir string) *Archive {
	a := New()
	a.Add(dir, "main",
		Package{Name: "libhello1", Version: "1:2.0-1", Arch: "amd64", Source: "hello (2.0-1)", MultiArch: "same",
			Files: []File{{Path: "usr/lib/libhello.so.1.0", Content: "library"}, {Path: "usr/lib/libhello.so.1", Link: "libhello.so.1.0"}}},
		Package{Name: "hello", Version: "2.0-1", Arch: "amd64", Depends: "libhello1 (>= 1:2.0), hello-data", Conffiles: []string{"/etc/hello.conf"},
			Files: []File{
				{Path: "usr/bin/hello", Mode: 0o4755, Content: "#!/bin/sh\necho hello\n"},
				{Path: "usr/bin/hi", Type: HardLink, Link: "usr/bin/hello"},
				{Path: "etc/hello.conf", Content: "greeting=hello\n"},
				{Path: "var/lib/hello/", Mode: 0o1777, UID: 33, GID: 33},
			},
			Scripts: map[string]string{"postinst": "#!/bin/sh\nset -e\n"}},
		Package{Name: "hello-data", Version: "2.0-1", Compression: "gzip", Source: "hello",
			Files: []File{{Path: "usr/share/hello/" + strings.Repeat("long/", 30) + "data", Content: strings.Repeat("data", 50_000)}}},
	)
	return a
}

func TestAptAccepts(t *testing.T) {
	flat := demo("flat/")
	subkey := demo("stable")
	subkey.Options("stable").Keys = []Key{SubKey}
	both := demo("stable")
	both.Options("stable").Keys = []Key{OtherKey, TestKey}
	detached := demo("stable")
	detached.Options("stable").Detached = true
	valid := demo("stable")
	valid.Options("stable").ValidUntil = time.Date(2999, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name    string
		archive *Archive
		source  string
		key     []byte
	}{
		{"suite and component", demo("stable"), "stable main", Keyring()},
		{"armored key", demo("stable"), "stable main", ArmoredKeyring()},
		{"flat", flat, "flat/", Keyring()},
		{"signed by a subkey", subkey, "stable main", SubKey.Public()},
		{"signed by two keys of which one is known", both, "stable main", Keyring()},
		{"Release and Release.gpg", detached, "stable main", Keyring()},
		{"valid for long", valid, "stable main", Keyring()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := tt.archive.Server(t)
			a := newApt(t, srv.URL+" "+tt.source, tt.key)
			if strings.HasPrefix(string(tt.key), "-----") {
				a.Write(t, "usr/share/keyrings/key.asc", string(tt.key))
				a.Write(t, "etc/apt/sources.list", fmt.Sprintf("deb [signed-by=/usr/share/keyrings/key.asc] %s %s\n", srv.URL, tt.source))
			}
			if out, err := a.Run("update", "-q"); err != nil || strings.Contains(out, "W:") {
				t.Fatalf("apt-get update: %v\n%s", err, out)
			}
			out, err := a.Run("-s", "-q", "install", "hello")
			if err != nil {
				t.Fatalf("apt-get install: %v\n%s", err, out)
			}
			for _, want := range []string{"Inst hello (2.0-1 ", "Inst libhello1 (1:2.0-1 ", "Inst hello-data (2.0-1 "} {
				if !strings.Contains(out, want) {
					t.Errorf("apt-get install says nothing of %q:\n%s", want, out)
				}
			}
			if out, err := a.Run("-q", "-d", "-y", "install", "hello"); err != nil {
				t.Errorf("apt-get -d install: %v\n%s", err, out)
			}
		})
	}
}

func TestAptRefuses(t *testing.T) {
	for _, tt := range []struct {
		name string
		opt  Options
		says string
	}{
		{"wrong key", Options{Keys: []Key{OtherKey}}, "NO_PUBKEY"},
		{"expired key", Options{Keys: []Key{ExpiredKey}}, "EXPKEYSIG"},
		{"unsigned", Options{Unsigned: true}, "is not signed"},
		{"no longer valid", Options{ValidUntil: time.Unix(Epoch+1, 0)}, "is expired"},
		{"from the future", Options{Date: time.Date(2999, 1, 1, 0, 0, 0, 0, time.UTC)}, "is not valid yet"},
		{"tampered Packages", Options{Tampered: true}, "Hash Sum mismatch"},
		{"edited after signing", Options{Edit: func(files map[string][]byte) {
			p := "dists/stable/InRelease"
			files[p] = []byte(strings.Replace(string(files[p]), "Label: Test", "Label: Best", 1))
		}}, "BADSIG"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			archive := demo("stable")
			*archive.Options("stable") = tt.opt
			dir := t.TempDir()
			if err := archive.Write(dir); err != nil {
				t.Fatal(err)
			}
			a := newApt(t, "file://"+dir+" stable main", append(Keyring(), ExpiredKey.Public()...))
			out, err := a.Run("update", "-q")
			if err == nil || !strings.Contains(out, tt.says) {
				t.Errorf("apt-get update: %v, want an error that says %q:\n%s", err, tt.says, out)
			}
		})
	}
}

func TestDpkgDebAccepts(t *testing.T) {
	for _, comp := range []string{"", "xz", "gzip", "zstd", "none"} {
		t.Run("compression "+comp, func(t *testing.T) {
			for _, p := range demo("stable").suites[0].packages["main"] {
				p.Compression = comp
				deb := filepath.Join(t.TempDir(), "x.deb")
				if err := os.WriteFile(deb, Build(p), 0o644); err != nil {
					t.Fatal(err)
				}
				out, err := exec.Command("dpkg-deb", "-f", deb).CombinedOutput()
				if err != nil || string(out) != Control(p) {
					t.Errorf("dpkg-deb -f: %v\n got %s\nwant %s", err, out, Control(p))
				}
				root := t.TempDir()
				if out, err := exec.Command("dpkg-deb", "-x", deb, root).CombinedOutput(); err != nil {
					t.Fatalf("dpkg-deb -x: %v\n%s", err, out)
				}
				for _, f := range p.Files {
					if f.kind() != Regular {
						continue
					}
					got, err := os.ReadFile(filepath.Join(root, f.Path))
					if err != nil || string(got) != f.Content {
						t.Errorf("%s: %d bytes, %v; want %d bytes", f.Path, len(got), err, len(f.Content))
					}
				}
			}
		})
	}
}

func TestXzAccepts(t *testing.T) {
	for _, n := range []int{0, 1, 2, 3, 4, 65535, 65536, 65537, 300_000} {
		data := []byte(strings.Repeat("0123456789", n/10+1)[:n])
		cmd := exec.Command("xz", "-dc")
		cmd.Stdin = strings.NewReader(string(xzStored(data)))
		got, err := cmd.Output()
		if err != nil || string(got) != string(data) {
			t.Errorf("%d bytes: xz -d: %d bytes, %v", n, len(got), err)
		}
	}
}
