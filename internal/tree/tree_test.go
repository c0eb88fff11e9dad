package tree

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Entries that tests build trees from.
var (
	dir   = Entry{Type: Dir, Mode: 0o755}
	one   = file("1")
	two   = file("2")
	white = Entry{Type: Whiteout}
)

func file(c string) Entry {
	return Entry{Type: Regular, Mode: 0o644, Size: int64(len(c)), Digest: Digest("sha256:" + strings.Repeat(c, 64)[:64])}
}

func link(to string) Entry { return Entry{Type: Symlink, Mode: 0o777, Link: to} }

func with(e Entry, change func(*Entry)) Entry {
	e.Xattrs = maps.Clone(e.Xattrs)
	change(&e)
	return e
}

func hard(e Entry, first string) Entry { return with(e, func(e *Entry) { e.Hard = first }) }

// check compares two trees as text, which a person can read.
func check(t *testing.T, got, want Tree) {
	t.Helper()
	if g, w := got.Encode(), want.Encode(); !bytes.Equal(g, w) {
		t.Errorf("got\n%s\nwant\n%s", g, w)
	}
}

func TestApply(t *testing.T) {
	opaque := with(dir, func(e *Entry) { e.Opaque = true })
	for _, tt := range []struct {
		name              string
		base, layer, want Tree
	}{
		{"onto nothing", Tree{}, Tree{".": dir, "a": one}, Tree{".": dir, "a": one}},
		{"a file replaces a file", Tree{"a": one}, Tree{"a": two}, Tree{"a": two}},
		{"a directory keeps what is in it", Tree{"d": dir, "d/a": one}, Tree{"d": with(dir, func(e *Entry) { e.Mode = 0o700 })},
			Tree{"d": with(dir, func(e *Entry) { e.Mode = 0o700 }), "d/a": one}},
		{"a whiteout takes a file", Tree{"a": one, "ab": two}, Tree{"a": white}, Tree{"ab": two}},
		{"a whiteout takes all below", Tree{"d": dir, "d/e": dir, "d/e/f": one, "d.x": two}, Tree{"d": white}, Tree{"d.x": two}},
		{"a whiteout of nothing", Tree{"a": one}, Tree{"b": white}, Tree{"a": one}},
		{"a file over a directory", Tree{"d": dir, "d/a": one}, Tree{"d": two}, Tree{"d": two}},
		{"a link over a directory", Tree{"d": dir, "d/a": one}, Tree{"d": link("e")}, Tree{"d": link("e")}},
		{"a directory over a file", Tree{"d": one}, Tree{"d": dir, "d/a": two}, Tree{"d": dir, "d/a": two}},
		{"an opaque directory hides what was there, not what it brings", Tree{"d": dir, "d/a": one, "d/e": dir, "d/e/f": one},
			Tree{"d": opaque, "d/b": two}, Tree{"d": dir, "d/b": two}},
		{"another name follows its file", Tree{"a": one, "b": hard(one, "a")}, Tree{"c": two}, Tree{"a": one, "b": hard(one, "a"), "c": two}},
		{"another name whose file was replaced stands alone", Tree{"a": one, "b": hard(one, "a")}, Tree{"a": two}, Tree{"a": two, "b": one}},
		{"another name whose file is gone stands alone", Tree{"a": one, "b": hard(one, "a")}, Tree{"a": white}, Tree{"b": one}},
		{"an upper layer's own hard links", Tree{"a": one}, Tree{"a": two, "b": hard(two, "a")}, Tree{"a": two, "b": hard(two, "a")}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.base.Clone()
			got.Apply(tt.layer)
			check(t, got, tt.want)
		})
	}
}

