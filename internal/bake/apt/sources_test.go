package apt

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"brickyard/internal/bake/apt/apttest"
)

// suites is an archive of a package for each suite and component, and what is out of the ordinary.
func suites(srvDate time.Time) *apttest.Archive {
	a := apttest.New()
	a.Add("stable", "main", apttest.Package{Name: "main-amd64", Arch: "amd64"}, apttest.Package{Name: "main-all"}, apttest.Package{Name: "main-arm64", Arch: "arm64"})
	a.Add("stable", "contrib", apttest.Package{Name: "contrib"})
	a.Add("stable-updates", "main", apttest.Package{Name: "updates"})
	a.Add("stable-security", "main", apttest.Package{Name: "security"})
	a.Add("flat/", "", apttest.Package{Name: "flat"})
	for _, s := range []string{"stable", "stable-updates", "stable-security"} {
		a.Options(s).Origin, a.Options(s).Date = "Debian", srvDate
	}
	return a
}

// TestSourcesLikeApt reads sources as the real apt-get does: with the same packages, or an error, as the outcome.
func TestSourcesLikeApt(t *testing.T) {
	const all = "contrib main-all main-amd64 security updates"
	date := time.Now().Add(-time.Hour).Truncate(time.Second)
	later := func(d time.Duration) func(*apttest.Archive) {
		return func(a *apttest.Archive) { a.Options("stable").ValidUntil = date.Add(d) }
	}
	deb822 := func(more string) string {
		return "Types: deb\nURIs: URL\nSuites: stable\nComponents: main contrib\n" + more
	}
	for _, tt := range []struct {
		name    string
		archive func(*apttest.Archive)
		list    string // sources.list
		sources string // sources.list.d/x.sources
		files   map[string]string
		want    string // packages
		err     string // or part of the error
		differs string // why apt's outcome is another
	}{
		{name: "one line", list: "deb URL stable main", want: "main-all main-amd64"},
		{name: "slashes behind", list: "deb URL// stable main", want: "main-all main-amd64"},
		{name: "two components", list: "deb URL stable main contrib", want: "contrib main-all main-amd64"},
		{name: "components on lines of their own", list: "deb URL stable main\ndeb URL stable-updates main\ndeb URL stable contrib\ndeb-src URL stable main\ndeb URL stable-security main", want: all},
		{name: "all pockets in one paragraph", sources: "Types: deb-src deb\nURIs: URL\nSuites: stable stable-updates\n stable-security\nComponents: main\n contrib\n", want: all,
			archive: func(a *apttest.Archive) {
				a.Add("stable-updates", "contrib", apttest.Package{Name: "updates"})
				a.Add("stable-security", "contrib", apttest.Package{Name: "security"})
			}},
		{name: "comments", list: "# deb URL stable nonsense\ndeb URL stable main # contrib\n   # x\n\n", want: "main-all main-amd64"},
		{name: "comments in a paragraph", sources: "# x\nTypes: deb\n# y\nURIs: URL\n#Suites: y\nSuites: stable\nComponents: main\n# contrib\n", want: "main-all main-amd64"},
		{name: "switched off", sources: deb822("Enabled: no\n") + "\n" + deb822("Enabled: nonsense\nComponents: main\n"), want: "main-all main-amd64"},
		{name: "switched off by a number", list: "deb URL stable main", sources: deb822("Enabled: 0\n"), want: "main-all main-amd64"},
		{name: "two addresses", sources: strings.Replace(deb822(""), "URL", "URL URL/", 1), want: "contrib main-all main-amd64"},

		{name: "arch", list: "deb [arch=amd64,arm64] URL stable main", want: "main-all main-amd64"},
		{name: "another arch, and one for any", list: "deb [arch=arm64] URL stable main\ndeb URL stable-updates main", want: "updates",
			differs: "it takes what arm64 has for all"},
		{name: "another arch", list: "deb [arch=arm64] URL stable main", err: "is not for amd64", differs: "it has nothing, and is content"},
		{name: "another arch added", list: "deb [ arch+=arm64 lang=de,en target-=Translations pdiffs=no ] URL stable main", want: "main-all main-amd64"},
		{name: "no packages", list: "deb [target=Translations] URL stable main", err: "is not for packages", differs: "it has nothing, and is content"},
		{name: "arch taken away", sources: deb822("Architectures-Remove: arm64\nLanguages: none\n"), want: "contrib main-all main-amd64"},
		{name: "a component that isn't there", list: "deb URL stable main nonsense", err: `component "nonsense"`, differs: "it warns"},
		{name: "trusted=yes", list: "deb [trusted=yes] URL stable main", err: "trusted=yes asks to believe it without a signature", differs: "it believes"},
		{name: "Trusted: yes", sources: deb822("Trusted: yes\n"), err: "trusted=yes", differs: "it believes"},
		{name: "trusted=no", list: "deb [trusted=no] URL stable main", err: "trusted=no", differs: "it refuses to install only"},
		{name: "allow-insecure", list: "deb [allow-insecure=yes allow-weak=yes] URL stable main", archive: func(a *apttest.Archive) { a.Options("stable").Unsigned = true },
			err: "it has no signature", differs: "it warns"},

		{name: "expired", list: "deb URL stable main", archive: later(time.Minute), err: "was valid until"},
		{name: "expired, but who cares", list: "deb [check-valid-until=no] URL stable main", archive: later(time.Minute), want: "main-all main-amd64"},
		{name: "check-valid-until of another suite", list: "deb [check-valid-until=no] URL stable-updates main\ndeb URL stable main", archive: later(time.Minute), err: "was valid until"},
		{name: "check-date=no", list: "deb [check-date=no] URL stable main", archive: later(time.Minute), err: "was valid until", differs: "the clock is what all of this is about"},
		{name: "expired, valid longer here", sources: deb822("Valid-Until-Min: 36000\n"), archive: later(time.Minute), want: "contrib main-all main-amd64"},
		{name: "expired, valid not long enough here", sources: deb822("Valid-Until-Min: 60\n"), archive: later(time.Minute), err: "was valid until"},
		{name: "valid for less long here", list: "deb [valid-until-max=60] URL stable main", err: "was valid until"},
		{name: "valid for less long than it says", list: "deb [valid-until-max=60] URL stable main", archive: later(24 * time.Hour), err: "was valid until"},
		{name: "valid for a day", list: "deb [valid-until-max=86400] URL stable main", want: "main-all main-amd64"},
		{name: "inrelease-path", list: "deb [inrelease-path=by-date/1] URL stable main", want: "main-all main-amd64", archive: func(a *apttest.Archive) {
			a.Options("stable").Edit = func(files map[string][]byte) {
				files["dists/stable/by-date/1"] = files["dists/stable/InRelease"]
				delete(files, "dists/stable/InRelease")
			}
		}},
		{name: "inrelease-path, and nothing there", list: "deb [inrelease-path=by-date/1] URL stable main", err: "404"},

		{name: "file:", list: "deb file:DIR stable main", want: "main-all main-amd64"},
		{name: "file://", list: "deb file://DIR/ stable main", want: "main-all main-amd64"},
		{name: "copy:", list: "deb copy:DIR stable main", want: "main-all main-amd64"},
		{name: "a directory that isn't there", list: "deb file:/nonexistent stable main", err: "no such file"},
		{name: "a list of mirrors", list: "deb mirror+file:ROOT/mirrors stable main", files: map[string]string{"mirrors": "file:/nonexistent\tpriority:9\nURL\tpriority:1\n"}, want: "main-all main-amd64"},
		{name: "a list of mirrors, the second is there", list: "deb mirror+file:ROOT/mirrors stable main", files: map[string]string{"mirrors": "# x\nfile:/nonexistent\tpriority:1\nURL\tpriority:2\n"}, want: "main-all main-amd64"},
		{name: "a list of mirrors that isn't there", list: "deb mirror+file:ROOT/mirrors stable main", err: "list of mirrors"},
		{name: "a disc, too", list: "deb cdrom:[Debian 12 _Bookworm_]/ stable main contrib\ndeb URL stable main", want: "main-all main-amd64", differs: "it asks for the disc"},
		{name: "a disc only", list: "deb cdrom:[Debian 12 _Bookworm_]/ stable main", err: "discs are not read"},
		{name: "a protocol that is unknown", list: "deb ftp://archive.example stable main", err: "ftp: is not supported"},

		{name: "no suite", list: "deb URL", err: "an address and a suite"},
		{name: "no component", list: "deb URL stable", err: "components"},
		{name: "components of a path", list: "deb URL flat/ main", err: "components"},
		{name: "an unknown type", list: "rpm URL stable main", err: `type "rpm"`},
		{name: "a bracket that is open", list: "deb [arch=amd64 URL stable main", err: "bracket"},
		{name: "an option without a value", list: "deb [trusted] URL stable main", err: "has no value"},
		{name: "no URIs", sources: "Types: deb\nSuites: stable\nComponents: main\n", err: "needs URIs and Suites"},
		{name: "no field", sources: "Types deb\nURIs: URL\nSuites: stable\nComponents: main\n", err: "not a field"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			archive := suites(date)
			if tt.archive != nil {
				tt.archive(archive)
			}
			srv, dir := archive.Server(t), t.TempDir()
			if err := archive.Write(dir); err != nil {
				t.Fatal(err)
			}
			a := apttest.NewApt(t, "amd64", nil)
			fill := func(root string) map[string]string {
				r := strings.NewReplacer("URL", srv.URL, "DIR", dir, "ROOT", root)
				files := map[string]string{"etc/apt/sources.list": r.Replace(tt.list), "etc/apt/sources.list.d/x.sources": r.Replace(tt.sources),
					"etc/apt/trusted.gpg.d/k.gpg": public(apttest.TestKey)}
				for name, text := range tt.files {
					files[name] = r.Replace(text)
				}
				return files
			}
			ours, err := hostPackages(t, hostDir(t, fill("")))
			switch {
			case tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)):
				t.Errorf("got %v\nwant …%s…", err, tt.err)
			case err == nil && ours != tt.want:
				t.Errorf("got  %s\nwant %s", ours, tt.want)
			}
			for name, text := range fill(a.Root) {
				a.Write(t, name, text)
			}
			theirs, err := aptPackages(a)
			same := (err != nil) == (tt.err != "") && (err != nil || theirs == tt.want)
			if same != (tt.differs == "") {
				t.Errorf("apt has %s, %v", theirs, err)
			}
		})
	}
}

