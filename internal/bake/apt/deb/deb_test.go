package deb

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"brickyard/internal/bake/apt/apttest"
)

func open(t testing.TB, deb []byte) *Package {
	t.Helper()
	p, err := Open(bytes.NewReader(deb), int64(len(deb)))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// readAll reads all there is, and returns the paths and the first error.
func readAll(p *Package) ([]string, error) {
	if _, err := p.Control(); err != nil {
		return nil, err
	}
	return readData(context.Background(), p)
}

func readData(ctx context.Context, p *Package) (paths []string, err error) {
	d, err := p.Data(ctx)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	for {
		e, err := d.Next()
		if err == io.EOF {
			return paths, nil
		}
		if err != nil {
			return paths, err
		}
		if _, err := io.Copy(io.Discard, d); err != nil {
			return paths, err
		}
		paths = append(paths, e.Path)
	}
}

// members are a small package's, for tests that change one of them.
func members(suffix string) []apttest.Member {
	return []apttest.Member{
		{Name: "debian-binary", Data: []byte("2.0\n")},
		{Name: "control.tar" + suffix, Data: pack(suffix, apttest.Tar(apttest.File{Path: "control", Content: apttest.Control(apttest.Package{Name: "x"})}))},
		{Name: "data.tar" + suffix, Data: pack(suffix, apttest.Tar(apttest.File{Path: "usr/x", Content: "content"}))},
	}
}

func pack(suffix string, data []byte) []byte {
	return apttest.Compress(map[string]string{"": "none", ".gz": "gzip", ".xz": "xz", ".zst": "zstd"}[suffix], data)
}

func TestOpen(t *testing.T) {
	m := members(".xz")
	underscore := apttest.Member{Name: "_new", Data: []byte("x")}
	for _, tt := range []struct {
		name string
		deb  []byte
		err  string // "" when it opens
	}{
		{"as it should be", apttest.Ar(m...), ""},
		{"names end in a slash", apttest.Ar(apttest.Member{Name: "debian-binary/", Data: m[0].Data}, apttest.Member{Name: "control.tar.xz/", Data: m[1].Data}, m[2]), ""},
		{"members to be ignored", apttest.Ar(m[0], underscore, m[1], underscore, m[2], apttest.Member{Name: "_gpgorigin"}, apttest.Member{Name: "x"}), ""},
		{"a later minor version, more lines", apttest.Ar(apttest.Member{Name: "debian-binary", Data: []byte("2.12\nmore\n")}, m[1], m[2]), ""},
		{"no padding at the end", apttest.Ar(m[0], m[1], apttest.Member{Name: "data.tar", Data: []byte("x")})[:8+3*60+4+len(m[1].Data)+1], ""},
		{"empty file", nil, "0 bytes long"},
		{"not an ar archive", []byte("!<arch>\r1234"), "not an ar archive"},
		{"nothing in it", apttest.Ar(), "the first member is not debian-binary"},
		{"debian-binary is missing", apttest.Ar(m[1], m[2]), "the first member is not debian-binary"},
		{"_new before debian-binary", apttest.Ar(underscore, m[0], m[1], m[2]), "the first member is not debian-binary"},
		{"version 3.0", apttest.Ar(apttest.Member{Name: "debian-binary", Data: []byte("3.0\n")}, m[1], m[2]), `says "3.0"`},
		{"version without an end", apttest.Ar(apttest.Member{Name: "debian-binary", Data: []byte("2.0")}, m[1], m[2]), `says "2.0"`},
		{"no minor version", apttest.Ar(apttest.Member{Name: "debian-binary", Data: []byte("2.\n")}, m[1], m[2]), `says "2."`},
		{"control.tar is missing", apttest.Ar(m[0], m[2]), `"data.tar.xz" where control.tar should be`},
		{"data.tar is missing", apttest.Ar(m[0], m[1]), "there is no data.tar"},
		{"wrong order", apttest.Ar(m[0], m[2], m[1]), `"data.tar.xz" where control.tar should be`},
		{"an unknown member between", apttest.Ar(m[0], m[1], apttest.Member{Name: "x"}, m[2]), `"x" where data.tar should be`},
		{"two control.tar", apttest.Ar(m[0], m[1], m[1], m[2]), `"control.tar.xz" where data.tar should be`},
		{"unknown compression", apttest.Ar(m[0], m[1], apttest.Member{Name: "data.tar.lzma"}), "unknown compression"},
		{"control.tar may not be bzip2", apttest.Ar(m[0], apttest.Member{Name: "control.tar.bz2"}, m[2]), "unknown compression"},
		{"size larger than the file", apttest.Ar(m[0], m[1], apttest.Member{Name: "data.tar", Size: "1000"}), "truncated"},
		{"largest size", apttest.Ar(m[0], m[1], apttest.Member{Name: "data.tar", Size: "9999999999"}), "truncated"},
		{"negative size", apttest.Ar(m[0], m[1], apttest.Member{Name: "data.tar", Size: "-1"}), `size "-1`},
		{"size with a sign", apttest.Ar(m[0], m[1], apttest.Member{Name: "data.tar", Size: "+1"}), `size "+1`},
		{"size in hex", apttest.Ar(m[0], m[1], apttest.Member{Name: "data.tar", Size: "0x10"}), `size "0x10`},
		{"no size", apttest.Ar(m[0], m[1], apttest.Member{Name: "data.tar", Size: " "}), `size "`},
		{"no name", apttest.Ar(m[0], m[1], apttest.Member{Name: " "}, m[2]), "no ar header"},
		{"wrong end mark", bytes.Replace(apttest.Ar(m...), []byte("`\n"), []byte("`\r"), 1), "no ar header at byte 8"},
		{"truncated in a header", apttest.Ar(m...)[:60], "truncated in a header"},
		{"wrong padding", bytes.Replace(apttest.Ar(m[0], underscore, m[1], m[2]), []byte("x\n"), []byte("xx"), 1), "padding"},
		{"very many members", apttest.Ar(append(m, make([]apttest.Member, 200)...)...), "no ar header"},
		{"many members", apttest.Ar(append(m, bytesMembers(200)...)...), "more than 100 members"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Open(bytes.NewReader(tt.deb), int64(len(tt.deb)))
			if tt.err == "" && err != nil {
				t.Errorf("Open: %v", err)
			}
			if tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err) || !errors.Is(err, ErrFormat)) {
				t.Errorf("Open: %v, want ErrFormat that says %q", err, tt.err)
			}
		})
	}
}

