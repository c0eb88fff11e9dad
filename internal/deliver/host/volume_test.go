package host

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseVolume(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want VolumeMap
		ok   bool
	}{
		{"data:/data", VolumeMap{"data", "/data", false}, true},
		{"/srv:/data/../x/:ro", VolumeMap{"/srv", "/x", true}, true},
		{"a.b-c_1:/d:rw", VolumeMap{"a.b-c_1", "/d", false}, true},
		{"data", VolumeMap{}, false},
		{"data:data", VolumeMap{}, false},
		{"data:/", VolumeMap{}, false},
		{"data:/..", VolumeMap{}, false},
		{"../x:/data", VolumeMap{}, false},
		{"a/b:/data", VolumeMap{}, false},
		{".hidden:/data", VolumeMap{}, false},
		{":/data", VolumeMap{}, false},
		{"data:/data:rx", VolumeMap{}, false},
		{"data:/data:ro:ro", VolumeMap{}, false},
	} {
		got, err := ParseVolume(tt.in)
		if (err == nil) != tt.ok || tt.ok && got != tt.want {
			t.Errorf("%q: got %+v, %v; want %+v, %v", tt.in, got, err, tt.want, tt.ok)
		}
	}
}

// A named volume is filled from the image once, then it is the user's.
func TestNamedVolume(t *testing.T) {
	l := newLab(t)
	volume := Options{Volumes: []VolumeMap{{Source: "pages", Path: "/data"}}}
	want := "/data drwxr-xr-x 900 901\n/data/link Lrwxrwxrwx 0 0\n/data/page -rw-r----- 900 901\n" +
		"/data/second -rw-r----- 900 901\n/data/sub drwxr-xr-x 0 0\n/data/sub/file -rw-r--r-- 0 0\n"
	if got := l.run(volume, "ls", "/data"); got.out != want {
		t.Errorf("first use: got %q, want %q (%+v)", got.out, want, got)
	}
	l.run(volume, "write", "/data/page", "mine")
	for _, name := range []string{"/data/page", "/data/link", "/data/second"} {
		if got := l.run(volume, "read", name); got.out != "mine" {
			t.Errorf("%s: got %+v, want what was written", name, got)
		}
	}
	if got := l.run(Options{}, "read", "/data/page"); got.out != "from the image" {
		t.Errorf("without the volume: got %+v, want the image's content", got)
	}
	readOnly := Options{Volumes: []VolumeMap{{Source: "pages", Path: "/data", ReadOnly: true}}}
	if got := l.run(readOnly, "write", "/data/page", "x"); !strings.Contains(got.stderr, "read-only file system") {
		t.Errorf("read-only: got %+v", got)
	}
	elsewhere := Options{Volumes: []VolumeMap{{Source: "new", Path: "/not/there"}}}
	if got := l.run(elsewhere, "write", "/not/there/x", "y"); got.code != 0 || got.err != nil {
		t.Errorf("at a path that the image has not: got %+v", got)
	}
	if data, err := os.ReadFile(filepath.Join(l.home, "volumes/new/x")); string(data) != "y" {
		t.Errorf("volumes/new/x: got %q, %v", data, err)
	}
}

func TestBindVolume(t *testing.T) {
	l := newLab(t)
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "f"), []byte("of the host"), 0o644))
	o := Options{Volumes: []VolumeMap{{Source: dir, Path: "/data"}}, ReadOnly: true}
	if got := l.run(o, "read", "/data/f"); got.out != "of the host" {
		t.Errorf("got %+v", got)
	}
	if got := l.run(o, "write", "/data/g", "x"); got.code != 0 {
		t.Errorf("got %+v", got)
	}
	if _, err := os.Stat(filepath.Join(dir, "g")); err != nil {
		t.Error(err)
	}
	file := Options{Volumes: []VolumeMap{{Source: filepath.Join(dir, "f"), Path: "/etc/resolv.conf", ReadOnly: true}}}
	if got := l.run(file, "read", "/etc/resolv.conf"); got.out != "of the host" {
		t.Errorf("in place of a file of ours: got %+v", got)
	}
}

// Declared state has a directory for the run, filled from the image, and the user is told.
func TestState(t *testing.T) {
	l := newLab(t)
	l.image.Config.Config.Volumes = map[string]struct{}{"/data": {}, "/var/lib/x": {}}
	var told []string
	o := Options{ReadOnly: true, OnState: func(paths []string) { told = paths }}
	if got := l.run(o, "write", "/data/page", "x"); got.code != 0 || got.err != nil {
		t.Errorf("got %+v", got)
	}
	if want := []string{"/data", "/var/lib/x"}; !slices.Equal(told, want) {
		t.Errorf("told of %q, want %q", told, want)
	}
	if got := l.run(o, "read", "/data/page"); got.out != "from the image" {
		t.Errorf("the next run: got %+v, want the image's content", got)
	}
	told = nil
	o.Volumes = []VolumeMap{{Source: "a", Path: "/data"}, {Source: "b", Path: "/var"}}
	l.run(o, "exit", "0")
	if told != nil {
		t.Errorf("told of %q, which have volumes", told)
	}
}

// A copy shares nothing with what it was made from, and has the same metadata.
func TestCopyTree(t *testing.T) {
	src, dst := t.TempDir(), filepath.Join(t.TempDir(), "copy")
	must(t, os.MkdirAll(src+"/d/e", 0o755))
	must(t, os.WriteFile(src+"/d/f", []byte("content"), 0o640))
	must(t, os.Link(src+"/d/f", src+"/g"))
	must(t, os.Symlink("/nowhere", src+"/d/l"))
	old := time.Unix(1e9, 0)
	must(t, os.Chtimes(src+"/d/f", old, old))
	must(t, os.Chmod(src+"/d", 0o500))
	must(t, os.Chtimes(src+"/d", old, old))
	must(t, copyTree(t.Context(), src, dst))
	for _, name := range []string{"", "d", "d/e", "d/f", "d/l", "g"} {
		a, err := os.Lstat(filepath.Join(src, name))
		must(t, err)
		b, err := os.Lstat(filepath.Join(dst, name))
		must(t, err)
		if a.Mode() != b.Mode() || name != "d/l" && a.ModTime().Unix() != b.ModTime().Unix() {
			t.Errorf("%s: got %v %v, want %v %v", name, b.Mode(), b.ModTime(), a.Mode(), a.ModTime())
		}
		if os.SameFile(a, b) {
			t.Errorf("%s is the same file", name)
		}
	}
	f, err := os.Stat(dst + "/d/f")
	must(t, err)
	g, err := os.Stat(dst + "/g")
	must(t, err)
	if !os.SameFile(f, g) {
		t.Error("two names of one file became two files")
	}
}
