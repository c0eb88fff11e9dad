package apt

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// A network is how this machine's apt gets to archives: by which proxies (apt-transport-http(1)), with which logins
// (apt_auth.conf(5)). The zero value goes without.
type network struct {
	config map[string]string // apt's configuration, names in small letters: "acquire::http::proxy"
	logins []login           // in the order that they are looked through
	unread []string          // files of logins that this user may not read

	detected sync.Map // "http://host/" → what the command that detects proxies said of it
}

// A login is one entry of an auth.conf.
type login struct{ machine, user, password string }

// readNetwork asks apt-config, which reads what apt would. A machine without it has no configuration.
func readNetwork(ctx context.Context) (*network, error) {
	n := &network{config: make(map[string]string)}
	cmd := exec.CommandContext(ctx, "apt-config", "dump", "--format=%f%N%v%n")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if errors.Is(err, exec.ErrNotFound) {
		return n, nil
	}
	if err != nil {
		return nil, fmt.Errorf("apt's configuration: %w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	for line := range strings.Lines(string(out)) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		n.config[strings.ToLower(name)] = value
	}
	parts := n.path("dir::etc::netrcparts")
	files := []string{n.path("dir::etc::netrc")}
	for _, name := range partsIn(parts, ".", ".conf") {
		files = append(files, filepath.Join(parts, name))
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EISDIR):
		case errors.Is(err, fs.ErrPermission):
			n.unread = append(n.unread, name)
		case err != nil:
			return nil, fmt.Errorf("logins of apt: %w", err)
		default:
			n.logins = append(n.logins, parseLogins(data)...)
		}
	}
	return n, nil
}

// path is a configured path: relative to the directories that are configured for it.
func (n *network) path(name string) string {
	p := n.config[name]
	for _, parent := range []string{"dir::etc", "dir"} {
		if !filepath.IsAbs(p) {
			p = filepath.Join(n.config[parent], p)
		}
	}
	return filepath.Join(n.config["rootdir"], p)
}

// parseLogins reads "machine X login Y password Z", in any order and on any lines. Unknown words are ignored.
func parseLogins(data []byte) []login {
	var list []login
	words := bufio.NewScanner(bytes.NewReader(data))
	words.Split(bufio.ScanWords)
	for words.Scan() {
		key := words.Text()
		if !slices.Contains([]string{"machine", "login", "password"}, key) || !words.Scan() {
			continue
		}
		if key == "machine" {
			list = append(list, login{machine: words.Text()})
			continue
		}
		if len(list) == 0 {
			continue
		}
		if last := &list[len(list)-1]; key == "login" {
			last.user = words.Text()
		} else {
			last.password = words.Text()
		}
	}
	return list
}

// login returns the first login for an address, nil when there is none. One that doesn't name a protocol is for https.
func (n *network) login(u *url.URL) *login {
	i := slices.IndexFunc(n.logins, func(l login) bool {
		protocol, machine, named := strings.Cut(l.machine, "://")
		if !named {
			protocol, machine = "https", l.machine
		}
		return protocol == u.Scheme && matchesMachine(machine, u)
	})
	if i < 0 {
		return nil
	}
	return &n.logins[i]
}

// matchesMachine says whether an address is at HOST[:PORT], or begins with HOST[:PORT]/PATH.
func matchesMachine(machine string, u *url.URL) bool {
	if !strings.Contains(machine, "/") {
		return machine == u.Hostname() || machine == u.Host
	}
	return strings.HasPrefix(u.Host+u.EscapedPath(), machine)
}

// direct is what apt's configuration says for: no proxy.
const direct = "DIRECT"

// proxy returns the proxy for an address as apt's configuration has it; set says whether it says anything.
//
// Errors: a command that detects proxies and fails; a proxy that is no address.
func (n *network) proxy(ctx context.Context, u *url.URL) (proxy *url.URL, set bool, err error) {
	value := n.acquire(u, "proxy::"+strings.ToLower(u.Hostname()))
	if value == "" {
		if value, err = n.detect(ctx, u); err != nil {
			return nil, false, err
		}
	}
	if value == "" {
		value = n.acquire(u, "proxy")
	}
	if value == "" || value == direct {
		return nil, value != "", nil
	}
	proxy, err = url.Parse(value)
	if err != nil || proxy.Host == "" || !slices.Contains([]string{"http", "https", "socks5h"}, proxy.Scheme) {
		return nil, false, fmt.Errorf("apt's proxy for %s is no address that starts with http://, https:// or socks5h://", u.Host)
	}
	if l := n.login(proxy); l != nil && proxy.User == nil {
		proxy.User = url.UserPassword(l.user, l.password)
	}
	return proxy, true, nil
}

