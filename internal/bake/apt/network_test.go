package apt

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"brickyard/internal/bake/apt/apttest"
)

// A witness is a server, or a proxy, that answers everybody with the files of an archive and writes down who asked.
type witness struct {
	name  string
	files *apttest.Server
	login string // that it wants, as USER:PASSWORD; "" for none

	mu   sync.Mutex
	seen []string // "NAME HOST login:password via proxy-login:password", each once
}

func (w *witness) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	line := w.name + " " + r.Host + basic(" as ", r.Header.Get("Authorization")) + basic(" by ", r.Header.Get("Proxy-Authorization"))
	w.mu.Lock()
	if !slices.Contains(w.seen, line) {
		w.seen = append(w.seen, line)
	}
	w.mu.Unlock()
	switch user, password, _ := r.BasicAuth(); {
	case r.Method == http.MethodConnect:
		http.Error(rw, "not here", http.StatusForbidden)
	case w.login != "" && w.login != user+":"+password:
		rw.Header().Set("WWW-Authenticate", `Basic realm="x"`)
		http.Error(rw, "who are you?", http.StatusUnauthorized)
	default:
		r.URL.Path = strings.TrimPrefix(r.URL.Path, "/debian")
		w.files.ServeHTTP(rw, r)
	}
}

// basic is what a header says of who asks.
func basic(prefix, header string) string {
	if header == "" {
		return ""
	}
	user, password, _ := (&http.Request{Header: http.Header{"Authorization": {header}}}).BasicAuth()
	return prefix + user + ":" + password
}