// Diff of two trees, applied to the first, gives the second.
func TestDiff(t *testing.T) {
	newer := with(one, func(e *Entry) { e.MTime = 5 })
	for _, tt := range []struct {
		name            string
		from, to, layer Tree
	}{
		{"the same", Tree{".": dir, "a": one}, Tree{".": dir, "a": one}, Tree{}},
		{"added", Tree{".": dir}, Tree{".": dir, "a": one}, Tree{"a": one}},
		{"changed", Tree{".": dir, "a": one}, Tree{".": dir, "a": two}, Tree{"a": two}},
		{"time of a file", Tree{".": dir, "a": one}, Tree{".": dir, "a": newer}, Tree{"a": newer}},
		{"removed", Tree{".": dir, "a": one}, Tree{".": dir}, Tree{"a": white}},
		{"removed from a root without an entry", Tree{"a": one, "b": two}, Tree{"b": two}, Tree{"a": white}},
		{"a tree removed has one whiteout", Tree{".": dir, "d": dir, "d/e": dir, "d/e/f": one}, Tree{".": dir}, Tree{"d": white}},
		{"a directory becomes a file", Tree{".": dir, "d": dir, "d/a": one}, Tree{".": dir, "d": two}, Tree{"d": two}},
		{"a directory becomes a link", Tree{".": dir, "d": dir, "d/a": one}, Tree{".": dir, "d": link("e")}, Tree{"d": link("e")}},
		{"a file becomes a directory", Tree{".": dir, "d": one}, Tree{".": dir, "d": dir, "d/a": two}, Tree{"d": dir, "d/a": two}},
		{"another name alone has the content", Tree{".": dir, "a": one}, Tree{".": dir, "a": one, "b": hard(one, "a")}, Tree{"b": one}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			layer := Diff(tt.from, tt.to)
			check(t, layer, tt.layer)
			got := tt.from.Clone()
			got.Apply(layer)
			for _, c := range Compare(tt.to, got) {
				t.Errorf("after Apply: %+v", c)
			}
		})
	}
}

// The time alone of a directory is no change: unpacking anything in it changes that.
func TestDiffDirTime(t *testing.T) {
	later := with(dir, func(e *Entry) { e.MTime = 9 })
	check(t, Diff(Tree{".": dir}, Tree{".": later}), Tree{})
}

// The root itself never goes, though not every archive has an entry for it.
func TestDiffRoot(t *testing.T) {
	check(t, Diff(Tree{".": dir, "a": one}, Tree{"a": one}), Tree{})
}

func TestWithParents(t *testing.T) {
	private := with(dir, func(e *Entry) { e.Mode = 0o700 })
	layer := Tree{"a/b/c": one, "x": white}
	layer.WithParents(Tree{".": dir, "a": private, "a/b": dir, "a/other": one})
	check(t, layer, Tree{".": dir, "a": private, "a/b": dir, "a/b/c": one, "x": white})
}

