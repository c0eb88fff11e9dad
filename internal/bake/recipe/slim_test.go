package recipe

import (
	"path"
	"strings"
	"testing"
)

func matcher(t *testing.T, kinds ...string) Matcher {
	t.Helper()
	m, err := Slim(kinds)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestSlim(t *testing.T) {
	m := matcher(t, slimNames()...)
	for name, want := range map[string]string{
		"usr/share/doc":                                     "",
		"usr/share/doc/nginx":                               "", // may be a link to another package's
		"usr/share/doc/nginx/copyright":                     "",
		"usr/share/doc/nginx/NOTICE.gz":                     "",
		"usr/share/doc/nginx/changelog.Debian.gz":           "docs",
		"usr/share/doc/nginx/examples/copyright":            "docs",
		"usr/share/documents/x":                             "",
		"usr/share/lintian/overrides/nginx":                 "docs",
		"usr/share/man/man8/nginx.8.gz":                     "man",
		"usr/share/man":                                     "",
		"usr/share/info/dir":                                "info",
		"usr/share/locale/locale.alias":                     "",
		"usr/share/zoneinfo/Etc/UTC":                        "",
		"usr/share/locale/de/LC_MESSAGES/x.mo":              "locales",
		"usr/lib/locale/C.utf8/LC_CTYPE":                    "",
		"usr/lib/locale/C.UTF-8/LC_MESSAGES/SYS_LC":         "",
		"usr/lib/locale/locale-archive":                     "locales",
		"usr/share/i18n/locales/de_DE":                      "locales",
		"usr/share/i18n/locales/POSIX":                      "",
		"var/lib/apt/lists/archive.example_InRelease":       "apt",
		"var/lib/apt/lists/partial":                         "",
		"var/lib/apt/extended_states":                       "",
		"var/cache/apt/pkgcache.bin":                        "apt",
		"var/cache/apt/archives/x.deb":                      "apt",
		"var/cache/apt/archives/partial":                    "",
		"var/lib/dpkg/status":                               "",
		"var/lib/dpkg/status-old":                           "dpkg-cache",
		"var/lib/dpkg/info/x-old":                           "",
		"var/lib/dpkg/available":                            "dpkg-cache",
		"var/cache/debconf/config.dat":                      "",
		"var/cache/debconf/config.dat-old":                  "dpkg-cache",
		"var/cache/ldconfig/aux-cache":                      "caches",
		"tmp/x":                                             "caches",
		"tmp":                                               "",
		"srv/tmp/x":                                         "",
		"usr/lib/python3/dist-packages/a/__pycache__/b.pyc": "pyc",
		"usr/lib/python3/dist-packages/a/__pycache__":       "pyc",
		"__pycache__/b.pyc":                                 "pyc",
		"usr/lib/x86_64-linux-gnu/libz.a":                   "static",
		"usr/lib/libz.a":                                    "static",
		"usr/lib/libz.so":                                   "",
		"usr/lib/x86_64-linux-gnu/gconv/EUC-JP.so":          "gconv",
		"usr/share/zoneinfo/Europe/Berlin":                  "zoneinfo",
		"usr/include/zlib.h":                                "headers",
		"usr/lib/x86_64-linux-gnu/pkgconfig/zlib.pc":        "headers",
		"etc/passwd":                                        "",
		"":                                                  "",
	} {
		got, ok := m.Match(name)
		if got != want || ok != (want != "") {
			t.Errorf("Match(%q): got %q, %v, want %q", name, got, ok, want)
		}
	}
}

func TestSlimTakesOnlyWhatItIsTold(t *testing.T) {
	if kind, ok := (Matcher{}).Match("usr/share/man/x"); ok {
		t.Errorf("the zero value takes %s", kind)
	}
	if kind, ok := matcher(t, "docs").Match("usr/share/man/x"); ok {
		t.Errorf("docs takes %s", kind)
	}
	if _, err := Slim([]string{"docks"}); err == nil {
		t.Error("an unknown kind is no error")
	}
}

// The string form goes into cache keys: changing what a kind takes must change it, and nothing else may.
func TestMatcherString(t *testing.T) {
	a, b := matcher(t, "man", "docs").String(), matcher(t, "docs", "man").String()
	if a != b || !strings.HasPrefix(a, "docs,man@") {
		t.Errorf("got %q and %q", a, b)
	}
	if c := matcher(t, "docs").String(); c == a {
		t.Errorf("docs alone is %q, too", c)
	}
	m := matcher(t, "docs")
	m.kinds[0].keep = m.kinds[0].keep[1:]
	if m.String() == matcher(t, "docs").String() {
		t.Error("another exception, the same string")
	}
}

func TestSlimKindsAreSound(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range SlimKinds() {
		if seen[k.Name] || k.Describe == "" || k.Why == "" || len(k.Paths) == 0 {
			t.Errorf("kind %q is there twice or lacks something", k.Name)
		}
		seen[k.Name] = true
		for _, g := range append(k.Paths, k.Keep...) {
			if _, err := path.Match(g, ""); err != nil || strings.HasPrefix(g, "/") || path.Clean(g) != g {
				t.Errorf("%s: bad glob %q", k.Name, g)
			}
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	m, err := Slim(slimNames())
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		m.Match("usr/lib/x86_64-linux-gnu/perl-base/unicore/lib/Age/V110.pl")
	}
}