// TestNetworkLikeApt compares who asks whom, and with which logins, with the real apt-get.
func TestNetworkLikeApt(t *testing.T) {
	for _, tt := range []struct {
		name   string
		source string // default http://archive.example/debian
		conf   string // PROXY1, PROXY2 and SERVER are addresses: HOST:PORT
		auth   string // etc/apt/auth.conf
		auth2  string // etc/apt/auth.conf.d/x.conf
		env    string // http_proxy
		no     string // no_proxy
		want   string // what was seen
		error  string // part of ours
	}{
		{name: "nothing", source: "http://SERVER/debian", want: "server SERVER"},
		{name: "a proxy", conf: `Acquire::http::Proxy "http://PROXY1/";`, want: "proxy1 archive.example"},
		{name: "a proxy, as text goes", conf: "// x\nacquire { /* y */ HTTP { proxy \"http://PROXY1\"; }; };\n#clear nothing;\n", want: "proxy1 archive.example"},
		{name: "the environment's proxy", env: "PROXY2", want: "proxy2 archive.example"},
		{name: "a proxy, and the environment's", conf: `Acquire::http::Proxy "http://PROXY1/";`, env: "PROXY2", want: "proxy1 archive.example"},
		{name: "a proxy for one host", conf: `Acquire::http::Proxy "http://PROXY1/"; Acquire::http::Proxy::Archive.example "http://PROXY2/";`, want: "proxy2 archive.example"},
		{name: "a proxy for another host", conf: `Acquire::http::Proxy "http://PROXY1/"; Acquire::http::Proxy::other.example "http://PROXY2/";`, want: "proxy1 archive.example"},
		{name: "no proxy for one host", source: "http://SERVER/debian", conf: `Acquire::http::Proxy "http://PROXY1/"; Acquire::http::Proxy::127.0.0.1 "DIRECT";`, want: "server SERVER"},
		{name: "no proxy for one host, whatever the environment", source: "http://SERVER/debian", conf: `Acquire::http::Proxy::127.0.0.1 "DIRECT";`, env: "PROXY1", want: "server SERVER"},
		{name: "no_proxy", source: "http://SERVER/debian", conf: `Acquire::http::Proxy "http://PROXY1/";`, no: "other.example,0.0.1", want: "server SERVER"},
		{name: "no_proxy for others", source: "http://SERVER/debian", conf: `Acquire::http::Proxy "http://PROXY1/";`, no: "other.example", want: "proxy1 SERVER"},
		{name: "no proxy at all, whatever the environment", source: "http://SERVER/debian", conf: `Acquire::http::Proxy "DIRECT";`, env: "PROXY1", want: "server SERVER"},
		{name: "https", source: "https://archive.example", conf: `Acquire::https::Proxy "http://PROXY1/"; Acquire::http::Proxy "http://PROXY2/";`,
			want: "proxy1 archive.example:443", error: "Forbidden"},
		{name: "https as http", source: "https://archive.example", conf: `Acquire::http::Proxy "http://PROXY2/";`, want: "proxy2 archive.example:443", error: "Forbidden"},
		{name: "https, one host as http", source: "https://archive.example", conf: `Acquire::https::Proxy "http://PROXY1/"; Acquire::http::Proxy::archive.example "http://PROXY2/";`,
			want: "proxy2 archive.example:443", error: "Forbidden"},
		{name: "a proxy with a login", conf: `Acquire::http::Proxy "http://me:s3cret@PROXY1/";`, want: "proxy1 archive.example by me:s3cret"},
		{name: "a proxy with a login of auth.conf", conf: `Acquire::http::Proxy "http://PROXY1/";`, auth: "machine http://PROXY1 login me password s3cret\n",
			want: "proxy1 archive.example by me:s3cret"},
		{name: "a command that finds the proxy", conf: `Acquire::http::Proxy "http://PROXY2/"; Acquire::http::Proxy-Auto-Detect "ROOT/detect";`, want: "proxy1 archive.example"},
		{name: "a command by its old name", conf: `Acquire::http::ProxyAutoDetect "ROOT/detect";`, want: "proxy1 archive.example"},
		{name: "a command that says DIRECT", source: "http://SERVER/debian", conf: `Acquire::http::Proxy "http://PROXY2/"; Acquire::http::Proxy-Auto-Detect "ROOT/detect";`, want: "server SERVER"},
		{name: "a command that doesn't know", source: "http://localhost/debian", conf: `Acquire::http::Proxy "http://PROXY2/"; Acquire::http::Proxy-Auto-Detect "ROOT/detect";`, want: "proxy2 localhost"},

		{name: "a login in the address", source: "http://me:s3cret@SERVER/debian", want: "server SERVER as me:s3cret"},
		{name: "a login in the address, and another", source: "http://me:s3cret@SERVER/debian", auth: "machine http://SERVER login you password other", want: "server SERVER as me:s3cret"},
		{name: "a login for http", source: "http://SERVER/debian", auth: "machine http://SERVER\nlogin me\n\tpassword s3cret\n", want: "server SERVER as me:s3cret"},
		{name: "a login for https only", source: "http://SERVER/debian", auth: "machine SERVER login me password s3cret", want: "server SERVER"},
		{name: "a login for the host, whatever the port", source: "http://SERVER/debian", auth: "machine http://127.0.0.1 login me password s3cret", want: "server SERVER as me:s3cret"},
		{name: "a login for another host", source: "http://SERVER/debian", auth: "machine http://127.0.0.11 login me password s3cret", want: "server SERVER"},
		{name: "a login for another port", source: "http://SERVER/debian", auth: "machine http://127.0.0.1:1 login me password s3cret", want: "server SERVER"},
		{name: "a login for a path", source: "http://SERVER/debian", auth: "machine http://SERVER/deb login me password s3cret", want: "server SERVER as me:s3cret"},
		{name: "a login for another path", source: "http://SERVER/debian", auth: "machine http://SERVER/deb/ login me password s3cret", want: "server SERVER"},
		{name: "a login for a path without the port", source: "http://SERVER/debian", auth: "machine http://127.0.0.1/debian login me password s3cret", want: "server SERVER"},
		{name: "the first that fits", source: "http://SERVER/debian", auth: "machine http://other.example login a password b\nunknown word\nmachine http://SERVER/debian login me password s3cret machine http://SERVER login you password other",
			want: "server SERVER as me:s3cret"},
		{name: "the first that fits, and what is for https", source: "http://SERVER/debian", auth: "machine SERVER login you password other\nmachine http://SERVER login me password s3cret", want: "server SERVER as me:s3cret"},
		{name: "auth.conf.d", source: "http://SERVER/debian", auth2: "machine http://SERVER login me password s3cret", want: "server SERVER as me:s3cret"},
		{name: "auth.conf before auth.conf.d", source: "http://SERVER/debian", auth: "machine http://SERVER login me password s3cret", auth2: "machine http://SERVER login you password other", want: "server SERVER as me:s3cret"},
		{name: "a login for the host behind a proxy", conf: `Acquire::http::Proxy "http://PROXY1/";`, auth: "machine http://archive.example login me password s3cret", want: "proxy1 archive.example as me:s3cret"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			files := suites(time.Now().Add(-time.Hour)).Server(t)
			var all []*witness
			var fill []string
			for _, name := range []string{"proxy1", "proxy2", "server"} {
				w := &witness{name: name, files: files}
				s := httptest.NewServer(w)
				t.Cleanup(s.Close)
				all = append(all, w)
				fill = append(fill, strings.ToUpper(name), strings.TrimPrefix(s.URL, "http://"))
			}
			a := apttest.NewApt(t, "amd64", map[string]string{"etc/apt/trusted.gpg.d/k.gpg": public(apttest.TestKey)})
			replace := func(text string) string {
				return strings.NewReplacer(append(fill, "ROOT", a.Root)...).Replace(text)
			}
			a.Write(t, "etc/apt/apt.conf.d/x", replace(tt.conf))
			a.Write(t, "etc/apt/auth.conf", replace(tt.auth))
			a.Write(t, "etc/apt/auth.conf.d/x.conf", replace(tt.auth2))
			a.Write(t, "etc/apt/sources.list", "deb "+replace(cmp.Or(tt.source, "http://archive.example/debian"))+" stable main\n")
			a.Write(t, "detect", replace("#!/bin/sh\ncase $1 in http://archive.example*) echo http://PROXY1;; http://127*) echo DIRECT;; esac\n"))
			if err := os.Chmod(a.Root+"/detect", 0o755); err != nil {
				t.Fatal(err)
			}
			if a.Env = []string{"no_proxy=" + tt.no}; tt.env != "" {
				a.Env = append(a.Env, "http_proxy=http://"+replace(tt.env)+"/")
			}
			seen := func() string {
				var lines []string
				for _, w := range all {
					lines = append(lines, w.seen...)
					w.seen = nil
				}
				return strings.Join(lines, "\n")
			}
			want := replace(tt.want)

			t.Setenv("APT_CONFIG", a.Root+"/apt.conf")
			_, err := loadWith(t, a.Root, ClientOptions{HostApt: true, NoProxy: tt.no, Proxy: func(*http.Request) (*url.URL, error) {
				if tt.env == "" {
					return nil, nil
				}
				return url.Parse("http://" + replace(tt.env))
			}})
			if (err == nil) != (tt.error == "") || err != nil && !strings.Contains(err.Error(), tt.error) {
				t.Errorf("got %v\nwant …%s…", err, tt.error)
			}
			if got := seen(); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			out, err := a.Run("update", "-q")
			if got := seen(); got != want {
				t.Errorf("apt: %v\n%s\nwant\n%s\n%s", err, got, want, out)
			}
		})
	}
}