func TestCompare(t *testing.T) {
	setuid := with(one, func(e *Entry) { e.Mode = 0o4755 })
	capable := with(one, func(e *Entry) { e.Xattrs = map[string]string{"security.capability": "x"} })
	for _, tt := range []struct {
		name string
		a, b Tree
		want []Change
	}{
		{name: "nothing", a: Tree{}, b: Tree{}},
		{"added and removed, sorted", Tree{"b": one}, Tree{"a": two}, []Change{{"a", Added, Entry{}, two}, {"b", Removed, one, Entry{}}}},
		{"content", Tree{"a": one}, Tree{"a": two}, []Change{{"a", Changed, one, two}}},
		{"mode", Tree{"a": one}, Tree{"a": setuid}, []Change{{"a", Meta, one, setuid}}},
		{"attribute", Tree{"a": one}, Tree{"a": capable}, []Change{{"a", Meta, one, capable}}},
		{"time is none", Tree{"a": one}, Tree{"a": with(one, func(e *Entry) { e.MTime = 7 })}, nil},
		{"mode of a link is none", Tree{"a": link("b")}, Tree{"a": with(link("b"), func(e *Entry) { e.Mode = 0o755 })}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := Compare(tt.a, tt.b)
			same := func(x, y Change) bool {
				return x.Path == y.Path && x.Kind == y.Kind && x.Old.Equal(y.Old) && x.New.Equal(y.New)
			}
			if !slices.EqualFunc(got, tt.want, same) {
				t.Errorf("Compare:\n got %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

func TestResolve(t *testing.T) {
	tr := Tree{
		".": dir, "usr": dir, "usr/bin": dir, "bin": link("usr/bin"), "sbin": link("/usr/bin"), "usr/bin/sh": link("dash"),
		"up": link("../../../usr"), "loop": link("loop2"), "loop2": link("loop"), "self": link("."), "deep": link("up/bin/../bin"),
		"dangling": link("no/such"),
	}
	for _, tt := range []struct {
		p, parent, all string
		bad            bool
	}{
		{p: "usr/bin/sh", parent: "usr/bin/sh", all: "usr/bin/dash"},
		{p: "bin/sh", parent: "usr/bin/sh", all: "usr/bin/dash"},
		{p: "sbin/sh", parent: "usr/bin/sh", all: "usr/bin/dash"},
		{p: "up/bin/sh", parent: "usr/bin/sh", all: "usr/bin/dash"},
		{p: "deep/x", parent: "usr/bin/x", all: "usr/bin/x"},
		{p: "bin", parent: "bin", all: "usr/bin"},
		{p: "self/self/usr", parent: "usr", all: "usr"},
		{p: "../../etc", parent: "etc", all: "etc"},
		{p: "dangling/x", parent: "no/such/x", all: "no/such/x"},
		{p: "", parent: ".", all: "."},
		{p: "loop/x", bad: true},
	} {
		got, ok := tr.Resolve(tt.p)
		all, okAll := tr.ResolveAll(tt.p)
		if got != tt.parent || all != tt.all || ok == tt.bad || okAll == tt.bad {
			t.Errorf("Resolve(%q) = %q, %v and %q, %v, want %q and %q", tt.p, got, ok, all, okAll, tt.parent, tt.all)
		}
	}
}

// everything has an entry of each kind, and names that need quotes.
func everything() Tree {
	return Tree{
		".": dir, "a b": one, "ü\n\"\\": two, "l": link("to a/ü"), "c": {Type: Char, Mode: 0o600, Dev: [2]uint32{5, 1}},
		"b": {Type: Block, Mode: 0o660, GID: 6, Dev: [2]uint32{8, 255}}, "p": {Type: Fifo, Mode: 0o622, MTime: -3}, "w": white,
		"o": with(dir, func(e *Entry) { e.Opaque, e.Mode = true, 0o7777 }), "z": hard(one, "a b"),
		"x": with(one, func(e *Entry) {
			e.UID, e.GID = 1<<32-2, 65534
			e.Xattrs = map[string]string{"security.capability": "\x01\x00\xff", "user.empty": "", "user.a=b": "c=d"}
		}),
		"not utf8 \xff\xfe": two,
	}
}

func TestEncode(t *testing.T) {
	want := everything()
	delete(want["x"].Xattrs, "user.a=b") // "=" ends a name
	data := want.Encode()
	got, err := Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	check(t, got, want)
	for _, c := range Compare(got, want) {
		t.Errorf("%+v", c)
	}
	if got["z"].Hard != "a b" || got["p"].MTime != -3 {
		t.Errorf("got %+v and %+v, want another name of \"a b\" and the time -3", got["z"], got["p"])
	}
	if !bytes.Equal(want.Clone().Encode(), data) {
		t.Error("the same tree gives other bytes")
	}
}

// An attribute may be as large as the kernel lets it be, and a file may have several.
func TestEncodeLargeAttribute(t *testing.T) {
	big := strings.Repeat("\xff", 64<<10)
	want := Tree{"a": with(one, func(e *Entry) {
		e.Xattrs = map[string]string{"user.a": big, "user.b": big, "user.c": big, "user.d": big, "user.e": big}
	})}
	got, err := Decode(want.Encode())
	if err != nil {
		t.Fatal(err)
	}
	check(t, got, want)
}

func TestDecodeErrors(t *testing.T) {
	digest := strings.Repeat("0", 64)
	for _, tt := range []struct{ name, text string }{
		{"empty", ""},
		{"no header", "d 755 0 0 0 - - .\n"},
		{"unknown type", header + "\nq 755 0 0 0 - - a\n"},
		{"mode beyond 7777", header + "\nd 17777 0 0 0 - - a\n"},
		{"no digest", header + "\nf 644 0 0 0 1 - a\n"},
		{"negative size", header + "\nf 644 0 0 0 -1 " + digest + " a\n"},
		{"digest that is no hex", header + "\nf 644 0 0 0 1 " + strings.Repeat("/", 64) + " a\n"},
		{"twice", header + "\nd 755 0 0 0 - - a\nd 755 0 0 0 - - a\n"},
		{"not sorted", header + "\nd 755 0 0 0 - - b\nd 755 0 0 0 - - a\n"},
		{"no path", header + "\nd 755 0 0 0 - -\n"},
		{"absolute path", header + "\nd 755 0 0 0 - - /etc\n"},
		{"path that leaves", header + "\nd 755 0 0 0 - - ../etc\n"},
		{"path that leaves inside", header + "\nd 755 0 0 0 - - a/../../etc\n"},
		{"path that is not clean", header + "\nd 755 0 0 0 - - a//b\n"},
		{"zero byte", header + "\nd 755 0 0 0 - - \"a\\x00b\"\n"},
		{"unknown attribute", header + "\nd 755 0 0 0 - - a colour=red\n"},
		{"open quote", header + "\nd 755 0 0 0 - - \"a\n"},
		{"cut off", header + "\nf 644 0 0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := Decode([]byte(tt.text)); err == nil {
				t.Errorf("Decode gave %v, want an error", got)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(everything().Encode())
	f.Add([]byte(header + "\n"))
	f.Add([]byte(header + "\nl 777 0 0 0 - - \"a\\tb\" link=x hard=y opaque dev=1:2 x:n=v\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		tr, err := Decode(data)
		if err != nil {
			return
		}
		again, err := Decode(tr.Encode())
		if err != nil {
			t.Fatalf("what was read and written can't be read: %v", err)
		}
		if !bytes.Equal(again.Encode(), tr.Encode()) {
			t.Errorf("read and written twice:\n%s\n%s", tr.Encode(), again.Encode())
		}
		for p := range tr {
			if p != filepath.Clean(p) || filepath.IsAbs(p) || !filepath.IsLocal(p) {
				t.Errorf("path %q", p)
			}
		}
	})
}

func FuzzResolve(f *testing.F) {
	f.Add("a/b/c", "../x", "/y")
	f.Add("a/a/a", "a", "..")
	f.Fuzz(func(t *testing.T, p, to1, to2 string) {
		tr := Tree{"a": link(to1), "b": link(to2), "c": dir}
		got, ok := tr.ResolveAll(p)
		if ok && got != "." && (filepath.IsAbs(got) || slices.Contains(strings.Split(got, "/"), "..")) {
			t.Errorf("ResolveAll(%q) = %q leaves the root", p, got)
		}
	})
}

// Scan reads every kind of file, and names of one file in the order of paths.
func TestScan(t *testing.T) {
	root := t.TempDir()
	at := func(p string) string { return filepath.Join(root, p) }
	for _, err := range []error{
		os.Mkdir(at("d"), 0o755), os.WriteFile(at("d/f"), []byte("hello"), 0o600), os.Symlink("f", at("d/l")),
		os.Link(at("d/f"), at("d-f")), unix.Mkfifo(at("p"), 0o644), unix.Mknod(at("null"), unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))),
		unix.Mknod(at("gone"), unix.S_IFCHR, 0), unix.Lsetxattr(at("d"), "trusted.overlay.opaque", []byte("y"), 0),
		unix.Lsetxattr(at("d/f"), "user.k", []byte("v"), 0), unix.Chmod(at("d/f"), 0o4711), os.Chown(at("p"), 7, 8),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	got := Tree{}
	if err := Scan(root, func(p string, e *Entry) error {
		e.MTime = 0
		got[p] = *e
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	f := Entry{Type: Regular, Mode: 0o4711, Size: 5, Xattrs: map[string]string{"user.k": "v"}}
	root0 := got["."]
	check(t, got, Tree{
		".": root0, "d": {Type: Dir, Mode: 0o755, Opaque: true}, "d-f": hard(f, "d/f"), "d/f": f, "d/l": link("f"), "gone": white,
		"null": {Type: Char, Mode: 0o600, Dev: [2]uint32{1, 3}}, "p": {Type: Fifo, Mode: 0o644, UID: 7, GID: 8},
	})
}
