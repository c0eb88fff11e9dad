package resolve

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

const shop = `Package: base
Version: 1
Essential: yes
Depends: libc (>= 2)

Package: libc
Version: 2

Package: web
Version: 1
Depends: a, mta | mailer
Recommends: doc

Package: a
Version: 1.0
Depends: b (>= 2)

Package: a
Version: 0.9
Depends: b

Package: b
Version: 1.9

Package: exim
Version: 4
Provides: mailer
Conflicts: mailer

Package: postfix
Version: 3
Provides: mailer
Conflicts: mailer

Package: doc
Version: 1

Package: python
Version: 3
Multi-Arch: allowed

Package: tool
Version: 1
Depends: python:any (>= 2), doc:any

Package: script
Version: 1
Depends: python:any (>= 2), exim:amd64, postfix:i386 | doc:native

Package: lib1
Version: 1
Provides: libv (= 5), libu

Package: v4
Version: 1
Depends: libv (>= 4)

Package: v6
Version: 1
Depends: libv (>= 6)

Package: u1
Version: 1
Depends: libu (>= 1)

Package: required
Version: 1
Priority: required

Package: apt
Version: 2
Depends: web (<< 1) | libc
`

// outcome is NAME=VERSION of each package, or the error.
func outcome(r *Result, err error) string {
	if err != nil {
		return err.Error()
	}
	var list []string
	for _, c := range r.Packages {
		list = append(list, c.Name+"="+c.Version)
	}
	return strings.Join(list, " ")
}