// loadWith loads debian stable as the apt below root names it.
func loadWith(t *testing.T, root string, o ClientOptions) (*Universe, error) {
	t.Helper()
	h, err := HostSources(root)
	if err != nil {
		return nil, err
	}
	sources, err := h.Select(Want{Distro: "debian", Suite: "stable"})
	if err != nil {
		return nil, err
	}
	o.Attempts = 1
	c := NewClient(o)
	defer c.Close()
	l := &Loader{Client: c, Cache: t.TempDir(), Arch: "amd64", Now: time.Now}
	return l.Load(t.Context(), sources)
}

func TestLogin(t *testing.T) {
	n := &network{logins: parseLogins([]byte("login lost machine a.example/path login one password 1\n" +
		"machine a.example login two\npassword 2 machine http://a.example login three password 3 machine https://b.example:8443 login four password"))}
	for address, want := range map[string]string{
		"https://a.example/path/x": "one:1", "https://a.example/": "two:2", "https://a.example:8443/path": "two:2", "http://a.example/path": "three:3",
		"https://b.example:8443/": "four:", "https://b.example/": "", "https://sub.a.example/": "", "ftp://a.example/": "",
	} {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if l := n.login(u); l != nil {
			got = l.user + ":" + l.password
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", address, got, want)
		}
	}
}

