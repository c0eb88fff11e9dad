package recipe

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A checker looks at what a decoded recipe means. What couldn't be decoded has been reported and is zero.
type checker struct {
	*decoder
	r       *Recipe
	opts    Options
	sources map[string]source // place → file beside the recipe

	users, groups map[string]bool // names that the recipe declares
	gids          map[string]int  // of declared groups
}

// The words that a recipe may use.
var (
	variants   = []string{"essential", "minbase", "none"}
	lifecycles = []string{"disposable", "portable", "durable"}
	scripts    = []string{"run", ScriptsNone}
	severities = []string{"error", "warning", "off"}
)

// Patterns of names, shared with the schema.
const (
	recipeName    = `^[a-z0-9][a-z0-9._-]{0,127}$`
	suiteName     = `^[A-Za-z0-9][A-Za-z0-9._/-]*$`
	archiveSuite  = `^[A-Za-z0-9./][A-Za-z0-9._/-]*$` // "./" and "/" are flat
	componentName = `^[A-Za-z0-9][A-Za-z0-9._/-]*$`
	accountName   = `^[a-z_][a-z0-9_.-]{0,30}\$?$`
	unitName      = `^[A-Za-z0-9:_.\\-]+(@[A-Za-z0-9:_.\\-]*)?(\.(service|socket|timer|path|mount|automount|swap|target|slice))?$`
	envName       = `^[A-Za-z_][A-Za-z0-9_]*$`
	portName      = `^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`
	octalMode     = `^[0-7]{3,4}$`
	signalName    = `^(SIG(RTMIN\+|RTMAX-)?[A-Z0-9]+|[1-9][0-9]?)$`
	imageName     = `^[a-z0-9][a-z0-9._/-]*(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?$`
	digestName    = `^sha256:[0-9a-f]{64}$`
	pinName       = `^[a-z0-9*?][a-z0-9+.*?-]*$`
)