func bytesMembers(n int) []apttest.Member {
	out := make([]apttest.Member, n)
	for i := range out {
		out[i].Name = fmt.Sprintf("_%d", i)
	}
	return out
}

// Whatever byte a package ends at, and whatever byte is another one, nothing panics, and a package that is
// shorter than it says is never taken for a whole one.
func TestTruncated(t *testing.T) {
	for _, suffix := range []string{"", ".gz", ".xz", ".zst"} {
		deb := apttest.Ar(members(suffix)...)
		m := members(suffix)
		need := 8 + 3*60 + even(len(m[0].Data)) + even(len(m[1].Data)) + len(m[2].Data)
		for n := range need {
			p, err := Open(bytes.NewReader(deb[:n]), int64(n))
			if err == nil {
				_, err = readAll(p)
			}
			if !errors.Is(err, ErrFormat) {
				t.Fatalf("data.tar%s, first %d of %d bytes: %v, want ErrFormat", suffix, n, need, err)
			}
		}
		// A member that ends early though the outer structure is whole.
		data := m[2].Data
		for n := range len(data) {
			if suffix == "" && n >= 512+len("content") {
				break // without the zeros after its last file; dpkg takes that too
			}
			m[2].Data = data[:n]
			if _, err := readAll(open(t, apttest.Ar(m...))); !errors.Is(err, ErrFormat) {
				t.Fatalf("first %d of %d bytes of data.tar%s: %v, want ErrFormat", n, len(data), suffix, err)
			}
		}
	}
}

func even(n int) int { return n + n%2 }

