package apt

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"brickyard/internal/bake/apt/apttest"
)

// hostDir makes a root with these files.
func hostDir(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestHostSources(t *testing.T) {
	indented := strings.ReplaceAll(strings.TrimSpace(strings.ReplaceAll(string(apttest.ArmoredKeyring()), "\n\n", "\n.\n")), "\n", "\n ")
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  []string // URI suite components @keys
		err   string
	}{
		{"nothing", nil, nil, ""},
		{"one line", map[string]string{"etc/apt/sources.list": "# a comment\ndeb http://archive.example/debian/ stable main contrib # more\ndeb-src http://x y z\n"},
			[]string{"http://archive.example/debian stable main contrib @1"}, ""},
		{"options", map[string]string{"etc/apt/sources.list": "deb [ arch=amd64,i386 signed-by=/usr/share/keyrings/k.gpg ] http://archive.example stable main\n"},
			[]string{"http://archive.example stable main @2"}, ""},
		{"options without space", map[string]string{"etc/apt/sources.list.d/a.list": "deb [signed-by=/usr/share/keyrings/k.gpg] http://archive.example ./\n"},
			[]string{"http://archive.example ./ @2"}, ""},
		{"deb822, several of each", map[string]string{"etc/apt/sources.list.d/a.sources": "# x\nTypes: deb deb-src\nURIs: http://a.example http://b.example\nSuites: stable stable-updates\n# y\nComponents: main\n\nTypes: deb\nEnabled: no\nURIs: x\nSuites: y\n"},
			[]string{"http://a.example stable main @1", "http://a.example stable-updates main @1", "http://b.example stable main @1", "http://b.example stable-updates main @1"}, ""},
		{"a key in the source", map[string]string{"etc/apt/sources.list.d/a.sources": "Types: deb\nURIs: http://a.example\nSuites: stable\nComponents: main\nSigned-By:\n " + indented + "\n"},
			[]string{"http://a.example stable main @1"}, ""},
		{"a fingerprint", map[string]string{"etc/apt/sources.list.d/a.sources": "Types: deb\nURIs: http://a.example\nSuites: stable\nComponents: main\nSigned-By: /usr/share/keyrings/k.gpg " + apttest.OtherKey.Fingerprint() + "\n"},
			[]string{"http://a.example stable main @1"}, ""},
		{"a list of mirrors", map[string]string{"etc/apt/sources.list": "deb mirror+file:/etc/apt/m stable main", "etc/apt/m": "# x\nhttp://a.example\tpriority:1\nhttp://b.example\n"},
			[]string{"http://a.example stable main @1"}, ""},
		{"order and odd names", map[string]string{"etc/apt/sources.list.d/b.list": "deb http://b.example s main", "etc/apt/sources.list.d/a.sources": "Types: deb\nURIs: http://a.example\nSuites: s\nComponents: main\n",
			"etc/apt/sources.list.d/c.list.save": "no", "etc/apt/sources.list.d/d e.list": "no", "etc/apt/sources.list": "deb http://z.example s main"},
			[]string{"http://z.example s main @1", "http://a.example s main @1", "http://b.example s main @1"}, ""},
		{"no suite", map[string]string{"etc/apt/sources.list": "\ndeb http://a.example\n"}, nil, "line 2: a source needs"},
		{"unknown type", map[string]string{"etc/apt/sources.list": "rpm a b c\n"}, nil, `line 1: type "rpm"`},
		{"open bracket", map[string]string{"etc/apt/sources.list": "deb [arch=amd64 http://a.example s main\n"}, nil, "bracket"},
		{"no components", map[string]string{"etc/apt/sources.list": "deb http://a.example stable\n"}, nil, "components"},
		{"deb822 without URIs", map[string]string{"etc/apt/sources.list.d/a.sources": "Types: deb\nSuites: x\n"}, nil, "line 1: a source needs"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			files := map[string]string{
				"etc/apt/trusted.gpg":             "",
				"etc/apt/trusted.gpg.d/k.asc":     string(apttest.ArmoredKeyring()),
				"usr/share/keyrings/k.gpg":        string(apttest.Keyring()) + string(apttest.OtherKey.Public()),
				"etc/apt/trusted.gpg.d/README":    "no",
				"etc/apt/trusted.gpg.d/.swap.asc": "no",
			}
			maps.Copy(files, tt.files)
			h, err := HostSources(hostDir(t, files))
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("got %v\nwant …%s…", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, s := range h.Sources {
				if s.problem != nil {
					t.Errorf("%s: %v", s, s.problem)
				}
				got = append(got, s.String()+" @"+string(rune('0'+len(s.Keys.Fingerprints()))))
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

func TestSelect(t *testing.T) {
	const debian = "Types: deb\nURIs: http://a.example/debian\nSuites: bookworm bookworm-updates bookworm-backports\nComponents: main contrib\n\n" +
		"Types: deb\nURIs: http://a.example/security\nSuites: bookworm-security\nComponents: main\n\n" +
		"Types: deb\nURIs: http://c.example\nSuites: bookworm\nComponents: stable\n"
	const release = "ID=debian\nVERSION_CODENAME=bookworm\n"
	key, err := ReadKeys("recipe", apttest.OtherKey.Public())
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, sources, release string
		keys                   bool // that the host trusts
		want                   Want
		got                    []string // ID URI suite components
		err                    string
	}{
		{"its own suite", debian, release, true, Want{Distro: "debian", Suite: "bookworm"},
			[]string{"debian/bookworm http://a.example/debian bookworm main contrib", "debian/bookworm-updates http://a.example/debian bookworm-updates main contrib",
				"debian/bookworm-security http://a.example/security bookworm-security main"}, ""},
		{"other components", debian, release, true, Want{Distro: "debian", Suite: "bookworm", Components: []string{"non-free"}},
			[]string{"debian/bookworm http://a.example/debian bookworm non-free", "debian/bookworm-updates http://a.example/debian bookworm-updates non-free",
				"debian/bookworm-security http://a.example/security bookworm-security non-free"}, ""},
		{"another suite", debian, release, true, Want{Distro: "debian", Suite: "trixie"},
			[]string{"debian/trixie http://a.example/debian trixie main contrib", "debian/trixie-updates http://a.example/debian trixie-updates main contrib",
				"debian/trixie-security http://a.example/security trixie-security main"}, ""},
		{"an old suite", debian, release, true, Want{Distro: "debian", Suite: "buster", Components: []string{"main"}},
			[]string{"debian/buster http://a.example/debian buster main", "debian/buster-updates http://a.example/debian buster-updates main",
				"debian/buster/updates http://a.example/security buster/updates main"}, ""},
		{"another distribution", debian, release, true, Want{Distro: "ubuntu", Suite: "noble"}, nil, "no source for ubuntu noble"},
		{"no apt", "", "", true, Want{Distro: "debian", Suite: "bookworm"}, nil, "no source for debian bookworm"},
		{"mirror", "", "", true, Want{Distro: "debian", Suite: "trixie", Mirror: "https://m.example/debian/", Suites: []string{"trixie-updates"}},
			[]string{"debian/trixie https://m.example/debian trixie main", "debian/trixie-updates https://m.example/debian trixie-updates main"}, ""},
		{"mirror, no keys", "", "", false, Want{Distro: "debian", Suite: "trixie", Mirror: "https://m.example/debian"}, nil, "trusts no key for https://m.example/debian"},
		{"mirror, own keys", "", "", false, Want{Distro: "debian", Suite: "trixie", Mirror: "https://m.example/debian", Keys: key},
			[]string{"debian/trixie https://m.example/debian trixie main"}, ""},
		{"trusted=yes", "Types: deb\nURIs: http://a.example\nSuites: bookworm\nComponents: main\nTrusted: yes\n", release, true,
			Want{Distro: "debian", Suite: "bookworm"}, nil, "sources.list.d/a.sources:1: trusted=yes"},
		{"trusted=yes elsewhere", debian + "\nTypes: deb\nURIs: http://d.example\nSuites: ./\nTrusted: yes\n", release, true,
			Want{Distro: "debian", Suite: "bookworm", Components: []string{"main"}},
			[]string{"debian/bookworm http://a.example/debian bookworm main", "debian/bookworm-updates http://a.example/debian bookworm-updates main",
				"debian/bookworm-security http://a.example/security bookworm-security main"}, ""},
		{"cdrom", "Types: deb\nURIs: cdrom:[Debian]/\nSuites: bookworm\nComponents: main\n", release, true,
			Want{Distro: "debian", Suite: "bookworm"}, nil, "cdrom:[Debian]/: discs are not read"},
		{"keyring that isn't there", "Types: deb\nURIs: http://a.example\nSuites: bookworm\nComponents: main\nSigned-By: /no/such.gpg\n", release, true,
			Want{Distro: "debian", Suite: "bookworm"}, nil, "no/such.gpg"},
		{"bad mirror", "", "", true, Want{Distro: "debian", Suite: "trixie", Mirror: "ftp://m.example"}, nil, "ftp: is not supported"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			files := map[string]string{"etc/os-release": tt.release, "etc/apt/sources.list.d/a.sources": tt.sources}
			if tt.keys {
				files["etc/apt/trusted.gpg.d/k.gpg"] = string(apttest.Keyring())
			}
			h, err := HostSources(hostDir(t, files))
			if err != nil {
				t.Fatal(err)
			}
			sources, err := h.Select(tt.want)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("got %v\nwant …%s…", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, s := range sources {
				got = append(got, s.ID+" "+s.String())
			}
			if !slices.Equal(got, tt.got) {
				t.Errorf("got  %q\nwant %q", got, tt.got)
			}
		})
	}
}

// TestThirdParty has a source of the host's suite that is of somebody else.
func TestThirdParty(t *testing.T) {
	mine, theirs := testArchive(), testArchive()
	mine.Options("stable").Origin = "Debian"
	theirs.Options("stable").Origin = "Somebody"
	a, b := mine.Server(t), theirs.Server(t)
	root := hostDir(t, map[string]string{
		"etc/apt/trusted.gpg.d/k.gpg": string(apttest.Keyring()),
		"etc/apt/sources.list":        "deb " + b.URL + " stable main\ndeb " + a.URL + " stable main\n",
	})
	h, err := HostSources(root)
	if err != nil {
		t.Fatal(err)
	}
	for distro, want := range map[string]string{"debian": a.URL, "ubuntu": ""} {
		sources, err := h.Select(Want{Distro: distro, Suite: "stable"})
		if err != nil {
			t.Fatal(err)
		}
		l := &Loader{Client: fastClient(t), Cache: t.TempDir(), Arch: "amd64", Now: func() time.Time { return testNow }}
		u, err := l.Load(t.Context(), sources)
		if want == "" {
			if err == nil || !strings.Contains(err.Error(), `is of origin "`) {
				t.Errorf("%s: got %v", distro, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(u.Releases) != 1 || !slices.Equal(u.Releases[0].Source.URIs, []string{want}) {
			t.Errorf("%s: got %+v", distro, u.Releases)
		}
	}
}

func FuzzSources(f *testing.F) {
	f.Add("deb [signed-by=/x arch=amd64] http://a.example s main # x\n", "Types: deb\nURIs: a:b\nSuites: s\nComponents: main\n")
	f.Fuzz(func(t *testing.T, list, deb822 string) {
		for _, p := range []*sourceParser{{root: "/nonexistent"}} {
			if p.oneLine([]byte(list)) == nil && p.deb822([]byte(deb822)) == nil {
				for _, s := range p.sources {
					if len(s.URIs) == 0 || s.Suite == "" || s.Flat() != (len(s.Components) == 0) {
						t.Fatalf("took %+v", s)
					}
				}
			}
		}
	})
}

func FuzzRelease(f *testing.F) {
	files, err := testArchive().Files()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(files["dists/stable/InRelease"])
	f.Add(files["dists/stable/Release"])
	ring, err := ReadKeys("test", apttest.Keyring())
	if err != nil {
		f.Fatal(err)
	}
	src := Source{Suite: "stable", Keys: ring}
	good, err := parseInRelease("u", files["dists/stable/InRelease"], src, testNow)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if r, err := parseInRelease("u", data, src, testNow); err == nil && r.SHA256 != good.SHA256 {
			t.Fatalf("took a text that nobody signed: %q", data)
		}
		parseRelease("u", data, nil, src, testNow)
	})
}
