package recipe

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

// A Rule is something that makes images go bad.
type Rule struct {
	Name     string `json:"name"`
	Severity string `json:"severity"` // unless the recipe says otherwise: error or warning
	Why      string `json:"why"`
	Hint     string `json:"hint"` // what to do
}

var rules = []Rule{
	{"no-owner", "warning", "an image that belongs to nobody is never updated and never deleted", `say who answers for it, as "owner: web-team"`},
	{"no-expiry", "warning", "an image without an end is kept, and run, long after its packages are known to be broken", `say when it must be baked again, as "expires: 90d"`},
	{"floating-base", "warning", "the name points at another image tomorrow; what was reviewed isn't what is baked", `add the digest, as "base: web:1.0@sha256:…", or name a recipe`},
	{"tls-off", "error", "without verification anybody on the way can put in what they like", "put the missing CA certificate under files instead"},
	{"secret", "error", "an image is copied to many places and kept for long; what is inside must be taken as published", "give it at run time; it doesn't belong in a parameter either"},
	{"ssh-server", "warning", "a login changes a machine by hand, past the recipe, and needs keys and patches of its own", `use "brickyard exec" and "brickyard debug"`},
	{"several-services", "warning", "services in one image fail, grow, move and expire together", "one image for each, and a line between them"},
	{"state-inside", "warning", "what a service writes into its image is lost with the next release", "declare the path under state, and fill it when the service first starts"},
	{"download-in-run", "warning", "there is no network while baking, and what is downloaded isn't in the lock", "use packages, or files with url, which are locked by sha256"},
	{"latest", "warning", "it names whatever is newest on the day, so that two bakes of one recipe differ", "name a version"},
}

// LintRules lists all rules with their reasons.
func LintRules() []Rule { return slices.Clone(rules) }

func ruleNames() []string {
	names := make([]string, len(rules))
	for i, r := range rules {
		names[i] = r.Name
	}
	return names
}

// A Finding is one place where a rule speaks up.
type Finding struct {
	Rule     string `json:"rule"`
	Severity string `json:"severity"` // error or warning
	Place    string `json:"place"`    // file:line:column, of the recipe or of a source
	Message  string `json:"message"`  // never a secret itself
	Why      string `json:"why"`
	Hint     string `json:"hint"`
}

// Lint looks at a recipe, and at the text of its sources, for what makes images go bad. Rules are weighed as
// the recipe's lint: says. Sources that can't be read are left to the baker.
func Lint(r *Recipe) []Finding {
	l := &linter{r: r, seen: map[Finding]bool{}}
	l.keeping()
	l.floating()
	l.services()
	l.stateInside()
	l.downloads()
	for _, t := range l.texts() {
		l.text(t)
	}
	slices.SortStableFunc(l.findings, func(a, b placed) int {
		return cmp.Or(comparePos(a.recipe, b.recipe), cmp.Compare(a.file, b.file), comparePos(a.source, b.source),
			cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Message, b.Message))
	})
	findings := make([]Finding, len(l.findings))
	for i, f := range l.findings {
		findings[i] = f.Finding
	}
	return findings
}

type placed struct {
	Finding
	recipe, source pos // in the recipe, and in a source
	file           string
}

func comparePos(a, b pos) int {
	return cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(a.column, b.column))
}

type linter struct {
	r        *Recipe
	findings []placed
	seen     map[Finding]bool
}

// add reports a finding at a place of the recipe ("run[0]").
func (l *linter) add(rule, place, format string, args ...any) {
	l.addIn(rule, place, "", pos{}, fmt.Sprintf(format, args...))
}

// addIn reports a finding once, unless the recipe has the rule off. It is at a place of the recipe or, when
// file isn't "", in the source that is named there.
func (l *linter) addIn(rule, place, file string, source pos, message string) {
	at := l.r.Place(place)
	if file != "" {
		at = fmt.Sprintf("%s:%d:%d", file, source.line, source.column)
	}
	r := rules[slices.IndexFunc(rules, func(r Rule) bool { return r.Name == rule })]
	severity := cmp.Or(l.r.Lint[rule], r.Severity)
	f := Finding{rule, severity, at, message, r.Why, r.Hint}
	if severity == "off" || l.seen[f] {
		return
	}
	l.seen[f] = true
	recipe := pos{l.r.Lines[place], l.r.Columns[place]}
	l.findings = append(l.findings, placed{f, recipe, source, file})
}

// keeping looks at who answers for the image, and for how long.
func (l *linter) keeping() {
	if l.r.Owner == "" {
		l.add("no-owner", "name", "%s has no owner", l.r.Name)
	}
	if l.r.Expires == (Expiry{}) {
		l.add("no-expiry", "name", "%s never expires", l.r.Name)
	}
}

