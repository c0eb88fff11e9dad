package main

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"brickyard/internal/bake/apt/apttest"
)

// withApt puts another /etc/apt in place of the machine's, for the bakery only.
func withApt(t *testing.T, b *bakery, files map[string]string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "apt")
	for name, text := range files {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b.internet = true // the proxies are those of apt
	b.wrap = []string{"unshare", "--mount", "sh", "-c", `mount --bind "$0" /etc/apt; exec "$@"`, dir}
}

// An archive that the machine's apt has a proxy and a login for is reached by both, and nothing keeps the password.
func TestHostApt(t *testing.T) {
	const password = "s3cret-of-apt"
	archive := hello()
	archive.Add("bookworm", "contrib", apttest.Package{Name: "more"})
	archive.Options("bookworm").Origin = "Debian"
	server := archive.Server(t)
	asked := 0
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		if user, pass, _ := r.BasicAuth(); r.Host != "archive.example" || user != "me" || pass != password {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		server.ServeHTTP(w, r)
	}))
	defer proxy.Close()
	files := plain("hello, more")
	files["recipe.yaml"] = strings.Replace(files["recipe.yaml"], `, mirror: "http://archive.example", keys: [archive.gpg]`, "", 1)
	b := newBakery(t, nil, files)
	conf := map[string]string{
		"sources.list":          "deb http://archive.example bookworm main\ndeb http://archive.example bookworm contrib\n",
		"trusted.gpg.d/k.gpg":   string(apttest.Keyring()),
		"apt.conf.d/50proxy":    `Acquire::http::Proxy "` + proxy.URL + `";`,
		"auth.conf.d/a.conf":    "machine http://archive.example login me password " + password + "\n",
		"preferences.d/no.pref": "Package: *\nPin: release o=Debian\nPin-Priority: -1\n", // of no account: recipes have pins of their own
	}
	withApt(t, b, conf)
	b.must(t, "lock", "recipe.yaml", "-v")
	digest := b.bake(t, "-v")
	b.must(t, "verify", digest)
	if asked == 0 {
		t.Error("the proxy was not asked")
	}
	if lock := b.read(t, "recipe.lock"); strings.Contains(lock, password) || strings.Contains(lock, "archive.example") {
		t.Errorf("the lock names the archive: %s", lock)
	}
	conf["auth.conf.d/a.conf"] = "machine archive.example login me password " + password + "\n"
	withApt(t, b, conf)
	o := b.refuse(t, 1, []string{`401 Unauthorized`, `hint: .*for https only: write machine http://archive\.example`}, "lock", "recipe.yaml", "--update")
	conf["sources.list"] = "deb http://you:" + password + "@archive.example bookworm main\n"
	withApt(t, b, conf)
	o.stderr += b.refuse(t, 1, []string{`http://\*\*\*@archive\.example/dists/bookworm/InRelease: .*401`}, "lock", "recipe.yaml", "--update").stderr
	if strings.Contains(o.stderr, password) {
		t.Errorf("errors tell the password: %s", o.stderr)
	}
	err := filepath.WalkDir(b.home, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(p)
		if strings.Contains(string(data), password) {
			t.Errorf("the home has the password: %s", p)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