func TestResolve(t *testing.T) {
	newer := "Package: b\nVersion: 2.1\n\nPackage: libc\nVersion: 2.1\n"
	backports := "Package: doc\nVersion: 9\n\nPackage: only\nVersion: 1\n"
	u := universe(t, shop, newer, backports)
	old := universe(t, shop)
	for _, tt := range []struct {
		name string
		r    Request
		old  bool
		want string // all of it, or with a leading … a part
	}{
		{"nothing", Request{Variant: None}, false, ""},
		{"essential", Request{Variant: Essential}, false, "base=1 libc=2.1"},
		{"minbase", Request{Variant: Minbase}, false, "apt=2 base=1 libc=2.1 required=1"},
		{"a need of another suite", Request{Ask: asks("web", "exim")}, false, "a=1.0 b=2.1 exim=4 web=1"},
		{"the later mentioned provides", Request{Ask: asks("web")}, false, "a=1.0 b=2.1 postfix=3 web=1"},
		{"the order asked in", Request{Ask: asks("exim", "web")}, false, "a=1.0 b=2.1 exim=4 web=1"},
		{"Recommends", Request{Ask: asks("web"), Recommends: true}, false, "a=1.0 b=2.1 doc=1 postfix=3 web=1"},
		{"Recommends, but not that", Request{Ask: asks("web"), Recommends: true, Exclude: []string{"doc"}}, false, "a=1.0 b=2.1 postfix=3 web=1"},
		{"an exact version", Request{Ask: asks("a=0.9", "b=1.9")}, false, "a=0.9 b=1.9"},
		{"the other alternative", Request{Ask: asks("web"), Exclude: []string{"postfix"}}, false, "a=1.0 b=2.1 exim=4 web=1"},
		{"qualifiers", Request{Ask: asks("script")}, false, "doc=1 exim=4 python=3 script=1"},
		{":any of what isn't for any", Request{Ask: asks("tool")}, false, "…tool 1 depends on doc:any; there is no doc"},
		{"provides a version", Request{Ask: asks("v4")}, false, "lib1=1 v4=1"},
		{"provides too old a version", Request{Ask: asks("v6")}, false, "…v6 1 depends on libv (>= 6); no version of a package that may be installed provides libv (>= 6)"},
		{"provides no version", Request{Ask: asks("u1")}, false, "…provides libu (>= 1)"},
		{"asked for what one provides", Request{Ask: asks("libu")}, false, "lib1=1"},
		{"asked for what two provide", Request{Ask: asks("mailer")}, false, "…several packages provide it"},
		{"NotAutomatic", Request{Ask: asks("doc", "only")}, false, "doc=1 only=1"},
		{"pinned to a suite", Request{Ask: asks("doc"), Pins: []Pin{{Package: "doc", Release: "backports", Priority: 600}}}, false, "doc=9"},
		{"every package pinned to a suite", Request{Ask: asks("doc"), Pins: []Pin{{Package: "*", Release: "backports", Priority: 501}}}, false, "doc=9"},
		{"pinned to a version", Request{Ask: asks("b"), Pins: []Pin{{Package: "b*", Version: "1.*", Priority: 1000}}}, false, "b=1.9"},
		{"the first pin counts", Request{Ask: asks("b"), Pins: []Pin{{Package: "b", Version: "2.1", Priority: 900}, {Package: "b", Version: "1.9", Priority: 1000}}}, false, "b=1.9"},
		{"a negative pin", Request{Ask: asks("web"), Pins: []Pin{{Package: "postfix", Release: "stable", Priority: -1}}}, false, "a=1.0 b=2.1 exim=4 web=1"},
		{"asked for a pinned-out one", Request{Ask: asks("doc"), Pins: []Pin{{Package: "doc", Origin: "Test", Priority: -1}}}, false, "…its pins are negative"},
		{"a need is pinned out", Request{Ask: asks("web"), Pins: []Pin{{Package: "a", Version: "*", Priority: -1}}}, false, "…depends on a; no version of a may be installed: its pins are negative"},
		{"a chain", Request{Ask: asks("web")}, true,
			"no set of packages meets the request: web is asked for; web 1 depends on a; a 1.0 depends on b (>= 2); b has only 1.9 in test/stable"},
		{"the other version by hand", Request{Ask: asks("web", "a=0.9")}, true, "a=0.9 b=1.9 postfix=3 web=1"},
		{"two that conflict", Request{Ask: asks("exim", "postfix")}, false, "…exim 4 conflicts with mailer; postfix 3 provides that; postfix is asked for"},
		{"excluded, but needed", Request{Ask: asks("web"), Exclude: []string{"b"}}, false,
			"package b is excluded, but needed: web is asked for; web 1 depends on a; a 1.0 depends on b (>= 2); b is excluded"},
		{"asked for and excluded", Request{Ask: asks("web"), Exclude: []string{"web"}}, false, "package web is excluded, but needed: web is asked for"},
		{"no such version", Request{Ask: asks("b=3")}, false, "…b is asked for in version 3; it has only 2.1 in test/stable-updates, 1.9 in test/stable"},
		{"two versions", Request{Ask: asks("b=1.9", "b=2.1")}, false, "b is asked for as 1.9 and as 2.1"},
		{"no such package", Request{Ask: asks("postfx")}, false, "package postfx: there is none of this name"},
		{"another architecture", Request{Ask: []Ask{{Name: "b", Arch: "i386"}}}, false, "package b:i386: only packages for amd64 are looked at"},
		{"its own architecture", Request{Ask: []Ask{{Name: "b", Arch: "amd64"}}}, false, "b=2.1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := u
			if tt.old {
				in = old
			}
			got := outcome(Resolve(in, tt.r))
			if part, ok := strings.CutPrefix(tt.want, "…"); ok && strings.Contains(got, part) {
				return
			}
			if got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestFacts(t *testing.T) {
	r, err := Resolve(universe(t, shop, "Package: b\nVersion: 2.1\n"), Request{Variant: Essential, Ask: asks("web")})
	if err != nil {
		t.Fatal(err)
	}
	var essential, asked []string
	for _, c := range r.Packages {
		if c.Essential {
			essential = append(essential, c.Name)
		}
		if c.Asked {
			asked = append(asked, c.Name)
		}
	}
	if want := []string{"base", "libc"}; !slices.Equal(essential, want) {
		t.Errorf("essential: %v, want %v", essential, want)
	}
	if want := []string{"web"}; !slices.Equal(asked, want) {
		t.Errorf("asked: %v, want %v", asked, want)
	}
	reasons := r.Reasons()
	want := []Link{{"web 1", "Depends", "a", "asked for"}, {"a 1.0", "Depends", "b (>= 2)", ""}, {"b 2.1", "", "", ""}}
	if got := reasons.Why("b"); !slices.Equal(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	want = []Link{{"base 1", "Depends", "libc (>= 2)", "essential"}, {"libc 2", "", "", ""}}
	if got := reasons.Why("libc"); !slices.Equal(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	if got := reasons.Why("nothing"); got != nil {
		t.Errorf("got %+v for what isn't in the set", got)
	}
}

// Reasons come from a file: what is wrong in them gives no chain, and ends.
func TestWhyOfDamagedReasons(t *testing.T) {
	rs := Reasons{"a": {Package: "a 1", From: "b"}, "b": {Package: "b 1", From: "a"}, "c": {Package: "c 1", From: "lost"}, "d": {Package: "d 1"}}
	for name := range rs {
		if got := rs.Why(name); got != nil {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

func TestNearNames(t *testing.T) {
	_, err := Resolve(universe(t, shop), Request{Ask: asks("postfx", "maler")})
	var hints []string
	for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
		if unknown, ok := errors.AsType[*UnknownError](e); ok {
			hints = append(hints, unknown.Hint())
		}
	}
	if want := []string{"do you mean postfix?", "do you mean mailer?"}; !slices.Equal(hints, want) {
		t.Errorf("got %q, want %q", hints, want)
	}
}

func TestLocked(t *testing.T) {
	old := "Package: ssl\nVersion: 1\nDepends: libssl (= 1)\n\nPackage: libssl\nVersion: 1\n\nPackage: app\nVersion: 1\nDepends: ssl, zlib\n\nPackage: zlib\nVersion: 1\n"
	newer := "Package: ssl\nVersion: 2\nDepends: libssl (= 2)\n\nPackage: libssl\nVersion: 2\n\nPackage: zlib\nVersion: 2\n"
	u := universe(t, old, newer)
	locked := []Locked{{Name: "app", Version: "1"}, {Name: "libssl", Version: "1"}, {Name: "ssl", Version: "1"}, {Name: "zlib", Version: "1"}}
	for _, tt := range []struct {
		name   string
		r      Request
		locked []Locked
		want   string
	}{
		{"not locked", Request{Ask: asks("app")}, nil, "app=1 libssl=2 ssl=2 zlib=2"},
		{"kept", Request{Ask: asks("app")}, locked, "app=1 libssl=1 ssl=1 zlib=1"},
		{"one moves", Request{Ask: asks("app"), Update: []string{"zlib"}}, locked, "app=1 libssl=1 ssl=1 zlib=2"},
		{"one takes another along", Request{Ask: asks("app"), Update: []string{"ssl"}}, locked, "app=1 libssl=2 ssl=2 zlib=1"},
		{"one can't move alone", Request{Ask: asks("app"), Update: []string{"libssl"}}, locked, "app=1 libssl=2 ssl=2 zlib=1"},
		{"asked for exactly", Request{Ask: asks("app", "ssl=2")}, locked, "app=1 libssl=2 ssl=2 zlib=1"},
		{"gone from the archive", Request{Ask: asks("app")}, []Locked{{Name: "zlib", Version: "0.9"}, {Name: "ssl", Version: "1"}, {Name: "libssl", Version: "1"}}, "app=1 libssl=1 ssl=1 zlib=2"},
		{"another build", Request{Ask: asks("app")}, []Locked{{Name: "zlib", Version: "1", SHA256: "x"}}, "app=1 libssl=2 ssl=2 zlib=2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.r.Locked = tt.locked
			if got := outcome(Resolve(u, tt.r)); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// TestLockedAlternative keeps an alternative that would not be chosen now.
func TestLockedAlternative(t *testing.T) {
	u := universe(t, shop, "Package: b\nVersion: 2.1\n")
	r := Request{Ask: asks("web"), Locked: []Locked{{Name: "exim", Version: "4"}}}
	if got, want := outcome(Resolve(u, r)), "a=1.0 b=2.1 exim=4 web=1"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestMalformedField(t *testing.T) {
	u := universe(t, "Package: a\nVersion: 1\nDepends: b (>=\n\nPackage: b\nVersion: 1\n")
	if got, part := outcome(Resolve(u, Request{Ask: asks("a")})), "a 1 in test/stable: Depends: "; !strings.Contains(got, part) {
		t.Errorf("got %s, want …%s…", got, part)
	}
}