// movingSuites are names that pass from one release to the next.
var movingSuites = []string{"stable", "testing", "unstable", "sid", "oldstable", "oldoldstable", "experimental", "devel", "rolling"}

var (
	latestWord    = regexp.MustCompile(`(?i)(^|[/._-])latest($|[/._-])`)
	latestInstall = regexp.MustCompile(`(?i)[@:]latest\b`)
)

func (l *linter) floating() {
	f := l.r.From
	if f.Base != "" && !f.IsRecipe() && !strings.Contains(f.Base, "sha256:") {
		_, tag, _ := strings.Cut(path.Base(f.Base), ":")
		if tag == "" || tag == "latest" {
			l.add("floating-base", "from.base", "base %s names whatever is newest", f.Base)
		} else {
			l.add("floating-base", "from.base", "base %s is a tag without a digest", f.Base)
		}
	}
	for place, suite := range map[string]string{"from.debian": f.Debian, "from.ubuntu": f.Ubuntu} {
		if slices.Contains(movingSuites, suite) {
			l.add("latest", place, "suite %s is another release after the next one", suite)
		}
	}
	for i, a := range l.r.Archives {
		if slices.Contains(movingSuites, a.Suite) {
			l.add("latest", fmt.Sprintf("archives[%d].suite", i), "suite %s is another release after the next one", a.Suite)
		}
	}
	for i, file := range l.r.Files {
		if latestWord.MatchString(file.URL) {
			l.add("latest", fmt.Sprintf("files[%d].url", i), "the URL names whatever is latest")
		}
	}
	for i, s := range l.r.Run {
		if latestInstall.MatchString(s.command()) {
			l.add("latest", fmt.Sprintf("run[%d]", i), "the command names whatever is latest")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(l.r.Env)) {
		if strings.EqualFold(l.r.Env[name], "latest") {
			l.add("latest", "env."+name, "%s is latest", name)
		}
	}
}

// command is the step as one line of text.
func (s Step) command() string {
	if s.Shell != "" {
		return s.Shell
	}
	return strings.Join(s.Argv, " ")
}

// A server is a program that runs for long.
type server struct {
	name     string
	packages *regexp.Regexp
	data     string // where its package puts its data, for those that keep some
}

func newServer(name, packages, data string) server {
	return server{name, regexp.MustCompile(`^(?:` + packages + `)$`), data}
}

var servers = []server{
	newServer("nginx", `nginx(-(light|core|full|extras))?`, ""),
	newServer("apache2", `apache2`, ""),
	newServer("lighttpd", `lighttpd`, ""),
	newServer("caddy", `caddy`, ""),
	newServer("haproxy", `haproxy`, ""),
	newServer("varnish", `varnish`, ""),
	newServer("squid", `squid(-openssl)?`, ""),
	newServer("php-fpm", `php[0-9.]*-fpm`, ""),
	newServer("tomcat", `tomcat[0-9]+`, ""),
	newServer("postgresql", `postgresql(-[0-9.]+)?`, "/var/lib/postgresql"),
	newServer("mariadb", `mariadb-server(-[0-9.]+)?`, "/var/lib/mysql"),
	newServer("mysql", `(default-)?mysql-server(-[0-9.]+)?`, "/var/lib/mysql"),
	newServer("redis", `redis(-server)?`, "/var/lib/redis"),
	newServer("valkey", `valkey(-server)?`, "/var/lib/valkey"),
	newServer("mongodb", `mongodb(-server|-org|-org-server)?`, "/var/lib/mongodb"),
	newServer("couchdb", `couchdb`, "/var/lib/couchdb"),
	newServer("influxdb", `influxdb2?`, "/var/lib/influxdb"),
	newServer("elasticsearch", `elasticsearch|opensearch`, "/var/lib/elasticsearch"),
	newServer("etcd", `etcd-server|etcd`, "/var/lib/etcd"),
	newServer("memcached", `memcached`, ""),
	newServer("rabbitmq", `rabbitmq-server`, "/var/lib/rabbitmq"),
	newServer("mosquitto", `mosquitto`, "/var/lib/mosquitto"),
	newServer("slapd", `slapd`, "/var/lib/ldap"),
	newServer("prometheus", `prometheus`, "/var/lib/prometheus"),
	newServer("grafana", `grafana`, "/var/lib/grafana"),
	newServer("postfix", `postfix`, "/var/spool/postfix"),
	newServer("exim4", `exim4(-daemon-(light|heavy))?`, "/var/spool/exim4"),
	newServer("dovecot", `dovecot-core|dovecot-imapd|dovecot-pop3d`, ""),
	newServer("bind9", `bind9`, ""),
	newServer("unbound", `unbound`, ""),
	newServer("dnsmasq", `dnsmasq`, ""),
	newServer("samba", `samba`, "/var/lib/samba"),
	newServer("ftp", `vsftpd|proftpd(-basic|-core)?|pure-ftpd`, ""),
	newServer("nfs", `nfs-kernel-server`, ""),
	newServer("cups", `cups(-daemon)?`, ""),
}

var (
	sshPackages = regexp.MustCompile(`^(openssh-server|dropbear|dropbear-bin|tinysshd)$`)
	sshUnits    = regexp.MustCompile(`^(ssh|sshd|dropbear|tinysshd)(@.*)?(\.(service|socket))?$`)
)

// services looks at the packages and units that run for long.
func (l *linter) services() {
	found := map[string]string{} // server → place
	for i, p := range l.r.Packages {
		place := fmt.Sprintf("packages[%d]", i)
		if p.Exclude {
			continue
		}
		if sshPackages.MatchString(p.Name) {
			l.add("ssh-server", place, "package %s is an ssh server", p.Name)
		}
		for _, s := range servers {
			if !s.packages.MatchString(p.Name) {
				continue
			}
			if found[s.name] == "" {
				found[s.name] = place
			}
			if s.data != "" && !l.isState(s.data) {
				l.add("state-inside", place, "%s keeps its data in %s, which isn't state", p.Name, s.data)
			}
		}
	}
	for i, unit := range l.r.Services {
		place := fmt.Sprintf("services[%d]", i)
		if sshUnits.MatchString(unit) {
			l.add("ssh-server", place, "service %s is an ssh server", unit)
			continue
		}
		name, suffix, _ := strings.Cut(unit, ".")
		if suffix == "" || suffix == "service" {
			l.service(found, name, place)
		}
	}
	if len(found) < 2 {
		return
	}
	names := slices.Sorted(maps.Keys(found))
	last := slices.MaxFunc(names, func(a, b string) int { return cmp.Compare(l.r.Lines[found[a]], l.r.Lines[found[b]]) })
	l.add("several-services", found[last], "%s in one image", strings.Join(names, " and "))
}

// service notes a unit, unless it is of a package that is noted already.
func (l *linter) service(found map[string]string, unit, place string) {
	for _, s := range servers {
		if s.name == unit || s.packages.MatchString(unit) {
			unit = s.name
			break
		}
	}
	if found[unit] == "" {
		found[unit] = place
	}
}

// isState reports whether the directory, one above it or some below it are declared as state.
func (l *linter) isState(dir string) bool {
	return slices.ContainsFunc(l.r.State, func(s string) bool { return s == dir || below(dir, s) || below(s, dir) })
}

// stateInside looks for what the recipe puts where state will hide it.
func (l *linter) stateInside() {
	state := map[string]bool{}
	for _, s := range l.r.State {
		state[s] = true
	}
	check := func(place, p string) {
		if outer := above(p+"/", state); outer != "" { // or p itself
			l.add("state-inside", place, "%s is put inside %s, which is state", p, outer)
		}
	}
	for i, f := range l.r.Files {
		check(fmt.Sprintf("files[%d]", i), f.Path)
	}
	for i, link := range l.r.Links {
		check(fmt.Sprintf("links[%d]", i), link.Path)
	}
	for i, d := range l.r.Directories {
		if !state[d.Path] { // which only says who owns it
			check(fmt.Sprintf("directories[%d]", i), d.Path)
		}
	}
}

// downloaders are commands that need the network, at the start of a command.
var downloaders = regexp.MustCompile(`(?m)(?:^|[|;&({]|\b(?:sudo|env|exec|then|do|else)\b)\s*(?:[A-Za-z_]+=\S*\s+)*(?:\S*/)?` +
	`(curl|wget|aria2c|git\s+(?:\S+\s+)*?clone|(?:pip|pip3|pipx|uv\s+pip)\s+install|npm\s+(?:install|i|ci)|yarn\s+(?:add|install)|pnpm\s+(?:add|install)|` +
	`(?:apt|apt-get|aptitude)\s+(?:-\S+\s+)*(?:install|update|upgrade|dist-upgrade|full-upgrade)|gem\s+install|bundle\s+install|` +
	`go\s+(?:install|get)|cargo\s+install|composer\s+(?:install|require)|docker\s+pull|snap\s+install|add-apt-repository)\b`)

func (l *linter) downloads() {
	for i, s := range l.r.Run {
		for _, m := range downloaders.FindAllStringSubmatch(s.command(), -1) {
			l.add("download-in-run", fmt.Sprintf("run[%d]", i), "%s in a step", strings.Join(strings.Fields(m[1]), " "))
		}
	}
}
