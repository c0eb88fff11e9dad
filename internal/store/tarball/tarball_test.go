package tarball

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"maps"
	"os/exec"
	"strings"
	"testing"

	"brickyard/internal/store"
	"brickyard/internal/tree"

	"github.com/google/go-cmp/cmp"
)

// sample has one of each kind of entry.
func sample(contents map[tree.Digest]string) tree.Tree {
	file := func(s string) tree.Entry {
		d := store.Sum([]byte(s))
		contents[d] = s
		return tree.Entry{Type: tree.Regular, Mode: 0o644, Size: int64(len(s)), Digest: d, MTime: 1700000000}
	}
	hard := file("hello\n")
	hard.Hard = "a/file"
	capable := file("ping")
	capable.Xattrs = map[string]string{"security.capability": "\x01\x00\x00\x02\x00\x20\x00\x00"}
	capable.Mode = 0o4755
	return tree.Tree{
		"a":                             {Type: tree.Dir, Mode: 0o1777, UID: 7, GID: 8, MTime: 1600000000},
		"a/file":                        file("hello\n"),
		"a/hard":                        hard,
		"a/ping":                        capable,
		"a/gone":                        {Type: tree.Whiteout},
		"b":                             {Type: tree.Dir, Mode: 0o755, Opaque: true},
		"b/" + strings.Repeat("l", 200): file(""),
		"b/link":                        {Type: tree.Symlink, Mode: 0o777, Link: "../../etc/passwd"},
		"dev":                           {Type: tree.Char, Mode: 0o666, Dev: [2]uint32{1, 3}},
		"fifo":                          {Type: tree.Fifo, Mode: 0o600},
	}
}

func opener(contents map[tree.Digest]string) func(tree.Entry) (io.ReadCloser, error) {
	return func(e tree.Entry) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(contents[e.Digest])), nil
	}
}

func hashing(_ string, e *tree.Entry, r io.Reader) error {
	data, err := io.ReadAll(r)
	e.Digest = store.Sum(data)
	return err
}

func TestReadGivesBackWhatWriteWrote(t *testing.T) {
	contents := map[tree.Digest]string{}
	want := sample(contents)
	var buf bytes.Buffer
	if err := Write(&buf, want, opener(contents)); err != nil {
		t.Fatal(err)
	}
	got, err := Read(&buf, Limits{}, hashing)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(got, want); d != "" {
		t.Error(d)
	}
}

func TestWriteIsTarThatOthersRead(t *testing.T) {
	contents := map[tree.Digest]string{}
	var buf bytes.Buffer
	if err := Write(&buf, sample(contents), opener(contents)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("tar", "--numeric-owner", "-tvf", "-")
	cmd.Stdin = &buf
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{"drwxrwxrwt 7/8", "a/hard link to a/file", "b/link -> ../../etc/passwd", "crw-rw-rw- 0/0", "a/.wh.gone", "-rwsr-xr-x"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("tar's listing has no %q:\n%s", want, out)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	reg := func(name string) *tar.Header { return &tar.Header{Typeflag: tar.TypeReg, Name: name} }
	for _, tt := range []struct {
		name    string
		want    error
		entries []*tar.Header
	}{
		{"dots", ErrPath, []*tar.Header{reg("a/../../x")}},
		{"below a link", ErrPath, []*tar.Header{{Typeflag: tar.TypeSymlink, Name: "a", Linkname: "/etc"}, reg("a/passwd")}},
		{"below a file", ErrPath, []*tar.Header{reg("a"), reg("a/b")}},
		{"hard link out", ErrPath, []*tar.Header{{Typeflag: tar.TypeLink, Name: "a", Linkname: "../etc/shadow"}}},
		{"hard link to nothing", ErrPath, []*tar.Header{{Typeflag: tar.TypeLink, Name: "a", Linkname: "etc/shadow"}}},
		{"root a link", ErrPath, []*tar.Header{{Typeflag: tar.TypeSymlink, Name: "./", Linkname: "/"}}},
		{"whiteout of dots", ErrPath, []*tar.Header{reg("a/.wh...")}},
		{"too much", ErrLimit, []*tar.Header{reg("a"), reg("b"), reg("c"), reg("d")}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var buf bytes.Buffer
			tw := tar.NewWriter(&buf)
			for _, h := range tt.entries {
				if err := tw.WriteHeader(h); err != nil {
					t.Fatal(err)
				}
			}
			tw.Close()
			if _, err := Read(&buf, Limits{Entries: 3}, hashing); !errors.Is(err, tt.want) {
				t.Errorf("Read: %v, want %v", err, tt.want)
			}
		})
	}
}

func FuzzRead(f *testing.F) {
	contents := map[tree.Digest]string{}
	var buf bytes.Buffer
	if err := Write(&buf, sample(contents), opener(contents)); err != nil {
		f.Fatal(err)
	}
	f.Add(buf.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		contents := map[tree.Digest]string{}
		keep := func(_ string, e *tree.Entry, r io.Reader) error {
			data, err := io.ReadAll(r)
			e.Digest = store.Sum(data)
			contents[e.Digest] = string(data)
			return err
		}
		got, err := Read(bytes.NewReader(data), Limits{Entries: 1000, Bytes: 1 << 20}, keep)
		if err != nil {
			return
		}
		for p := range maps.Keys(got) {
			if p == "" || strings.HasPrefix(p, "/") || strings.Contains("/"+p+"/", "/../") {
				t.Errorf("path %q", p)
			}
		}
		// What was read can be listed and read again.
		if _, err := tree.Decode(got.Encode()); err != nil {
			t.Errorf("listing: %v", err)
		}
	})
}

// The first name of a file by its tree may be a later one by path. The content goes with the first in the stream.
func TestWriteHardLinkBeforeItsFile(t *testing.T) {
	contents := map[tree.Digest]string{}
	file := sample(contents)["a/file"]
	link := file
	link.Hard = "z/file"
	var buf bytes.Buffer
	if err := Write(&buf, tree.Tree{"a": link, "b": link, "z/file": file}, opener(contents)); err != nil {
		t.Fatal(err)
	}
	got, err := Read(&buf, Limits{}, hashing)
	if err != nil {
		t.Fatal(err)
	}
	b, z := file, file
	b.Hard, z.Hard = "a", "a"
	if diff := cmp.Diff(tree.Tree{"a": file, "b": b, "z/file": z}, got); diff != "" {
		t.Error(diff)
	}
}

// A name that means in a layer that something is gone is none that a file can have, neither read nor written.
func TestWhiteoutNames(t *testing.T) {
	for _, name := range []string{"etc/.wh.x", "etc/.wh..wh..opq", ".wh.etc", "./a/.wh."} {
		var buf bytes.Buffer
		tw := tar.NewWriter(&buf)
		if err := errors.Join(tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name}), tw.Close()); err != nil {
			t.Fatal(err)
		}
		got, err := Read(&buf, Limits{NoLayer: true}, hashing)
		if e, ok := errors.AsType[*WhiteoutError](err); !ok || e.Path != name {
			t.Errorf("Read(%q) = %v, %v", name, got, err)
		}
	}
	for _, e := range []tree.Entry{{Type: tree.Regular}, {Type: tree.Dir}, {Type: tree.Symlink, Link: "x"}} {
		err := Write(io.Discard, tree.Tree{"etc/.wh.x": e}, opener(nil))
		if e, ok := errors.AsType[*WhiteoutError](err); !ok || e.Path != "etc/.wh.x" {
			t.Errorf("Write: %v", err)
		}
	}
}
