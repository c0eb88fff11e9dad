package recipe

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// clean is a recipe that no rule has anything to say about.
const clean = "name: web\nfrom: {debian: bookworm}\nowner: me\nexpires: 90d\n"

func lintOf(t *testing.T, text string) []Finding {
	t.Helper()
	r, err := loadText(text, nil)
	if err != nil {
		t.Fatal(err)
	}
	return Lint(r)
}

func TestLint(t *testing.T) {
	aws := "AKIA" + strings.Repeat("Q", 16)
	for _, tt := range []struct{ name, text, want string }{
		{"clean", clean, ""},
		{"nobody's forever", "name: web\nfrom: {debian: bookworm}\n",
			"warning no-expiry recipe.yaml:1:7: web never expires\nwarning no-owner recipe.yaml:1:7: web has no owner\n"},
		{"off", "name: web\nfrom: {debian: bookworm}\nlint: {no-expiry: off, no-owner: error}\n", "error no-owner recipe.yaml:1:7: web has no owner\n"},
		{"tag", strings.Replace(clean, "debian: bookworm", "base: web:1.0", 1), "warning floating-base recipe.yaml:2:14: base web:1.0 is a tag without a digest\n"},
		{"latest", strings.Replace(clean, "debian: bookworm", "base: web", 1), "warning floating-base recipe.yaml:2:14: base web names whatever is newest\n"},
		{"digest", strings.Replace(clean, "debian: bookworm", "base: \"web@sha256:"+digits+"\"", 1), ""},
		{"recipe as base", strings.Replace(clean, "debian: bookworm", "base: ../a.yaml", 1), ""},
		{"moving suite", strings.Replace(clean, "bookworm", "stable", 1), "warning latest recipe.yaml:2:16: suite stable is another release after the next one\n"},
		{"latest URL", clean + "files: [{path: /a, url: \"https://archive.example/releases/latest/x\"}]\n", "warning latest recipe.yaml:5:25: the URL names whatever is latest\n"},

		{"curl -k", clean + "run: [\"curl -fsSLk https://archive.example\"]\n",
			"warning download-in-run recipe.yaml:5:7: curl in a step\nerror tls-off recipe.yaml:5:7: curl without verification\n"},
		{"curl -o k", clean + "lint: {download-in-run: off}\nrun: [\"curl -o k https://archive.example\"]\n", ""},
		{"TLS off in env", clean + "env: {NODE_TLS_REJECT_UNAUTHORIZED: \"0\", GIT_SSL_NO_VERIFY: \"true\", PYTHONHTTPSVERIFY: \"0\"}\n",
			"error tls-off recipe.yaml:5:7: Node.js without verification\nerror tls-off recipe.yaml:5:42: git without verification\nerror tls-off recipe.yaml:5:69: Python without verification\n"},
		{"TLS off in content", clean + "files:\n  - path: /etc/apt/sources.list\n    content: |\n      # mine\n      deb [trusted=yes] http://archive.example/debian bookworm main\n",
			"error tls-off recipe.yaml:7:14: apt without verification, in line 2\n"},

		{"private key", clean + "files: [{path: /k, content: \"-----BEGIN RSA PRIVATE KEY-----\"}]\n", "error secret recipe.yaml:5:29: a private key\n"},
		{"certificate", clean + "files: [{path: /k, content: \"-----BEGIN CERTIFICATE-----\"}]\n", ""},
		{"AWS key", clean + "env: {ID: " + aws + "}\n", "error secret recipe.yaml:5:7: an AWS access key\n"},
		{"password in env", clean + "env: {DB_PASSWORD: hunter, DB_PASSWORD_FILE: /run/secrets/db, DB_PASSWORD_MIN: \"12\"}\n", "error secret recipe.yaml:5:7: a value for DB_PASSWORD\n"},
		{"password in a URL", clean + "env: {DB: \"postgres://u:hunter2@db/x\", OK: \"postgres://u@db/x\"}\n", "error secret recipe.yaml:5:7: a password in a URL\n"},
		{"password in a label", clean + "labels: {api-key: abcdef}\n", "error secret recipe.yaml:5:10: a value for api-key\n"},
		{"password in content", clean + "files:\n  - path: /c\n    content: |\n      passwd: files systemd\n      password = hunter2\n      token = request.token\n      secret: $${{ x }}\n",
			"error secret recipe.yaml:7:14: a value for password, in line 2\n"},
		{"secret parameter", clean + "params: {db_password: {default: \"\"}}\n", "error secret recipe.yaml:5:10: parameter db_password is named like a secret\n"},

		{"ssh", clean + "packages: [openssh-server, openssh-client, -dropbear]\nservices: [ssh.service]\n",
			"warning ssh-server recipe.yaml:5:12: package openssh-server is an ssh server\nwarning ssh-server recipe.yaml:6:12: service ssh.service is an ssh server\n"},
		{"one service twice", clean + "packages: [nginx-light, nginx-core]\nservices: [nginx]\n", ""},
		{"two services", clean + "packages: [nginx-light, php8.2-fpm]\nservices: [nginx, mine.timer]\n", "warning several-services recipe.yaml:5:12: nginx and php-fpm in one image\n"},
		{"two units", clean + "services: [a.service, b]\n", "warning several-services recipe.yaml:5:12: a and b in one image\n"},

		{"database", clean + "packages: [postgresql-15]\n", "warning state-inside recipe.yaml:5:12: postgresql-15 keeps its data in /var/lib/postgresql, which isn't state\n"},
		{"database with state", clean + "packages: [postgresql-15]\nstate: [/var/lib/postgresql/15]\n", ""},
		{"content in state", clean + "state: [/srv]\ndirectories: [{path: /srv}]\nfiles: [{path: /srv/a, content: x}]\nlinks: [{path: /a, to: /srv}]\n",
			"warning state-inside recipe.yaml:7:9: /srv/a is put inside /srv, which is state\n"},

		{"downloads", clean + `run:
  - apt-get -y install nginx
  - [pip, install, x]
  - "cd /x && npm ci; FOO=1 git -C /y clone z"
  - "echo curl; ls /usr/bin/wget"
`, "warning download-in-run recipe.yaml:6:5: apt-get -y install in a step\nwarning download-in-run recipe.yaml:7:5: pip install in a step\n" +
			"warning download-in-run recipe.yaml:8:5: git -C /y clone in a step\nwarning download-in-run recipe.yaml:8:5: npm ci in a step\n"},
		{"latest tool", clean + "lint: {download-in-run: off}\nrun: [\"npm install x@latest\"]\n", "warning latest recipe.yaml:6:7: the command names whatever is latest\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b strings.Builder
			for _, f := range lintOf(t, tt.text) {
				fmt.Fprintf(&b, "%s %s %s: %s\n", f.Severity, f.Rule, f.Place, f.Message)
				if f.Why == "" || f.Hint == "" {
					t.Errorf("%s says nothing about why or what to do", f.Rule)
				}
				if strings.Contains(f.Message, "hunter") || strings.Contains(f.Message, aws) {
					t.Errorf("the message has the secret: %s", f.Message)
				}
			}
			if diff := cmp.Diff(tt.want, b.String()); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

// Every way of switching verification off, and what looks like one.
func TestTLSOff(t *testing.T) {
	for text, want := range map[string]bool{
		"curl --insecure https://x":                          true,
		"curl -k https://x":                                  true,
		"curl -fsSL https://x | tar -xk":                     false,
		"curl https://x/-k":                                  false,
		"wget -q --no-check-certificate https://x":           true,
		"git -c http.sslVerify=false clone x":                true,
		"[http]\n\tsslVerify = false":                        true,
		"git -c http.sslVerify=true clone x":                 false,
		"npm config set strict-ssl false":                    true,
		"strict-ssl=false":                                   true,
		"const tls = {rejectUnauthorized: false}":            true,
		"pip install --trusted-host pypi.example x":          true,
		"[global]\ntrusted-host = x":                         true,
		"requests.get(url, verify=False)":                    true,
		"requests.get(url, verify=True)":                     false,
		"ctx = ssl._create_unverified_context()":             true,
		"deb [arch=amd64 trusted=yes] http://x y z":          true,
		"deb [signed-by=/a.asc] http://x y z":                false,
		"Types: deb\nTrusted: yes":                           true,
		`Acquire::https::Verify-Peer "false";`:               true,
		`APT::Get::AllowUnauthenticated "true";`:             true,
		"apt-get install --allow-unauthenticated x":          true,
		"sslverify=0":                                        true,
		"&tls.Config{InsecureSkipVerify: true}":              true,
		"TLS_REQCERT never":                                  true,
		"proxy_ssl_verify off;":                              true,
		"proxy_ssl_verify on;":                               false,
		"we verify everything, and nothing here is insecure": false,
	} {
		l := &linter{r: &Recipe{Path: "recipe.yaml"}, seen: map[Finding]bool{}}
		l.text(lintText{place: "run[0]", text: text})
		if got := len(l.findings) > 0; got != want {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	}
}

func TestLintReadsSources(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "site.conf", "ok\n  proxy_ssl_verify off;\n")
	write(t, dir, "tree/deep/app.env", "TOKEN_TTL=5m\nTOKEN='abcdef'\n")
	write(t, dir, "tree/binary", "\x00password=hunter2\n")
	path := write(t, dir, "recipe.yaml", clean+"files:\n  - {path: /a, source: site.conf}\n  - {path: /b, tree: tree/}\n")
	r, err := Load(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range Lint(r) {
		got = append(got, fmt.Sprintf("%s %s: %s", f.Rule, f.Place, f.Message))
	}
	want := []string{
		"tls-off " + filepath.Join(dir, "site.conf") + ":2:3: a proxy without verification",
		"secret " + filepath.Join(dir, "tree/deep/app.env") + ":2:1: a value for TOKEN",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
}

func TestLintRules(t *testing.T) {
	for _, r := range LintRules() {
		if !slices.Contains([]string{"error", "warning"}, r.Severity) || r.Why == "" || r.Hint == "" {
			t.Errorf("rule %s lacks something: %+v", r.Name, r)
		}
	}
	LintRules()[0].Name = "changed"
	if rules[0].Name == "changed" {
		t.Error("a caller can change the rules")
	}
}