var (
	recipeNameRE   = regexp.MustCompile(recipeName)
	suiteRE        = regexp.MustCompile(suiteName)
	archiveSuiteRE = regexp.MustCompile(archiveSuite)
	componentRE    = regexp.MustCompile(componentName)
	accountRE      = regexp.MustCompile(accountName)
	unitRE         = regexp.MustCompile(unitName)
	envRE          = regexp.MustCompile(envName)
	portRE         = regexp.MustCompile(portName)
	modeRE         = regexp.MustCompile(octalMode)
	signalRE       = regexp.MustCompile(signalName)
	imageRE        = regexp.MustCompile(imageName)
	digestRE       = regexp.MustCompile(digestName)
	pinRE          = regexp.MustCompile(pinName)
	numericID      = regexp.MustCompile(`^(0|[1-9][0-9]{0,9})$`)
	pinVersionRE   = regexp.MustCompile(`^[A-Za-z0-9.+~:*?-]+$`)
	singleLineRE   = regexp.MustCompile(`^[^\x00-\x1f\x7f]+$`)
	releaseNameRE  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/ -]*$`)
)

// maxID is the largest user or group id. The next one, (uid_t)-1, means "none" to the kernel.
const maxID = 1<<32 - 2

func (c *checker) bad(place, hint, format string, args ...any) {
	c.rep.add(c.places[place], hint, format, args...)
}

func (c *checker) has(place string) bool { _, ok := c.places[place]; return ok }

// match reports a value that doesn't match. An empty one that isn't in the file is fine.
func (c *checker) match(place, value string, re *regexp.Regexp, hint string) {
	if (value != "" || c.isText(place)) && !re.MatchString(value) {
		c.bad(place, hint, "%s: %q is not allowed here", place, value)
	}
}

// isText reports whether the file says something at place, right or wrong in type.
func (c *checker) isText(place string) bool { return c.has(place) && !c.mistyped[place] }

// oneOf reports keys that exclude each other, or that none of them is there.
func (c *checker) oneOf(place string, keys ...string) {
	var found []string
	for _, k := range keys {
		if c.has(join(place, k)) {
			found = append(found, k)
		}
	}
	switch {
	case len(found) == 0:
		c.bad(place, "", "%s needs one of %s", place, strings.Join(keys, ", "))
	case len(found) > 1:
		c.bad(join(place, found[1]), "", "%s has %s; only one of them is possible", place, strings.Join(found, " and "))
	}
}

// archivePath is match for what becomes part of a path in an archive.
func (c *checker) archivePath(place, value string, re *regexp.Regexp, hint string) {
	if re.MatchString(value) && leavesDir(value) {
		c.bad(place, "", "%s: %q leaves the archive", place, value)
		return
	}
	c.match(place, value, re, hint)
}

func leavesDir(p string) bool { return slices.Contains(strings.Split(p, "/"), "..") }

// word reports a value that is none of words.
func (c *checker) word(place, value string, words []string) {
	if c.isText(place) && !slices.Contains(words, value) {
		hint := didYouMean(value, words)
		if hint == "" {
			hint = "one of " + strings.Join(words, ", ")
		}
		c.bad(place, hint, "%s: unknown word %q", place, value)
	}
}

// beside notes a file beside the recipe, to be looked at later.
func (c *checker) beside(place string, s source) { c.sources[place] = s }

func (c *checker) recipe() {
	c.sources = map[string]source{}
	r := c.r
	c.match("name", r.Name, recipeNameRE, "lower case letters, digits, and . _ - between them")
	if c.has("from") && !c.mistyped["from"] {
		c.from()
	}
	c.archives()
	c.pins()
	c.packages()
	c.noteAccounts()
	c.accounts()
	c.contents()
	c.deletions()
	for i, s := range r.Services {
		c.match(fmt.Sprintf("services[%d]", i), s, unitRE, "the name of a systemd unit, as nginx.service")
	}
	c.unique("services", r.Services)
	for i, s := range r.Run {
		c.step(fmt.Sprintf("run[%d]", i), s)
	}
	c.config()
	c.ports()
	c.health()
	c.state()
	c.word("lifecycle", r.Lifecycle, lifecycles)
	c.word("scripts", r.Scripts, scripts)
	c.match("owner", r.Owner, singleLineRE, "one line")
	c.policies()
	c.noNUL()
	c.checkSources(c.sources)
}

func (c *checker) from() {
	f := c.r.From
	if c.places["from.scratch"] != (pos{}) && !f.Scratch {
		c.bad("from.scratch", "leave it out", "from.scratch can only be true")
	}
	if !f.Scratch || c.has("from.scratch") { // not the short form
		c.oneOf("from", "debian", "ubuntu", "base", "rootfs", "scratch")
	}
	c.archivePath("from.debian", f.Debian, suiteRE, "a suite, as bookworm")
	c.archivePath("from.ubuntu", f.Ubuntu, suiteRE, "a suite, as noble")
	c.word("from.variant", f.Variant, variants)
	c.match("from.arch", f.Arch, archOnly, "Debian's name, as amd64 or arm64")
	if f.Mirror != "" || c.isText("from.mirror") {
		c.url("from.mirror", f.Mirror, "http", "https", "file")
	}
	for _, list := range []struct {
		key    string
		values []string
		re     *regexp.Regexp
	}{{"components", f.Components, componentRE}, {"suites", f.Suites, suiteRE}} {
		for i, v := range list.values {
			c.archivePath(fmt.Sprintf("from.%s[%d]", list.key, i), v, list.re, "")
		}
		c.unique("from."+list.key, list.values)
	}
	c.keys("from.keys", f.Keys)
	if f.Debian == "" && f.Ubuntu == "" {
		for _, key := range []string{"variant", "mirror", "components", "suites", "keys"} {
			if c.has("from." + key) {
				c.bad("from."+key, "", "from.%s goes with debian or ubuntu only", key)
			}
		}
	} else if c.has("from.suites") && f.Mirror == "" {
		c.bad("from.suites", "name the mirror, or leave it out for the host's own suites", "from.suites goes with a mirror only")
	}
	c.base()
	if f.Rootfs != "" {
		c.beside("from.rootfs", source{path: f.Rootfs})
	}
}

// IsRecipe reports whether the base is another recipe rather than an image.
func (f From) IsRecipe() bool {
	return strings.HasSuffix(f.Base, ".yaml") || strings.HasSuffix(f.Base, ".yml")
}

func (c *checker) base() {
	f := c.r.From
	switch {
	case !c.isText("from.base"):
	case f.IsRecipe():
		if path.IsAbs(f.Base) {
			c.bad("from.base", "", "from.base: %q is not relative to the recipe", f.Base)
		}
		c.baseExists()
	case !imageRE.MatchString(f.Base) && !digestRE.MatchString(f.Base):
		c.bad("from.base", "as ../base/recipe.yaml, web:1.0 or sha256:…", "from.base: %q is neither a recipe nor an image", f.Base)
	}
	if c.has("from.with") && !f.IsRecipe() {
		c.bad("from.with", "", "from.with gives the parameters of a base recipe; this base is none")
	}
	for name := range f.With {
		if !paramName.MatchString(name) {
			c.bad("from.with."+name, "", "%q can't name a parameter", name)
		}
	}
}

func (c *checker) keys(place string, keys []string) {
	for i, k := range keys {
		c.beside(fmt.Sprintf("%s[%d]", place, i), source{path: k, locked: true})
	}
	if c.isText(place) && len(keys) == 0 {
		c.bad(place, "leave the key out for those that the host trusts", "%s is empty", place)
	}
}

func (c *checker) archives() {
	names := map[string]int{}
	for i, a := range c.r.Archives {
		place := fmt.Sprintf("archives[%d]", i)
		c.match(place+".name", a.Name, recipeNameRE, "lower case letters, digits, and . _ - between them")
		c.once(names, a.Name, place+".name", "archive "+a.Name)
		if c.isText(place + ".uri") {
			c.url(place+".uri", a.URI, "http", "https", "file")
		}
		c.archivePath(place+".suite", a.Suite, archiveSuiteRE, `as bookworm, or "./" for a flat archive`)
		flat := strings.HasSuffix(a.Suite, "/")
		if flat && a.Components != nil {
			c.bad(place+".components", "", "%s: a flat archive has no components", place)
		}
		if !flat && a.Suite != "" && len(a.Components) == 0 {
			c.bad(place, `a suite that ends in "/" is flat and has none`, "%s needs components", place)
		}
		for j, comp := range a.Components {
			c.archivePath(fmt.Sprintf("%s.components[%d]", place, j), comp, componentRE, "")
		}
		if c.isText(place+".keys") && len(a.Keys) == 0 {
			c.bad(place+".keys", "", "%s: an archive without a key can't be trusted", place)
		}
		for j, k := range a.Keys {
			c.beside(fmt.Sprintf("%s.keys[%d]", place, j), source{path: k, locked: true})
		}
	}
}

func (c *checker) pins() {
	for i, p := range c.r.Pins {
		place := fmt.Sprintf("pins[%d]", i)
		c.match(place+".package", p.Package, pinRE, "a package's name, or a glob with * and ?")
		c.oneOf(place, "version", "release", "origin")
		c.match(place+".version", p.Version, pinVersionRE, "a version, or a glob with * and ?")
		c.match(place+".release", p.Release, releaseNameRE, "a suite or codename, as bookworm-backports")
		c.match(place+".origin", p.Origin, singleLineRE, "as the Release file says, as Debian")
		if c.isText(place+".priority") && (p.Priority == 0 || p.Priority < -32768 || p.Priority > 32767) {
			c.bad(place+".priority", "see apt_preferences(5)", "%s: priority %d is not within -32768 to 32767, and not 0", place, p.Priority)
		}
	}
}

func (c *checker) packages() {
	seen := map[string]int{}
	fromArchive := ""
	for i, p := range c.r.Packages {
		place := fmt.Sprintf("packages[%d]", i)
		if p.File != "" {
			c.beside(place, source{path: p.File, locked: true})
			c.once(seen, p.File, place, p.File)
		} else if p.Name != "" {
			c.once(seen, p.Name+":"+p.Arch, place, "package "+p.Name)
			if !p.Exclude && fromArchive == "" {
				fromArchive = place
			}
		}
	}
	f := c.r.From
	if fromArchive != "" && len(c.r.Archives) == 0 && (f.Scratch || f.Rootfs != "") {
		c.bad(fromArchive, "name one under archives", "%s: there is no archive to take it from", fromArchive)
	}
}

func (c *checker) step(place string, s Step) {
	if c.has(place+".sh") || c.has(place+".argv") || s.Shell == "" && s.Argv == nil {
		if !c.mistyped[place] {
			c.oneOf(place, "sh", "argv")
		}
	}
	if s.Argv != nil && (len(s.Argv) == 0 || s.Argv[0] == "") {
		c.bad(place, "", "%s: an empty command", place)
	}
	if (s.Shell != "" || c.isText(place+".sh")) && strings.TrimSpace(s.Shell) == "" {
		c.bad(place, "", "%s: an empty command", place)
	}
	if c.isText(place+".unless") && strings.TrimSpace(s.Unless) == "" {
		c.bad(place+".unless", "", "%s: unless is empty", place)
	}
	c.path(place+".creates", s.Creates)
}

// config checks what goes into the image's configuration as it is.
func (c *checker) config() {
	r := c.r
	for _, name := range slices.Sorted(maps.Keys(r.Env)) {
		if !envRE.MatchString(name) {
			c.bad("env."+name, "", "env: %q can't name a variable", name)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(r.Labels)) {
		if !singleLineRE.MatchString(key) {
			c.bad("labels."+key, "", "labels: %q can't be a key", key)
		}
	}
	c.path("workdir", r.Workdir)
	if r.User != "" || c.isText("user") {
		user, group, hasGroup := strings.Cut(r.User, ":")
		c.account("user", user, c.users, "user")
		if hasGroup {
			c.account("user", group, c.groups, "group")
		}
	}
	for place, argv := range map[string][]string{"entrypoint": r.Entrypoint, "command": r.Command} {
		if len(argv) > 0 && argv[0] == "" {
			c.bad(place, "", "%s: the program has no name", place)
		}
	}
	c.match("stop_signal", r.StopSignal, signalRE, "as SIGTERM")
}

func (c *checker) ports() {
	seen := map[Port]string{}
	for _, name := range slices.Sorted(maps.Keys(c.r.Ports)) {
		p, place := c.r.Ports[name], "ports."+name
		if !portRE.MatchString(name) {
			c.bad(place, "lower case letters, digits and - between them", "ports: %q can't name a port", name)
		}
		if p.Number == 0 {
			continue
		}
		if other, twice := seen[p]; twice {
			c.bad(place, "", "ports: %s and %s are both %s", other, name, p)
		}
		seen[p] = name
	}
}

func (c *checker) health() {
	h := c.r.Health
	if h == nil {
		return
	}
	c.oneOf("health", "http", "tcp", "exec")
	if h.HTTP != "" || c.isText("health.http") {
		c.healthHTTP(h.HTTP)
	}
	if c.isText("health.tcp") && !validPort(h.TCP) {
		c.bad("health.tcp", "", "health.tcp: port %d is not within 1 to 65535", h.TCP)
	}
	if c.isText("health.exec") && (len(h.Exec) == 0 || h.Exec[0] == "") {
		c.bad("health.exec", "", "health.exec: an empty command")
	}
	if c.isText("health.retries") && (h.Retries < 1 || h.Retries > 1000) {
		c.bad("health.retries", "", "health.retries: %d is not within 1 to 1000", h.Retries)
	}
}

// healthHTTP checks "/path" and "PORT/path".
func (c *checker) healthHTTP(s string) {
	port, _, ok := strings.Cut(s, "/")
	n, err := strconv.Atoi(port)
	named, isNamed := c.r.Ports[port]
	switch {
	case !ok || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		c.bad("health.http", "as /health or http/health", "health.http: %q is neither a path nor port/path", s)
	case port == "" && len(c.r.Ports) != 1 && c.r.From.Base == "":
		c.bad("health.http", "write which port, as http/health", "health.http: there are %d ports", len(c.r.Ports))
	case isNamed && named.Proto == "udp":
		c.bad("health.http", "", "health.http: port %s is udp", port)
	case port != "" && !isNamed && (err != nil || !validPort(n)) && c.r.From.Base == "":
		c.bad("health.http", didYouMean(port, slices.Sorted(maps.Keys(c.r.Ports))), "health.http: no port %s", port)
	}
}

func (c *checker) state() {
	seen, all := map[string]int{}, map[string]bool{}
	for _, p := range c.r.State {
		all[p] = p != "/"
	}
	for i, p := range c.r.State {
		place := fmt.Sprintf("state[%d]", i)
		if p == "/" {
			c.bad(place, "name the directories below it", "%s: / can't be state as a whole", place)
			continue
		}
		if err := checkPath(p); err != nil {
			c.bad(place, "", "%s: %v", place, err)
			continue
		}
		c.once(seen, p, place, p)
		if outer := above(p, all); outer != "" {
			c.bad(place, "the outer one is enough", "%s: %s is inside %s, which is state, too", place, p, outer)
		}
	}
}

// above is the directory above the path p, the nearest first, that is in a set; "" for none.
func above(p string, set map[string]bool) string {
	for {
		i := strings.LastIndexByte(p, '/')
		if i <= 0 {
			return ""
		}
		if p = p[:i]; set[p] {
			return p
		}
	}
}

// policies checks slim and lint.
func (c *checker) policies() {
	for i, kind := range c.r.Slim {
		c.word(fmt.Sprintf("slim[%d]", i), kind, slimNames())
	}
	c.unique("slim", c.r.Slim)
	rules := ruleNames()
	for _, rule := range slices.Sorted(maps.Keys(c.r.Lint)) {
		if !slices.Contains(rules, rule) {
			hint := didYouMean(rule, rules)
			if hint == "" {
				hint = "one of " + strings.Join(rules, ", ")
			}
			c.bad("lint."+rule, hint, "lint: unknown rule %q", rule)
			continue
		}
		if s := c.r.Lint[rule]; !slices.Contains(severities, s) && !c.mistyped["lint."+rule] {
			c.bad("lint."+rule, "one of "+strings.Join(severities, ", "), "lint.%s: unknown severity %q", rule, s)
		}
	}
}

// noNUL refuses NUL bytes everywhere but in a file's content: no path, argument or variable can have one.
func (c *checker) noNUL() {
	for place, text := range c.texts {
		if strings.Contains(text, "\x00") && !strings.HasSuffix(place, ".content") {
			c.bad(place, "", "%s has a NUL byte", place)
		}
	}
}

// unique reports values that are in a list twice.
func (c *checker) unique(place string, values []string) {
	seen := map[string]int{}
	for i, v := range values {
		if v != "" {
			c.once(seen, v, fmt.Sprintf("%s[%d]", place, i), fmt.Sprintf("%s: %q", place, v))
		}
	}
}

// once reports a key that seen, a map to lines, has already.
func (c *checker) once(seen map[string]int, key, place, what string) {
	if key == "" {
		return
	}
	if line, twice := seen[key]; twice {
		c.bad(place, "", "%s is there twice, first on line %d", what, line)
		return
	}
	seen[key] = c.places[place].line
}

func (c *checker) url(place, s string, schemes ...string) {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		c.bad(place, "", "%s: not a URL: %v", place, errors.Unwrap(err))
	case !slices.Contains(schemes, u.Scheme):
		c.bad(place, "", "%s: want a URL with %s, not %q", place, strings.Join(schemes, ", "), s)
	case u.User != nil:
		hint := "put the login into apt's auth.conf, see apt_auth.conf(5)"
		if strings.HasSuffix(place, ".url") {
			hint = "put the file beside the recipe, as source"
		}
		c.bad(place, hint, "%s: a URL with a user or password in it", place)
	case u.Scheme != "file" && u.Hostname() == "":
		c.bad(place, "", "%s: %q names no host", place, s)
	case u.Scheme == "file" && (u.Host != "" || checkPath(u.Path) != nil && checkPath(strings.TrimSuffix(u.Path, "/")) != nil):
		c.bad(place, "as file:///srv/archive", "%s: %q is not an absolute path", place, s)
	case u.Fragment != "" || strings.ContainsAny(s, " \t\n"):
		c.bad(place, "", "%s: %q has a fragment or spaces", place, s)
	}
}

// path reports one that isn't absolute and clean. An empty one that isn't in the file is fine.
func (c *checker) path(place, p string) {
	if p == "" && !c.isText(place) {
		return
	}
	if err := checkPath(p); err != nil {
		c.bad(place, "", "%s: %v", place, err)
	}
}

// checkPath says why p isn't an absolute, clean path that Linux takes, or nil.
func checkPath(p string) error {
	switch {
	case !strings.HasPrefix(p, "/"):
		return fmt.Errorf("%q is not an absolute path", p)
	case path.Clean(p) != p:
		return fmt.Errorf("%q is not clean: write %s", p, path.Clean(p))
	case strings.ContainsFunc(p, func(r rune) bool { return isControl(r) || r == '\n' || r == '\t' }):
		return fmt.Errorf("%q has a control character", p)
	case len(p) > 4095:
		return fmt.Errorf("a path of %d bytes", len(p))
	}
	for part := range strings.SplitSeq(p, "/") {
		if len(part) > 255 {
			return fmt.Errorf("a name of %d bytes", len(part))
		}
	}
	return nil
}

// below reports whether p is inside the directory dir.
func below(p, dir string) bool {
	return p != dir && strings.HasPrefix(p, strings.TrimSuffix(dir, "/")+"/")
}