// TestSecretsAreKept looks for passwords in errors and hints. The server wants a login that nobody has.
func TestSecretsAreKept(t *testing.T) {
	const login = "machine http://SERVER login me password s3cret"
	for _, tt := range []struct {
		name    string
		list    string // default "deb http://SERVER stable main"
		conf    string
		auth    string
		archive func(*apttest.Options) // nil: the server wants another login
		want    string                 // in error and hint
	}{
		{name: "no login", want: "401 Unauthorized: put a login for SERVER into /etc/apt/auth.conf.d"},
		{name: "a login that isn't good", auth: login, want: "401 Unauthorized: apt's auth.conf has a login for SERVER, but not one that is good"},
		{name: "a login for https", auth: "machine SERVER login me password s3cret", want: "for https only: write machine http://SERVER"},
		{name: "a login in the address", list: "deb http://me:s3cret@SERVER stable main", want: "http://***@SERVER/dists/stable/InRelease: the server answers 401 Unauthorized: the login in the address"},
		{name: "a token in the address", list: "deb http://s3cret@SERVER stable main", want: "http://***@SERVER/dists/stable/InRelease: the server answers 401"},
		{name: "unsigned", list: "deb http://me:s3cret@SERVER stable main", archive: func(o *apttest.Options) { o.Unsigned = true }, want: "***@SERVER/dists/stable/Release: not signed"},
		{name: "not signed by whom it should", list: "deb http://me:s3cret@SERVER stable main", archive: func(o *apttest.Options) { o.Keys = []apttest.Key{apttest.OtherKey} }, want: "is not known"},
		{name: "detached", list: "deb http://me:s3cret@SERVER stable main", archive: func(o *apttest.Options) { o.Keys, o.Detached = []apttest.Key{apttest.OtherKey}, true }, want: "is not known"},
		{name: "another origin", list: "deb http://me:s3cret@SERVER stable main", archive: func(o *apttest.Options) { o.Origin = "Other" }, want: `http://***@SERVER stable main, named in etc/apt/sources.list:1, is of origin "Other"`},
		{name: "another suite", list: "deb http://me:s3cret@SERVER stable main", archive: func(o *apttest.Options) { o.Suite, o.Codename = "x", "y" }, want: "asked for suite stable"},
		{name: "no such component", list: "deb http://me:s3cret@SERVER stable main nonsense", archive: func(*apttest.Options) {}, want: "no packages for component"},
		{name: "tampered", list: "deb http://me:s3cret@SERVER stable main", archive: func(o *apttest.Options) { o.Tampered = true }, want: "wrong content"},
		{name: "an index that is none", list: "deb http://me:s3cret@SERVER stable main", archive: func(o *apttest.Options) { o.Fields = map[string]string{"Date": "x"} }, want: "Date"},
		{name: "a malformed address", list: "deb http://me:s3cret%@SERVER stable main", want: "http://***@SERVER: malformed"},
		{name: "a password with a slash", list: "deb http://me:s3cret/x@SERVER stable main", want: "http://***@SERVER: malformed"},
		{name: "an unknown protocol", list: "deb ftp://me:s3cret@SERVER stable main", want: "ftp://***@SERVER: ftp: is not supported"},
		{name: "no suite", list: "deb http://me:s3cret@SERVER", want: "an address and a suite"},
		{name: "no type", list: "http://me:s3cret@SERVER stable main", want: `type "http://***@SERVER"`},
		{name: "trusted", list: "deb [trusted=yes] http://me:s3cret@SERVER stable main", want: "trusted=yes"},
		{name: "a proxy that is none", conf: `Acquire::http::Proxy "me:s3cret@proxy";`, want: "apt's proxy for SERVER is no address"},
		{name: "a proxy that isn't there", conf: `Acquire::http::Proxy "http://me:s3cret@127.0.0.1:9";`, want: "127.0.0.1:9"},
		{name: "a proxy that doesn't take the login", conf: `Acquire::http::Proxy "http://me:s3cret@SERVER";`, want: "401"},
		{name: "a command that fails", conf: `Acquire::http::Proxy-Auto-Detect "/bin/false";`, want: "apt's Proxy-Auto-Detect for SERVER: /bin/false: exit status 1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			archive := suites(time.Now().Add(-time.Hour))
			w := &witness{login: "you:other"}
			if tt.archive != nil {
				w.login = ""
				tt.archive(archive.Options("stable"))
			}
			w.files = archive.Server(t)
			s := httptest.NewServer(w)
			t.Cleanup(s.Close)
			server := strings.TrimPrefix(s.URL, "http://")
			replace := func(text string) string { return strings.ReplaceAll(text, "SERVER", server) }
			a := apttest.NewApt(t, "amd64", map[string]string{
				"etc/apt/trusted.gpg.d/k.gpg": public(apttest.TestKey),
				"etc/apt/apt.conf.d/x":        replace(tt.conf),
				"etc/apt/auth.conf":           replace(tt.auth),
				"etc/apt/sources.list":        replace(cmp.Or(tt.list, "deb http://SERVER stable main") + "\n"),
			})
			t.Setenv("APT_CONFIG", a.Root+"/apt.conf")
			_, err := loadWith(t, a.Root, ClientOptions{HostApt: true})
			text := fmt.Sprint(err)
			var h interface {
				error
				Hint() string
			}
			if errors.As(err, &h) {
				text += ": " + h.Hint()
			}
			if err == nil || !strings.Contains(text, replace(tt.want)) {
				t.Errorf("got %s\nwant …%s…", text, replace(tt.want))
			}
			if strings.Contains(text, "s3cret") {
				t.Errorf("tells the password: %s", text)
			}
		})
	}
}

