package recipe

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// loadText loads a recipe from memory, with some files beside it.
func loadText(text string, set map[string]string) (*Recipe, error) {
	return Load("recipe.yaml", Options{Set: set, ReadFile: func(path string) ([]byte, error) {
		switch path {
		case "recipe.yaml":
			return []byte(text), nil
		case "site.conf", "local.deb", "key.asc":
			return []byte(path), nil
		}
		return nil, fmt.Errorf("open %s: %w", path, fs.ErrNotExist)
	}})
}

const head = "name: web\nfrom: {debian: bookworm}\n"

// problemLines are the problems' texts without snippets.
func problemLines(t *testing.T, err error) string {
	t.Helper()
	ps, ok := errors.AsType[Problems](err)
	if err != nil && !ok {
		t.Fatalf("got %T (%v), want Problems", err, err)
	}
	var b strings.Builder
	for _, p := range ps {
		p.Snippet = ""
		b.WriteString(p.String() + "\n")
	}
	return b.String()
}

func TestProblemShowsTheLine(t *testing.T) {
	_, err := loadText(head+"packges: [nginx]\nslim:\n  - docs\n  - mann\n", nil)
	want := `recipe.yaml:3:1: unknown key "packges" (did you mean "packages"?)
    packges: [nginx]
    ^
recipe.yaml:6:5: slim[1]: unknown word "mann" (did you mean "man"?)
      - mann
        ^`
	if got := fmt.Sprint(err); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestSnippetOfALongLine(t *testing.T) {
	r := reporter{lines: []string{strings.Repeat("é", 500) + "\tX" + strings.Repeat("y", 500)}}
	text, caret, _ := strings.Cut(r.snippet(pos{1, 502}), "\n")
	if n := len([]rune(text)); n > snippetWidth+4 {
		t.Errorf("snippet has %d characters", n)
	}
	if at := strings.IndexRune(caret, '^'); []rune(text)[at] != 'X' {
		t.Errorf("the caret isn't below the X:\n%s\n%s", text, caret)
	}
}

// Each of these is one mistake; the table says where it is found and what is said.
func TestProblems(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		// YAML
		{"empty", "", "recipe.yaml: the file is empty\n"},
		{"comments only", "# nothing\n", "recipe.yaml: the file is empty\n"},
		{"a list", "- a\n", "recipe.yaml:1:1: want a mapping, not a list\n"},
		{"tab", head + "users:\n\t- {name: app, uid: 1}\n", "recipe.yaml:4:1: a tab in the indentation (indent with spaces)\n"},
		{"tab that YAML takes", head + "packages:\n  [nginx,\n\tcurl]\n", "recipe.yaml:5:1: a tab in the indentation (indent with spaces)\n"},
		{"anchor and alias", head + "env:\n  A: &a b\n  B: *a\n",
			"recipe.yaml:4:6: anchor &a (write the value out where it is used)\nrecipe.yaml:5:6: alias *a (write the value out)\nrecipe.yaml:5:6: env.B has no value (leave the key out when there is nothing to say)\n"},
		{"merge key", head + "env:\n  <<: {A: b}\n", "recipe.yaml:4:3: merge key << (write the keys out)\n"},
		{"tag", head + "env: {A: !!str 1}\n", "recipe.yaml:3:10: tag !!str (quotes make a value text)\n"},
		{"duplicate key", head + "name: other\n", "recipe.yaml:3:1: duplicate key \"name\", first on line 1\n"},
		{"key that is no text", head + "env: {1: a, [b]: c}\n",
			"recipe.yaml:3:7: a key must be text (put it in quotes if it is meant)\nrecipe.yaml:3:13: a key must be text (put it in quotes if it is meant)\n"},
		{"second document", head + "---\na: b\n", "recipe.yaml:3:1: a second document; one file holds one\n"},
		{"not UTF-8", head + "owner: a\xff\n", "recipe.yaml:3:9: byte 0xff is not UTF-8 (save the file as UTF-8)\n"},
		{"control character", head + "owner: \x1b[31m\n", "recipe.yaml:3:8: control character U+001B (in double quotes it can be written as an escape, as \"\\x07\")\n"},
		{"unclosed quote", head + "owner: \"web\nexpires: 90d\n", "recipe.yaml:3:8: not YAML: found unexpected end of stream while scanning a quoted scalar (is a quote or bracket never closed?)\n"},
		{"colon", head + "run:\n  - echo a: b: c\n", "recipe.yaml:4:14: not YAML: mapping values are not allowed in this context (text with \": \" in it needs quotes)\n"},
		{"parameter in a flow mapping", head + "ports: {http: ${port}}\n", "recipe.yaml:3:16: not YAML: did not find expected ',' or '}' while parsing a flow mapping (inside [ ] and { }, put text such as \"${name}\" in quotes)\n"},
		{"deep flow", "name: " + strings.Repeat("[", 51) + strings.Repeat("]", 51) + "\n", "recipe.yaml:1:57: nested deeper than 50 levels\n"},

		// types
		{"missing keys", "owner: me\n", "recipe.yaml:1:1: the file needs \"name\"\nrecipe.yaml:1:1: the file needs \"from\"\n"},
		{"no value", head + "packages:\n", "recipe.yaml:3:10: packages has no value (leave the key out when there is nothing to say)\n"},
		{"text for a list", head + "packages: nginx\n", "recipe.yaml:3:11: packages: want a list, not text (write it in [ ])\n"},
		{"number for text", head + "env: {A: 1}\n", "recipe.yaml:3:10: env.A: want text, not a number (put it in quotes: \"1\")\n"},
		{"mode that isn't quoted", head + "directories: [{path: /a, mode: 0755}]\n",
			"recipe.yaml:3:32: directories[0].mode: want text, not a number (put a mode in quotes, or YAML makes a number of it: \"0755\")\n"},
		{"text for a number", head + "users: [{name: a, uid: \"900\"}]\n", "recipe.yaml:3:24: users[0].uid: want a number, not text (without quotes)\n"},
		{"octal number", head + "users: [{name: a, uid: 0900}, {name: b, uid: 0x10}]\n",
			"recipe.yaml:3:24: users[0].uid: 0900 is not a plain decimal number\nrecipe.yaml:3:46: users[1].uid: 0x10 is not a plain decimal number\n"},
		{"yes", head + "recommends: yes\n", "recipe.yaml:3:13: recommends: want true or false, not text\n"},
		{"NUL", head + "env: {A: \"a\\0b\"}\n", "recipe.yaml:3:7: env.A has a NUL byte\n"},
		{"unknown key below", head + "health: {tcp: 80, interva: 1s}\n", "recipe.yaml:3:19: unknown key \"interva\" (did you mean \"interval\"?)\n"},
		{"unknown key like none", head + "users: [{name: a, uid: 1, zzzzzzzz: 1}]\n",
			"recipe.yaml:3:27: unknown key \"zzzzzzzz\" (known: gecos, gid, group, groups, home, name, shell, system, uid)\n"},

		// from
		{"from nothing", "name: a\nfrom: {}\n", "recipe.yaml:2:7: from needs one of debian, ubuntu, base, rootfs, scratch\n"},
		{"from two", "name: a\nfrom: {debian: bookworm, ubuntu: noble}\n", "recipe.yaml:2:34: from has debian and ubuntu; only one of them is possible\n"},
		{"from a word", "name: a\nfrom: bookworm\n", "recipe.yaml:2:7: from: want a mapping or scratch, not text (as {debian: bookworm}, {base: web:1.0}, {rootfs: root.tar.xz} or scratch)\n"},
		{"from with mirror of scratch", "name: a\nfrom: {scratch: true, mirror: \"https://archive.example\"}\n", "recipe.yaml:2:31: from.mirror goes with debian or ubuntu only\n"},
		{"suites without mirror", "name: a\nfrom: {debian: bookworm, suites: [b]}\n", "recipe.yaml:2:34: from.suites goes with a mirror only (name the mirror, or leave it out for the host's own suites)\n"},
		{"variant", "name: a\nfrom: {debian: bookworm, variant: minimal}\n", "recipe.yaml:2:35: from.variant: unknown word \"minimal\" (one of essential, minbase, none)\n"},
		{"mirror", "name: a\nfrom: {debian: bookworm, mirror: \"ftp://archive.example\"}\n", "recipe.yaml:2:34: from.mirror: want a URL with http, https, file, not \"ftp://archive.example\"\n"},
		{"mirror with a password", "name: a\nfrom: {debian: bookworm, mirror: \"https://u:p@archive.example\"}\n", "recipe.yaml:2:34: from.mirror: a URL with a user or password in it (put the login into apt's auth.conf, see apt_auth.conf(5))\n"},
		{"url with a token", "name: a\nfrom: scratch\nfiles: [{path: /x, url: \"https://u@archive.example/x\"}]\n", "recipe.yaml:3:25: files[0].url: a URL with a user or password in it (put the file beside the recipe, as source)\n"},
		{"base", "name: a\nfrom: {base: \"Web 1\"}\n", "recipe.yaml:2:14: from.base: \"Web 1\" is neither a recipe nor an image (as ../base/recipe.yaml, web:1.0 or sha256:…)\n"},
		{"with and an image", "name: a\nfrom: {base: web:1, with: {a: b}}\n", "recipe.yaml:2:27: from.with gives the parameters of a base recipe; this base is none\n"},
		{"packages from nowhere", "name: a\nfrom: scratch\npackages: [nginx]\n", "recipe.yaml:3:12: packages[0]: there is no archive to take it from (name one under archives)\n"},
		{"rootfs elsewhere", "name: a\nfrom: {rootfs: ../root.tar}\n", "recipe.yaml:2:16: from.rootfs: \"../root.tar\" is not within the recipe's directory (name a file below it)\n"},
		{"missing key file", "name: a\nfrom: {debian: bookworm, keys: [none.asc]}\n", "recipe.yaml:2:33: from.keys[0]: open none.asc: file does not exist\n"},

		// archives, pins, packages
		{"archive without key", head + "archives: [{name: x, uri: \"https://archive.example\", suite: a, components: [main], keys: []}]\n",
			"recipe.yaml:3:90: archives[0]: an archive without a key can't be trusted\n"},
		{"archive without components", head + "archives: [{name: x, uri: \"https://archive.example\", suite: a, keys: [key.asc]}]\n",
			"recipe.yaml:3:12: archives[0] needs components (a suite that ends in \"/\" is flat and has none)\n"},
		{"pin", head + "pins: [{package: a, version: \"1\", origin: D, priority: 0}]\n",
			"recipe.yaml:3:43: pins[0] has version and origin; only one of them is possible\nrecipe.yaml:3:56: pins[0]: priority 0 is not within -32768 to 32767, and not 0 (see apt_preferences(5))\n"},
		{"package syntax", head + "packages: [Nginx, x.deb, -a=1, 'nginx 1', 'b=']\n",
			"recipe.yaml:3:12: packages[0]: \"Nginx\" is not name, name=version, name:arch, -name or ./file.deb\n" +
				"recipe.yaml:3:19: packages[1]: \"x.deb\": write a file beside the recipe as ./x.deb\n" +
				"recipe.yaml:3:26: packages[2]: \"-a=1\" is not name, name=version, name:arch, -name or ./file.deb\n" +
				"recipe.yaml:3:32: packages[3]: \"nginx 1\" is not name, name=version, name:arch, -name or ./file.deb\n" +
				"recipe.yaml:3:43: packages[4]: \"b=\" is not name, name=version, name:arch, -name or ./file.deb\n"},
		{"package kept out in one version", head + "packages: [-nginx=1]\n", "recipe.yaml:3:12: packages[0]: -nginx=1: a package is kept out in every version\n"},
		{"package twice", head + "packages: [nginx, -nginx]\n", "recipe.yaml:3:19: package nginx is there twice, first on line 3\n"},

		// accounts
		{"uid twice", head + "users: [{name: a, uid: 1}, {name: b, uid: 1}]\n", "recipe.yaml:3:43: uid 1 is there twice, first on line 3\n"},
		{"ids", head + "users: [{name: a, uid: -1}, {name: b, uid: 65535}, {name: c, uid: 0}]\n",
			"recipe.yaml:3:24: users[0].uid: -1 is not within 0 to 4294967294\nrecipe.yaml:3:44: users[1].uid: 65535 must not be used\nrecipe.yaml:3:67: users[2].uid: 0 is root's\n"},
		{"own group's gid taken", head + "groups: [{name: g, gid: 900}]\nusers: [{name: a, uid: 900}]\n",
			"recipe.yaml:4:9: users[0]: its own group would have gid 900, taken on line 3 (give the user a group or a gid)\n"},
		{"gid of another group", head + "groups: [{name: g, gid: 900}]\nusers: [{name: a, uid: 900, group: g, gid: 1}]\n",
			"recipe.yaml:4:44: users[0]: gid 1, but group g has 900\n"},
		{"gecos", head + "users: [{name: a, uid: 1, gecos: \"a:b\"}]\n", "recipe.yaml:3:34: users[0]: gecos can't have a colon or a newline\n"},
		{"owner in scratch", "name: a\nfrom: scratch\nusers: [{name: app, uid: 1}]\ndirectories: [{path: /a, owner: ap, group: www}]\n",
			"recipe.yaml:4:33: directories[0].owner: no user ap (did you mean \"app\"?)\nrecipe.yaml:4:44: directories[0].group: no group www (declare it under groups)\n"},
		{"owner that can't be", head + "directories: [{path: /a, owner: \"a b\"}]\n", "recipe.yaml:3:33: directories[0].owner: \"a b\" can't name a user\n"},

		// contents
		{"two contents", head + "files: [{path: /a, content: x, source: site.conf}]\n", "recipe.yaml:3:40: files[0] has content and source; only one of them is possible\n"},
		{"no content", head + "files: [{path: /a}]\n", "recipe.yaml:3:9: files[0] needs one of content, source, tree, url\n"},
		{"one path twice", head + "files: [{path: /a, content: x}]\nlinks: [{path: /a, to: b}]\n", "recipe.yaml:4:16: /a is there twice, first on line 3\n"},
		{"inside a file", head + "files: [{path: /a, content: x}]\nlinks: [{path: /a/b/c, to: b}]\n", "recipe.yaml:4:16: links[0]: /a/b/c is inside /a, which is a file\n"},
		{"paths", head + "directories: [{path: a}, {path: /a/../b}, {path: /}, {path: /proc/x}, {path: \"/a\\nb\"}]\n",
			"recipe.yaml:3:22: directories[0].path: \"a\" is not an absolute path\n" +
				"recipe.yaml:3:33: directories[1].path: \"/a/../b\" is not clean: write /b\n" +
				"recipe.yaml:3:50: directories[2].path: / is always there\n" +
				"recipe.yaml:3:61: directories[3].path: /proc/x is hidden at run time, when something is mounted on /proc\n" +
				"recipe.yaml:3:78: directories[4].path: \"/a\\nb\" has a control character\n"},
		{"mode", head + "directories: [{path: /a, mode: \"0999\"}]\n", "recipe.yaml:3:32: directories[0].mode: \"0999\" is not allowed here (three or four octal digits, as \"0644\")\n"},
		{"source missing", head + "files: [{path: /a, source: none}]\n", "recipe.yaml:3:28: files[0].source: open none: file does not exist\n"},
		{"source elsewhere", head + "files: [{path: /a, source: ../x}, {path: /b, tree: /etc}]\n",
			"recipe.yaml:3:28: files[0].source: \"../x\" is not within the recipe's directory (name a file below it)\nrecipe.yaml:3:52: files[1].tree: \"/etc\" is not within the recipe's directory (name a file below it)\n"},
		{"url", head + "files: [{path: /a, url: \"file:///etc/passwd\"}]\n", "recipe.yaml:3:25: files[0].url: want a URL with http, https, not \"file:///etc/passwd\"\n"},
		{"delete", head + "delete: [/, a, \"/a[\"]\n",
			"recipe.yaml:3:10: delete[0]: \"/\" can't be deleted (a path, or a glob with *, ? and [ ])\n" +
				"recipe.yaml:3:13: delete[1]: \"a\" is not an absolute path\nrecipe.yaml:3:16: delete[2]: \"/a[\" can't be deleted (a path, or a glob with *, ? and [ ])\n"},
		{"made and deleted", head + "files: [{path: /a, content: x}]\ndelete: [/a]\n", "recipe.yaml:4:10: delete[0]: /a is made by files[0]\n"},

		// the rest
		{"name", "name: Web\nfrom: scratch\n", "recipe.yaml:1:7: name: \"Web\" is not allowed here (lower case letters, digits, and . _ - between them)\n"},
		{"service", head + "services: [\"a b\", nginx, nginx]\n",
			"recipe.yaml:3:12: services[0]: \"a b\" is not allowed here (the name of a systemd unit, as nginx.service)\nrecipe.yaml:3:26: services: \"nginx\" is there twice, first on line 3\n"},
		{"steps", head + "run: ['', [], {sh: a, argv: [b]}, {unless: a}, 1]\n",
			"recipe.yaml:3:7: run[0] needs one of sh, argv\nrecipe.yaml:3:11: run[1]: an empty command\nrecipe.yaml:3:29: run[2] has sh and argv; only one of them is possible\n" +
				"recipe.yaml:3:35: run[3] needs one of sh, argv\nrecipe.yaml:3:48: run[4]: want a command as text, a list, or a mapping, not a number\n"},
		{"env", head + "env: {A-B: x}\n", "recipe.yaml:3:7: env: \"A-B\" can't name a variable\n"},
		{"ports", head + "ports: {a: 0, b: 65536, c: 80, d: 80/tcp, e: 80/sctp, F: 1}\n",
			"recipe.yaml:3:12: ports.a: port 0 is not within 1 to 65535\nrecipe.yaml:3:18: ports.b: port 65536 is not within 1 to 65535\n" +
				"recipe.yaml:3:32: ports: c and d are both 80\nrecipe.yaml:3:46: ports.e: \"80/sctp\" is not a port (as 80 or \"53/udp\")\n" +
				"recipe.yaml:3:55: ports: \"F\" can't name a port (lower case letters, digits and - between them)\n"},
		{"health", head + "health: {http: /x, tcp: 1, interval: 5}\n",
			"recipe.yaml:3:16: health.http: there are 0 ports (write which port, as http/health)\nrecipe.yaml:3:25: health has http and tcp; only one of them is possible\n" +
				"recipe.yaml:3:38: health.interval: want a duration, not a number (with its unit, as \"30s\")\n"},
		{"health port", head + "ports: {http: 80}\nhealth: {http: htp/x, timeout: soon}\n",
			"recipe.yaml:4:16: health.http: no port htp (did you mean \"http\"?)\nrecipe.yaml:4:32: health.timeout: \"soon\" is not a duration (as \"30s\" or \"1m30s\")\n"},
		{"state", head + "state: [/, /a, /a/b]\n",
			"recipe.yaml:3:9: state[0]: / can't be state as a whole (name the directories below it)\nrecipe.yaml:3:16: state[2]: /a/b is inside /a, which is state, too (the outer one is enough)\n"},
		{"expiry", head + "expires: soon\n", "recipe.yaml:3:10: expires: \"soon\" is neither a span nor a date (as 90d, 12w or \"2027-01-31\")\n"},
		{"expiry that isn't a day", head + "expires: 2027-02-30\n", "recipe.yaml:3:10: expires: \"2027-02-30\" is neither a span nor a date (as 90d, 12w or \"2027-01-31\")\n"},
		{"lifecycle", head + "lifecycle: durible\n", "recipe.yaml:3:12: lifecycle: unknown word \"durible\" (did you mean \"durable\"?)\n"},
		{"lint", head + "lint: {no-ownr: off, secret: of}\n", "recipe.yaml:3:8: lint: unknown rule \"no-ownr\" (did you mean \"no-owner\"?)\nrecipe.yaml:3:22: lint.secret: unknown severity \"of\" (one of error, warning, off)\n"},
		{"signal", head + "stop_signal: TERM\n", "recipe.yaml:3:14: stop_signal: \"TERM\" is not allowed here (as SIGTERM)\n"},
		{"user", head + "user: \"a b:c\"\n", "recipe.yaml:3:7: user: \"a b\" can't name a user\n"},

		// parameters
		{"unresolved", head + "env: {A: \"x ${HOME} y\"}\n", "recipe.yaml:3:13: ${HOME} is not a declared parameter (declare it under params, or write $${HOME} for the text itself)\n"},
		{"unresolved in a block", head + "params: {port: {type: port, default: 1}}\nfiles:\n  - path: /a\n    content: |\n      a\n      bé ${prt}\n",
			"recipe.yaml:8:10: ${prt} is not a declared parameter (did you mean \"port\"?)\n"},
		{"unclosed", head + "env: {A: \"${x\"}\n", "recipe.yaml:3:11: ${ is not a declared parameter (declare it under params, or write $${ for the text itself)\n"},
		{"no value and no default", head + "params: {port: {type: port}}\n", "recipe.yaml:3:10: parameter port has no value and no default (give it with --set port=…)\n"},
		{"declaration", head + "params: {A: {}, b: {type: text}, c: {type: enum}, d: {values: [a], default: x}, e: {type: int, default: one}}\n",
			"recipe.yaml:3:10: \"A\" can't name a parameter (lower case letters, digits and _)\nrecipe.yaml:3:10: parameter A has no value and no default (give it with --set A=…)\n" +
				"recipe.yaml:3:17: parameter b has no value and no default (give it with --set b=…)\nrecipe.yaml:3:27: parameter b: unknown type \"text\" (one of string, int, bool, enum, port, path)\n" +
				"recipe.yaml:3:34: parameter c: an enum needs values\nrecipe.yaml:3:34: parameter c has no value and no default (give it with --set c=…)\n" +
				"recipe.yaml:3:63: parameter d: only an enum has values (type: enum)\nrecipe.yaml:3:105: parameter e: default \"one\" is not a plain decimal number\n"},
		{"parameter of another type", head + "params: {n: {type: int, default: 5}}\nrecommends: ${n}\nowner: ${n}\n", "recipe.yaml:4:13: recommends: want true or false, not a number\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := loadText(tt.text, nil)
			if diff := cmp.Diff(tt.want, problemLines(t, err)); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParamsAreTyped(t *testing.T) {
	r, err := loadText(head+`params:
  port: {type: port}
  deb: {type: bool, default: false}
  who: {default: "a\"b: c"}
ports: {http: "${port}"}
recommends: ${deb}
owner: ${who}
env:
  PORT: ${port}
  DEBUG: ${deb}
  BOTH: ${who}-${port}$${port}$$$${who}
`, map[string]string{"port": "8080", "deb": "true"})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"PORT": "8080", "DEBUG": "true", "BOTH": `a"b: c-8080${port}$$${who}`}
	if diff := cmp.Diff(want, r.Env); diff != "" {
		t.Errorf("env (-want +got):\n%s", diff)
	}
	if r.Ports["http"] != (Port{8080, "tcp"}) || !r.Recommends || r.Owner != `a"b: c` {
		t.Errorf("got ports %v, recommends %v, owner %q", r.Ports, r.Recommends, r.Owner)
	}
}

func TestSetWinsOverValues(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "recipe.yaml", head+"params: {a: {}, b: {}, c: {default: c}}\nenv: {A: \"${a}\", B: \"${b}\", C: \"${c}\"}\n")
	values := write(t, dir, "values.yaml", "a: 1\nb: two\n")
	r, err := Load(filepath.Join(dir, "recipe.yaml"), Options{Values: values, Set: map[string]string{"b": "set"}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"A": "1", "B": "set", "C": "c"}, r.Env); diff != "" {
		t.Errorf("env (-want +got):\n%s", diff)
	}
}

func TestBadValues(t *testing.T) {
	dir := t.TempDir()
	recipe := write(t, dir, "recipe.yaml", head+"params:\n  port: {type: port}\n  lvl: {type: enum, values: [a, b]}\n")
	values := write(t, dir, "values.yaml", "prt: 1\nport: 99999\nlvl: [a]\n")
	_, err := Load(recipe, Options{Values: values, Set: map[string]string{"lv": "c"}})
	want := strings.ReplaceAll(`RECIPE: parameter "lv" is not declared (did you mean "lvl"?)
RECIPE:5:3: parameter lvl has no value and no default (give it with --set lvl=…)
VALUES:1:6: parameter "prt" is not declared (did you mean "port"?)
VALUES:2:7: parameter port: "99999" is not a port within 1 to 65535
VALUES:3:6: parameter lvl: want one value, not a list
`, "RECIPE", recipe)
	want = strings.ReplaceAll(want, "VALUES", values)
	if diff := cmp.Diff(want, problemLines(t, err)); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

// write makes a file in dir and gives its path.
func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSourcesOnDisk(t *testing.T) {
	outside := t.TempDir()
	write(t, outside, "secret", "x")
	dir := t.TempDir()
	write(t, dir, "tree/a", "a")
	if err := os.Symlink(filepath.Join(outside, "secret"), filepath.Join(dir, "escape")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("tree/a", filepath.Join(dir, "inside")); err != nil {
		t.Fatal(err)
	}
	recipe := write(t, dir, "recipe.yaml", `name: a
from: {base: none/recipe.yaml}
files:
  - {path: /1, source: inside}
  - {path: /2, source: escape}
  - {path: /3, source: tree}
  - {path: /4, tree: inside}
  - {path: /5, source: missing}
packages: [./missing.deb]
`)
	_, err := Load(recipe, Options{})
	want := strings.ReplaceAll(`R:2:14: from.base: no recipe none/recipe.yaml
R:5:24: files[1].source: statat escape: path escapes from parent
R:6:24: files[2].source: tree is not a regular file
R:7:22: files[3].tree: inside is not a directory
R:8:24: files[4].source: no missing beside the recipe
R:9:12: packages[0]: no ./missing.deb beside the recipe
`, "R:", recipe+":")
	if diff := cmp.Diff(want, problemLines(t, err)); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func TestLoadLimits(t *testing.T) {
	_, err := loadText(head+"#"+strings.Repeat("x", maxRecipeBytes), nil)
	if got, want := problemLines(t, err), "recipe.yaml: larger than 1 MiB\n"; got != want {
		t.Errorf("large file: got %q, want %q", got, want)
	}
	_, err = loadText(head+"packages: ["+strings.Repeat("A, ", 100000)+"]\n", nil)
	ps, _ := errors.AsType[Problems](err)
	if len(ps) != maxProblems+1 || ps[maxProblems].Message != "and 99950 more problems" {
		t.Errorf("many problems: got %d, the last %q", len(ps), ps[len(ps)-1].Message)
	}
	if _, err := Load(filepath.Join(t.TempDir(), "none.yaml"), Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: got %v, want ErrNotExist", err)
	}
}

func TestPlaces(t *testing.T) {
	r, err := loadText("name: web\nfrom: scratch\nfiles:\n  - path: /a\n    content: x\n  - {path: /b, content: y}\nrun:\n- a\n- b\nenv:\n  HOME: /\n", nil)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, place := range []string{"files[0]", "files[1]", "files[1].content", "run[1]", "env.HOME", "nowhere"} {
		got[place] = r.Place(place)
	}
	want := map[string]string{
		"files[0]": "recipe.yaml:4:5", "files[1]": "recipe.yaml:6:5", "files[1].content": "recipe.yaml:6:25",
		"run[1]": "recipe.yaml:9:3", "env.HOME": "recipe.yaml:11:3", "nowhere": "recipe.yaml",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("places (-want +got):\n%s", diff)
	}
}

func TestExpiry(t *testing.T) {
	for _, tt := range []struct {
		text string
		want Expiry
	}{
		{"90d", Expiry{After: 90 * 24 * time.Hour}},
		{"12w", Expiry{After: 84 * 24 * time.Hour}},
		{"36525d", Expiry{After: 36525 * 24 * time.Hour}},
		{"2027-01-31", Expiry{On: time.Date(2027, 1, 31, 0, 0, 0, 0, time.UTC)}},
	} {
		got, err := parseExpiry(tt.text)
		if err != nil || got != tt.want {
			t.Errorf("%s: got %v, %v", tt.text, got, err)
		}
		if again, err := parseExpiry(got.String()); err != nil || again != got {
			t.Errorf("%s as %s: got %v, %v", tt.text, got, again, err)
		}
	}
	for _, text := range []string{"", "0d", "90", "d", "36526d", "9999w", "1y", "2027-1-1", "1969-01-01"} {
		if got, err := parseExpiry(text); err == nil {
			t.Errorf("%q: got %v, want an error", text, got)
		}
	}
}

func TestParseSets(t *testing.T) {
	got, err := ParseSets([]string{"a=1", "b=x=y", "c="})
	if diff := cmp.Diff(map[string]string{"a": "1", "b": "x=y", "c": ""}, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for _, bad := range [][]string{{"a"}, {"=1"}, {"A=1"}, {"a=1", "a=1"}} {
		if got, err := ParseSets(bad); err == nil {
			t.Errorf("%q: got %v, want an error", bad, got)
		}
	}
}