// aptPackages are the names of all packages for amd64 that apt has after an update.
func aptPackages(a *apttest.Apt) (string, error) {
	out, err := a.Run("update", "-q")
	if err != nil || strings.Contains(out, "Err:") {
		return "", errors.New(out)
	}
	out, err = a.Command("apt-cache", "dumpavail")
	var names []string
	for paragraph := range strings.SplitSeq(out, "\n\n") {
		if name, _, ok := strings.Cut(strings.TrimPrefix(paragraph, "Package: "), "\n"); ok && !strings.Contains(paragraph, "Architecture: arm64") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), " "), err
}

// hostPackages are the names of all packages that the apt below root has for debian stable.
func hostPackages(t *testing.T, root string) (string, error) {
	t.Helper()
	u, err := loadWith(t, root, ClientOptions{})
	if err != nil {
		return "", err
	}
	var names []string
	for n := range u.Names() {
		if len(n.Versions) > 0 {
			names = append(names, n.Name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, " "), nil
}

// TestByHash counts where indexes are read from.
func TestByHash(t *testing.T) {
	for _, tt := range []struct {
		option   string
		told     bool // by the Release
		requests int  // by hash
	}{
		{"", true, 1}, {"", false, 0}, {"by-hash=no", true, 0}, {"by-hash=yes", false, 0}, {"by-hash=force", false, 1},
	} {
		archive := suites(time.Now())
		archive.Options("stable").NoByHash = !tt.told
		srv := archive.Server(t)
		root := hostDir(t, map[string]string{"etc/apt/sources.list": "deb [" + tt.option + "] " + srv.URL + " stable main\n", "etc/apt/trusted.gpg.d/k.gpg": public(apttest.TestKey)})
		if got, err := hostPackages(t, root); err != nil || got != "main-all main-amd64" {
			t.Errorf("%q: got %s, %v", tt.option, got, err)
		}
		if got := srv.Requests("dists/stable/main/binary-amd64/by-hash/SHA256/*"); got != tt.requests {
			t.Errorf("%q: %d requests by hash, want %d: %q", tt.option, got, tt.requests, srv.Log())
		}
	}
}

// TestIncludeExclude is about options of later versions of apt.
func TestIncludeExclude(t *testing.T) {
	srv := suites(time.Now()).Server(t)
	for _, tt := range []struct{ options, want string }{
		{"Include: contrib main-all", "contrib main-all"},
		{"Exclude: contrib", "main-all main-amd64"},
		{"Include: contrib main-all\nExclude: main-all", "contrib"},
		{"Exclude: contrib*", `exclude: "contrib*" is no package name`},
	} {
		root := hostDir(t, map[string]string{"etc/apt/trusted.gpg.d/k.gpg": public(apttest.TestKey),
			"etc/apt/sources.list.d/x.sources": "Types: deb\nURIs: " + srv.URL + "\nSuites: stable\nComponents: main contrib\n" + tt.options + "\n"})
		got, err := hostPackages(t, root)
		if err != nil {
			got = err.Error()
		}
		if !strings.HasSuffix(got, tt.want) {
			t.Errorf("%q: got %s, want %s", tt.options, got, tt.want)
		}
	}
}