// A byte that is another one is found by the compressed format's checksum, wherever it is.
func TestCorrupt(t *testing.T) {
	for _, suffix := range []string{".gz", ".xz", ".zst"} {
		m := members(suffix)
		good := m[2].Data
		for _, i := range []int{len(good) - 1, len(good) - 6, len(good) / 2} {
			if suffix == ".gz" && i == len(good)-1 {
				i = len(good) - 5 // the last four are the length
			}
			m[2].Data = bytes.Clone(good)
			m[2].Data[i] ^= 1
			if paths, err := readAll(open(t, apttest.Ar(m...))); !errors.Is(err, ErrFormat) && !errors.Is(err, ErrUnsafe) {
				t.Errorf("data.tar%s with byte %d of %d changed: %q, %v", suffix, i, len(good), paths, err)
			}
		}
		m[2].Data = good
		if _, err := readAll(open(t, apttest.Ar(m...))); err != nil {
			t.Errorf("after broken ones, a good data.tar%s: %v", suffix, err)
		}
	}
}

func hostile(files ...apttest.File) []byte {
	return apttest.Build(apttest.Package{Name: "x", Compression: "none", Files: files})
}

// raw is a package whose data.tar is as given.
func raw(data []byte) []byte {
	m := members("")
	m[2].Data = data
	return apttest.Ar(m...)
}

func TestUnsafe(t *testing.T) {
	file := func(name string) apttest.File { return apttest.File{Raw: name, Content: "x"} }
	link := func(p, to string) apttest.File { return apttest.File{Path: p, Link: to} }
	hard := func(p, to string) apttest.File {
		return apttest.File{Raw: p, Type: apttest.HardLink, Link: to}
	}
	dir := func(p string) apttest.File { return apttest.File{Raw: p, Type: apttest.Dir} }
	for _, tt := range []struct {
		name string
		deb  []byte
		path string // of the error
		says string
	}{
		{"parent", hostile(file("../x")), "../x", "leaves the root"},
		{"parent in the middle", hostile(file("./usr/../../x")), "./usr/../../x", "leaves the root"},
		{"parent that stays inside", hostile(file("./usr/../x")), "./usr/../x", "leaves the root"},
		{"parent at the end", hostile(dir("./usr/..")), "./usr/..", "leaves the root"},
		{"absolute", hostile(file("/etc/passwd")), "/etc/passwd", "is absolute"},
		{"two slashes", hostile(file("//etc/passwd")), "//etc/passwd", "is absolute"},
		{"no name", raw(apttest.RawHeader("", apttest.Regular, "00000000000", "")), "", "has no name"},
		{"line break", hostile(file("./etc/x\n/etc/y")), "./etc/x\n/etc/y", "line break"},
		{"long component", hostile(file("./" + strings.Repeat("a", 256))), "./" + strings.Repeat("a", 256), "too long"},
		{"long path", hostile(file("./" + strings.Repeat("a/", 2100) + "x")), "./" + strings.Repeat("a/", 2100) + "x", "too long"},
		{"regular file with a slash", raw(apttest.RawHeader("./x/", apttest.Regular, "00000000000", "")), "./x/", "type"},
		{"root is a link", hostile(apttest.File{Raw: "./", Type: apttest.Link, Link: "/etc"}), "./", "root"},
		{"root is a file", raw(apttest.RawHeader(".", apttest.Regular, "00000000000", "")), ".", "root"},
		{"below a symbolic link", hostile(link("lib", "/etc"), file("./lib/passwd")), "./lib/passwd", `below "lib"`},
		{"far below a symbolic link", hostile(link("a/lib", "/etc"), file("./a/lib/b/c/d")), "./a/lib/b/c/d", `below "a/lib"`},
		{"directory below a symbolic link", hostile(link("lib", "/etc"), dir("./lib/x/")), "./lib/x/", `below "lib"`},
		{"directory over a symbolic link", hostile(link("lib", "/etc"), dir("./lib/")), "./lib/", "twice"},
		{"symbolic link over a directory", hostile(dir("./lib/"), link("lib", "/etc")), "./lib", "twice"},
		{"symbolic link over an implied directory", raw(apttest.Tar(file("./lib/x"), link("lib", "/etc"), file("./lib/y"))), "./lib", "twice"},
		{"below a file", hostile(file("./x"), file("./x/y")), "./x/y", "no directory"},
		{"file twice", hostile(file("./x"), file("./x")), "./x", "twice"},
		{"file twice by other names", hostile(file("./x/y"), file("x/.//y")), "x/.//y", "twice"},
		{"link twice", hostile(link("x", "a"), link("x", "b")), "./x", "twice"},
		{"empty symbolic link", raw(apttest.RawHeader("./x", apttest.Link, "00000000000", "")), "./x", "to nothing"},
		{"hard link out", hostile(hard("./x", "../../etc/shadow")), "./x", "leaves the root"},
		{"absolute hard link", hostile(hard("./x", "/etc/shadow")), "./x", "is absolute"},
		{"hard link to what comes later", hostile(hard("./x", "./y"), file("./y")), "./x", "no file that came before"},
		{"hard link to what is not there", hostile(hard("./x", "./y")), "./x", "no file that came before"},
		{"hard link to itself", hostile(hard("./x", "./x")), "./x", "no file that came before"},
		{"hard link to a directory", hostile(dir("./d/"), hard("./x", "./d")), "./x", "no file that came before"},
		{"hard link to a symbolic link", hostile(link("l", "/etc/shadow"), hard("./x", "./l")), "./x", "no file that came before"},
		{"hard link through a symbolic link", hostile(link("l", "/etc"), hard("./x", "./l/shadow")), "./x", "no file that came before"},
		{"hard link without target", raw(apttest.RawHeader("./x", apttest.HardLink, "00000000000", "")), "./x", "has no name"},
		{"unknown type", raw(apttest.RawHeader("./x", 'V', "00000000000", "")), "./x", "type"},
		{"contiguous file", raw(apttest.RawHeader("./x", '7', "00000000000", "")), "./x", "type"},
		{"negative owner", raw(ownedBy("\xff\xff\xff\xff\xff\xff\xff\xff")), "./x", "owner"},
		{"owner that means none", raw(ownedBy("\x80\x00\x00\x00\xff\xff\xff\xff")), "./x", "owner"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := readAll(open(t, tt.deb))
			e, ok := errors.AsType[*EntryError](err)
			if !ok || !errors.Is(err, ErrUnsafe) || e.Path != tt.path || !strings.Contains(e.Why, tt.says) {
				t.Errorf("got %v, want ErrUnsafe about %q that says %q", err, tt.path, tt.says)
			}
		})
	}
}

