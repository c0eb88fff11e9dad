package deb

import (
	"bytes"
	"context"
	"io"
	"path"
	"strings"
	"testing"

	"brickyard/internal/bake/apt/apttest"
)

// FuzzOpen looks for panics in the outer structure; what opens is read too.
func FuzzOpen(f *testing.F) {
	for _, suffix := range []string{"", ".gz", ".xz", ".zst"} {
		f.Add(apttest.Ar(members(suffix)...))
	}
	f.Fuzz(func(t *testing.T, deb []byte) {
		p, err := Open(bytes.NewReader(deb), int64(len(deb)))
		if err != nil {
			return
		}
		for _, m := range []member{p.control, p.data} {
			if m.off < 0 || m.size < 0 || m.off+m.size > int64(len(deb)) {
				t.Errorf("%s is at %d, %d long, of %d", m.name, m.off, m.size, len(deb))
			}
		}
		p.Limits = Limits{Size: 1 << 20}
		readAll(p)
	})
}

// FuzzControl takes its input for an uncompressed control.tar.
func FuzzControl(f *testing.F) {
	f.Add(members("")[1].Data)
	f.Add(apttest.Tar(apttest.File{Path: "control", Content: "Package: x\nVersion: 1\nArchitecture: all\n"}, apttest.File{Path: "conffiles", Content: "/etc/x\n"}))
	f.Fuzz(func(t *testing.T, data []byte) {
		m := members("")
		m[1].Data = data
		c, err := open(t, apttest.Ar(m...)).Control()
		if err != nil {
			return
		}
		for name := range c.Files {
			if strings.ContainsAny(name, "/\n") || name == "" || name[0] == '.' {
				t.Errorf("control file %q", name)
			}
		}
		for _, p := range append(c.Conffiles(), c.RemovedConffiles()...) {
			if path.Clean(p) != p || p[0] != '/' {
				t.Errorf("conffile %q", p)
			}
		}
		if c.Field("package") == "" {
			t.Error("no name")
		}
	})
}

// FuzzData takes its input for an uncompressed data.tar, and checks what Data promises.
func FuzzData(f *testing.F) {
	f.Add(apttest.Tar(
		apttest.File{Raw: "./", Type: apttest.Dir}, apttest.File{Path: "usr/"}, apttest.File{Path: "usr/x", Content: "x"},
		apttest.File{Path: "usr/y", Type: apttest.HardLink, Link: "usr/x"}, apttest.File{Path: "usr/l", Link: "x"},
		apttest.File{Path: "usr/z", Xattrs: map[string]string{"user.a": "b"}}))
	f.Add(paxSparse())
	f.Fuzz(func(t *testing.T, data []byte) {
		p := open(t, raw(data))
		p.Limits = Limits{Size: 1 << 20, Entries: 1000}
		d, err := p.Data(context.Background())
		if err != nil {
			return
		}
		defer d.Close()
		types := map[string]Type{}
		for {
			e, err := d.Next()
			if err != nil {
				return
			}
			checkEntry(t, types, e)
			if n, err := io.Copy(io.Discard, d); err == nil && n != e.Size {
				t.Errorf("%s: %d bytes, says %d", e.Path, n, e.Size)
			}
		}
	})
}

func checkEntry(t *testing.T, types map[string]Type, e *Entry) {
	t.Helper()
	if e.Path == "" || path.IsAbs(e.Path) || path.Clean("/" + e.Path)[1:] != strings.TrimPrefix(e.Path, ".") && path.Clean("/" + e.Path)[1:] != e.Path || strings.Contains(e.Path, "\n") {
		t.Errorf("path %q", e.Path)
	}
	for dir := path.Dir(e.Path); dir != "."; dir = path.Dir(dir) {
		if typ, ok := types[dir]; ok && typ != Dir {
			t.Errorf("%s is below %s, of type %c", e.Path, dir, typ)
		}
	}
	if old, ok := types[e.Path]; ok && (old != Dir || e.Type != Dir) {
		t.Errorf("%s twice: %c, %c", e.Path, old, e.Type)
	}
	if e.Type == HardLink && types[e.Link] != Regular {
		t.Errorf("%s is a hard link to %s, of type %c", e.Path, e.Link, types[e.Link])
	}
	if e.Type == Char || e.Type == Block || e.Mode&^0o7777 != 0 || e.Size < 0 {
		t.Errorf("%+v", e)
	}
	types[e.Path] = e.Type
}