// acquire is an option for the address's protocol; https has those of http, too.
func (n *network) acquire(u *url.URL, name string) string {
	if value := n.config["acquire::"+u.Scheme+"::"+name]; value != "" || u.Scheme == "http" {
		return value
	}
	return n.config["acquire::http::"+name]
}

// detect runs the command that is configured to find a proxy, once for each host. It may have no answer.
func (n *network) detect(ctx context.Context, u *url.URL) (string, error) {
	command := n.config["acquire::"+u.Scheme+"::proxy-auto-detect"]
	if command == "" {
		command = n.config["acquire::"+u.Scheme+"::proxyautodetect"]
	}
	if command == "" {
		return "", nil
	}
	host := u.Scheme + "://" + u.Host + "/"
	if known, ok := n.detected.Load(host); ok {
		return known.(string), nil
	}
	out, err := exec.CommandContext(ctx, command, host).Output()
	if err != nil {
		return "", fmt.Errorf("apt's Proxy-Auto-Detect for %s: %s: %w", u.Host, command, err)
	}
	first, _, _ := strings.Cut(string(out), "\n")
	first = strings.TrimSpace(first)
	n.detected.Store(host, first)
	return first, nil
}

// inNoProxy says whether a host ends in one of the domains of the variable no_proxy, as apt reads it.
func inNoProxy(host, noProxy string) bool {
	for domain := range strings.SplitSeq(noProxy, ",") {
		if domain != "" && strings.HasSuffix(strings.ToLower(host), strings.ToLower(domain)) {
			return true
		}
	}
	return false
}

// aptTransport sends requests as the machine's apt does. The configuration is read before the first.
type aptTransport struct {
	http    *http.Transport
	options ClientOptions

	mu  sync.Mutex // guards net
	net *network   // nil: not read yet
}

func newAptTransport(t *http.Transport, o ClientOptions) *aptTransport {
	a := &aptTransport{http: t, options: o}
	t.Proxy = a.proxy
	return a
}

func (t *aptTransport) network(ctx context.Context) (*network, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.net == nil {
		n, err := readNetwork(ctx)
		if err != nil {
			return nil, permanentError{err}
		}
		t.net = n
	}
	return t.net, nil
}

func (t *aptTransport) proxy(req *http.Request) (*url.URL, error) {
	n, err := t.network(req.Context())
	if err != nil {
		return nil, err
	}
	if inNoProxy(req.URL.Hostname(), t.options.NoProxy) {
		return nil, nil
	}
	proxy, set, err := n.proxy(req.Context(), req.URL)
	if err != nil {
		return nil, permanentError{err}
	}
	if set || t.options.Proxy == nil {
		return proxy, nil
	}
	return t.options.Proxy(req)
}

// RoundTrip adds a login where the address has none.
func (t *aptTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	n, err := t.network(req.Context())
	if err != nil {
		return nil, err
	}
	l := n.login(req.URL)
	if l != nil && req.Header.Get("Authorization") == "" {
		req = req.Clone(req.Context())
		req.SetBasicAuth(l.user, l.password)
	}
	return t.http.RoundTrip(req)
}

func (t *aptTransport) CloseIdleConnections() { t.http.CloseIdleConnections() }

// A loginError means that a server wants to know who asks.
type loginError struct {
	status, hint string
}

func (e *loginError) Error() string { return "the server answers " + e.status }
func (e *loginError) Hint() string  { return e.hint }

// refused is the error of a response that asks for another login.
func (t *aptTransport) refused(resp *http.Response) error {
	n, err := t.network(resp.Request.Context())
	if err != nil {
		return err
	}
	return &loginError{resp.Status, n.missing(resp.Request.URL)}
}

// missing says why the login for an address was not enough.
func (n *network) missing(u *url.URL) string {
	forHTTPS := *u
	forHTTPS.Scheme = "https"
	switch {
	case u.User != nil:
		return "the login in the address is not good there"
	case n.login(u) != nil:
		return "apt's auth.conf has a login for " + u.Host + ", but not one that is good there"
	case len(n.unread) > 0:
		return "this user may not read " + strings.Join(n.unread, ", ")
	case n.login(&forHTTPS) != nil:
		return fmt.Sprintf("apt's auth.conf has a login for %s, but for https only: write machine http://%[1]s", u.Host)
	}
	return "put a login for " + u.Host + " into /etc/apt/auth.conf.d, see apt_auth.conf(5)"
}