// TestElsewhere downloads what is no part of an archive: apt's proxies and logins are not for that.
func TestElsewhere(t *testing.T) {
	w := &witness{name: "server", files: suites(time.Now()).Server(t)}
	s := httptest.NewServer(w)
	t.Cleanup(s.Close)
	server := strings.TrimPrefix(s.URL, "http://")
	a := apttest.NewApt(t, "amd64", map[string]string{
		"etc/apt/apt.conf.d/x": `Acquire::http::Proxy "http://127.0.0.1:9";`, "etc/apt/auth.conf": "machine http://" + server + " login me password s3cret",
	})
	t.Setenv("APT_CONFIG", a.Root+"/apt.conf")
	c := NewClient(ClientOptions{HostApt: true, Attempts: 1})
	defer c.Close()
	f := File{URLs: []string{s.URL + "/dists/stable/Release"}, Dest: filepath.Join(t.TempDir(), "f"), Size: -1, Elsewhere: true}
	if _, err := c.Download(t.Context(), f, nil); err != nil || !slices.Equal(w.seen, []string{"server " + server}) {
		t.Errorf("%v, %q", err, w.seen)
	}
	f.Elsewhere = false
	if _, err := c.Download(t.Context(), f, nil); err == nil || !strings.Contains(err.Error(), "127.0.0.1:9") {
		t.Errorf("of an archive: %v", err)
	}
}