// ownedBy is a header with the user number as it is given.
func ownedBy(uid string) []byte {
	h := apttest.RawHeader("./x", apttest.Regular, "00000000000", "")
	copy(h[108:116], uid)
	return apttest.Checksum(h)
}

func TestEntries(t *testing.T) {
	deb := hostile(
		apttest.File{Path: "usr/bin/x", Mode: 0o6755, UID: 1, GID: 2, Content: "12345", MTime: 1234567890},
		apttest.File{Path: "usr/bin/y", Type: apttest.HardLink, Link: "usr/bin/x"},
		apttest.File{Path: "usr/bin/z", Type: apttest.HardLink, Link: "usr/bin/y"},
		apttest.File{Path: "usr/lib", Link: "/../../etc"},
		apttest.File{Path: "usr/bin/"},
		apttest.File{Path: "usr/bin/ping", Content: "p", Xattrs: map[string]string{"security.capability": "\x01\x00\x00\x02"}},
		apttest.File{Path: "tmp/", Mode: 0o1777},
		apttest.File{Path: "dev/null", Type: apttest.Char, Major: 1, Minor: 3},
		apttest.File{Path: "dev/sda", Type: apttest.Block, Major: 8},
		apttest.File{Path: "run/f", Type: apttest.FIFO},
		apttest.File{Raw: "a/implied/file"},
	)
	p := open(t, deb)
	p.Limits.Devices = true
	d, err := p.Data(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	want := []string{
		`. d 755 0:0 1704067200 0`,
		`usr d 755 0:0 1704067200 0`,
		`usr/bin d 755 0:0 1704067200 0`,
		`usr/bin/x f 6755 1:2 1234567890 5`,
		`usr/bin/y h 644 0:0 1704067200 0 usr/bin/x`,
		`usr/bin/z h 644 0:0 1704067200 0 usr/bin/x`,
		`usr/lib l 777 0:0 1704067200 0 /../../etc`,
		`usr/bin d 755 0:0 1704067200 0`,
		`usr/bin/ping f 644 0:0 1704067200 1 map[security.capability:"\x01\x00\x00\x02"]`,
		`tmp d 1777 0:0 1704067200 0`,
		`dev d 755 0:0 1704067200 0`,
		`dev/null c 644 0:0 1704067200 0 1,3`,
		`dev/sda b 644 0:0 1704067200 0 8,0`,
		`run d 755 0:0 1704067200 0`,
		`run/f p 644 0:0 1704067200 0`,
		`a/implied/file f 644 0:0 1704067200 0`,
	}
	for _, w := range want {
		e, err := d.Next()
		if err != nil {
			t.Fatal(err)
		}
		if got := describe(e); got != w {
			t.Errorf("got  %s\nwant %s", got, w)
		}
	}
	for range 2 {
		if _, err := d.Next(); err != io.EOF {
			t.Errorf("after the last entry: %v, want EOF", err)
		}
	}
}

func describe(e *Entry) string {
	s := fmt.Sprintf("%s %c %o %d:%d %d %d", e.Path, e.Type, e.Mode, e.UID, e.GID, e.MTime, e.Size)
	if e.Link != "" {
		s += " " + e.Link
	}
	if e.Type == Char || e.Type == Block {
		s += fmt.Sprintf(" %d,%d", e.Major, e.Minor)
	}
	if e.Xattrs != nil {
		s += fmt.Sprintf(" %q", e.Xattrs)
		s = strings.ReplaceAll(s, `"security.capability"`, "security.capability")
	}
	return s
}

func TestLimits(t *testing.T) {
	file := apttest.File{Path: "x", Content: strings.Repeat("x", 10_000)}
	sparse := apttest.RawHeader("./x", 'S', "00000000000", "")
	copy(sparse[257:], "ustar  \x00")                    // GNU's
	copy(sparse[386:], "00000000000\x0000000000000\x00") // nothing, at the start
	copy(sparse[483:], "77777777777\x00")                // real size
	sparse = append(apttest.Checksum(sparse), make([]byte, 1024)...)
	bomb := members("")
	bomb[2] = apttest.Member{Name: "data.tar.gz", Data: gzipZeros(t, 8<<20)}
	for _, tt := range []struct {
		name   string
		deb    []byte
		limits Limits
		want   error
	}{
		{"file as large as allowed", hostile(file), Limits{File: 10_000}, nil},
		{"file too large", hostile(file), Limits{File: 9_999}, ErrLimit},
		{"archive as large as it is", hostile(file), Limits{Size: 12288}, nil},
		{"archive too large", hostile(file), Limits{Size: 12287}, ErrLimit},
		{"as many entries as allowed", hostile(file), Limits{Entries: 2}, nil},
		{"too many entries", hostile(file), Limits{Entries: 1}, ErrLimit},
		{"bomb after the end", apttest.Ar(bomb...), Limits{Size: 1 << 20}, ErrLimit},
		{"file says more than a file may have", raw(apttest.RawHeader("./x", apttest.Regular, "77777777777", "")), Limits{File: 1 << 32}, ErrLimit},
		{"file says more than there is", raw(apttest.RawHeader("./x", apttest.Regular, "77777777777", "")), Limits{}, ErrFormat},
		{"negative size", raw(apttest.RawHeader("./x", apttest.Regular, "-0000000001", "")), Limits{}, ErrFormat},
		{"sparse file", raw(sparse), Limits{}, ErrUnsafe},
		{"PAX sparse file", raw(paxSparse()), Limits{}, ErrUnsafe},
		{"device", hostile(apttest.File{Path: "dev/null", Type: apttest.Char, Major: 1, Minor: 3}), Limits{}, ErrDevice},
		{"block device", hostile(apttest.File{Path: "dev/sda", Type: apttest.Block, Major: 8}), Limits{}, ErrDevice},
		{"device that is allowed", hostile(apttest.File{Path: "dev/sda", Type: apttest.Block, Major: 8}), Limits{Devices: true}, nil},
		{"xz dictionary of 4 GiB", rawXz(xzDict(40)), Limits{}, ErrLimit},
		{"xz dictionary of 96 MiB", rawXz(xzDict(29)), Limits{}, ErrLimit},
		{"xz dictionary of 64 MiB", rawXz(xzDict(28)), Limits{}, nil},
		{"something after the end", raw(append(apttest.Tar(file), apttest.Tar(file)...)), Limits{}, ErrFormat},
		{"zeros after the end", raw(append(apttest.Tar(file), make([]byte, 1<<20)...)), Limits{}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := open(t, tt.deb)
			p.Limits = tt.limits
			if _, err := readAll(p); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

func gzipZeros(t *testing.T, n int) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(make([]byte, n))
	if err := cmp.Or(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// paxSparse is a file of 1 TB that takes three blocks (GNU tar's sparse format 1.0).
func paxSparse() []byte {
	var records strings.Builder
	for _, r := range []string{"major=1", "minor=0", "name=./big", "realsize=1000000000000"} {
		r = " GNU.sparse." + r + "\n"
		records.WriteString(fmt.Sprint(len(r)+2) + r)
	}
	b := apttest.RawHeader("x", 'x', fmt.Sprintf("%011o", len(records.String())), "")
	b = append(b, records.String()...)
	b = append(b, make([]byte, 512-len(records.String()))...)
	b = append(b, apttest.RawHeader("./big", apttest.Regular, "00000001000", "")...)
	b = append(b, "0\n"...)
	return append(b, make([]byte, 510+1024)...)
}

func rawXz(data []byte) []byte {
	m := members(".xz")
	m[2].Data = data
	return apttest.Ar(m...)
}

// xzDict is an empty tar archive whose dictionary size is coded as bits (The .xz File Format 1.2.1, section 5.3.1).
func xzDict(bits byte) []byte {
	return apttest.XzDict(bits, make([]byte, 1024))
}

func TestControl(t *testing.T) {
	control := apttest.File{Path: "control", Content: "Package: x\nVersion: 1\nArchitecture: all\n"}
	with := func(files ...apttest.File) []apttest.File { return append([]apttest.File{control}, files...) }
	for _, tt := range []struct {
		name  string
		files []apttest.File
		want  error
		says  string
	}{
		{"only control", with(), nil, ""},
		{"root", with(apttest.File{Raw: "./", Type: apttest.Dir}), nil, ""},
		{"name without ./", []apttest.File{{Raw: "control", Content: control.Content}}, nil, ""},
		{"nothing", nil, ErrFormat, "empty"},
		{"empty control", []apttest.File{{Path: "control"}}, ErrFormat, "empty"},
		{"two paragraphs", []apttest.File{{Path: "control", Content: control.Content + "\n" + control.Content}}, ErrFormat, "second"},
		{"no colon", []apttest.File{{Path: "control", Content: "Package x\n"}}, ErrFormat, "control"},
		{"no version", []apttest.File{{Path: "control", Content: "Package: x\nArchitecture: all\n"}}, ErrFormat, "no field Version"},
		{"field twice", []apttest.File{{Path: "control", Content: control.Content + "package: y\n"}}, ErrFormat, "twice"},
		{"control twice", with(control), ErrUnsafe, "twice"},
		{"control is a link", []apttest.File{{Path: "control", Link: "/etc/shadow"}}, ErrUnsafe, "regular"},
		{"a link", with(apttest.File{Path: "postinst", Link: "/bin/true"}), ErrUnsafe, "regular"},
		{"hard link", with(apttest.File{Path: "postinst", Type: apttest.HardLink, Link: "control"}), ErrUnsafe, "regular"},
		{"a directory", with(apttest.File{Path: "x/"}), ErrUnsafe, "regular"},
		{"a device", with(apttest.File{Path: "postinst", Type: apttest.Char}), ErrUnsafe, "regular"},
		{"leaves the directory", with(apttest.File{Raw: "../postinst"}), ErrUnsafe, "name"},
		{"absolute", with(apttest.File{Raw: "/postinst"}), ErrUnsafe, "name"},
		{"below", with(apttest.File{Raw: "./x/postinst"}), ErrUnsafe, "name"},
		{"dot file", with(apttest.File{Raw: "./.x"}), ErrUnsafe, "name"},
		{"line break", with(apttest.File{Raw: "./x\ny"}), ErrUnsafe, "name"},
		{"too large", with(apttest.File{Path: "md5sums", Content: strings.Repeat("x", 16<<20)}), ErrLimit, ""},
		{"relative conffile", with(apttest.File{Path: "conffiles", Content: "etc/x\n"}), ErrFormat, "etc/x"},
		{"conffile that leaves the root", with(apttest.File{Path: "conffiles", Content: "/etc/../../x\n"}), ErrFormat, "/etc/../../x"},
		{"unknown flag", with(apttest.File{Path: "conffiles", Content: "keep /etc/x\n"}), ErrFormat, "keep"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := members("")
			m[1].Data = apttest.Tar(tt.files...)
			_, err := open(t, apttest.Ar(m...)).Control()
			if !errors.Is(err, tt.want) || err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want %v that says %q", err, tt.want, tt.says)
			}
		})
	}
}

func TestConffiles(t *testing.T) {
	c, err := open(t, apttest.Build(apttest.Package{Name: "x", Conffiles: []string{
		"/etc/a", "remove-on-upgrade /etc/b", "", "/etc/c d  ", "remove-on-upgrade   /etc/e",
	}})).Control()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(c.Conffiles(), ","), "/etc/a,/etc/c d"; got != want {
		t.Errorf("Conffiles %q, want %q", got, want)
	}
	if got, want := strings.Join(c.RemovedConffiles(), ","), "/etc/b,/etc/e"; got != want {
		t.Errorf("RemovedConffiles %q, want %q", got, want)
	}
}

func TestContext(t *testing.T) {
	p := open(t, hostile(apttest.File{Path: "a", Content: strings.Repeat("a", 1<<20)}, apttest.File{Path: "b"}))
	ctx, cancel := context.WithCancel(t.Context())
	d, err := p.Data(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for range 2 {
		if _, err := d.Next(); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if _, err := io.Copy(io.Discard, d); !errors.Is(err, context.Canceled) {
		t.Errorf("Read: %v, want context canceled", err)
	}
	if _, err := d.Next(); !errors.Is(err, context.Canceled) {
		t.Errorf("Next: %v, want context canceled", err)
	}
}

// A disk that can't be read is not a broken package.
func TestReadError(t *testing.T) {
	for _, suffix := range []string{"", ".gz", ".xz", ".zst"} {
		deb := apttest.Ar(members(suffix)...)
		for n := 0; n < len(deb)-1; n += 7 {
			p, err := Open(failingReader{deb, int64(n)}, int64(len(deb)))
			if err == nil {
				_, err = readAll(p)
			}
			if !errors.Is(err, errDisk) || errors.Is(err, ErrFormat) {
				t.Fatalf("data.tar%s, disk fails at byte %d of %d: %v", suffix, n, len(deb), err)
			}
		}
	}
}

var errDisk = errors.New("input/output error")

// failingReader fails from the byte at on.
type failingReader struct {
	data []byte
	at   int64
}

func (r failingReader) ReadAt(p []byte, off int64) (int, error) {
	n, err := bytes.NewReader(r.data[:r.at]).ReadAt(p, min(off, r.at))
	if err == io.EOF && off+int64(n) < int64(len(r.data)) {
		err = errDisk
	}
	return n, err
}

func TestClosed(t *testing.T) {
	d, err := open(t, hostile(apttest.File{Path: "a"})).Data(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := d.Next(); err == nil {
		t.Error("Next after Close: no error")
	}
	if _, err := d.Read(nil); err == nil {
		t.Error("Read after Close: no error")
	}
}

func TestManyAtOnce(t *testing.T) {
	var wg sync.WaitGroup
	for _, suffix := range []string{"", ".gz", ".xz", ".zst"} {
		p := open(t, apttest.Ar(members(suffix)...))
		for range 8 {
			wg.Go(func() {
				for range 10 {
					if paths, err := readAll(p); err != nil || len(paths) != 1 {
						t.Errorf("data.tar%s: %q, %v", suffix, paths, err)
					}
				}
			})
		}
	}
	wg.Wait()
}
