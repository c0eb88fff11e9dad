package recipe

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// How much of the sources is looked at.
const (
	maxLintFile  = 1 << 20
	maxLintTree  = 8 << 20
	maxLintFiles = 5000
	maxLintLine  = 8 << 10 // of settings; what is longer was written by a machine
)

// A lintText is text that ends up in the image.
type lintText struct {
	place   string // in the recipe
	file    string // of a source, "" for text that stands in the recipe itself
	text    string
	setting bool // a setting by name, as an environment variable: what looks like a secret is one
}

// texts are all texts of the recipe and its sources.
func (l *linter) texts() []lintText {
	r := l.r
	var ts []lintText
	for i, s := range r.Run {
		ts = append(ts, lintText{place: fmt.Sprintf("run[%d]", i), text: s.command() + "\n" + s.Unless})
	}
	for _, name := range slices.Sorted(maps.Keys(r.Env)) {
		ts = append(ts, lintText{place: "env." + name, text: name + "=" + r.Env[name], setting: true})
	}
	for _, key := range slices.Sorted(maps.Keys(r.Labels)) {
		ts = append(ts, lintText{place: "labels." + key, text: key + "=" + r.Labels[key], setting: true})
	}
	for _, argv := range []struct {
		place string
		words []string
	}{{"entrypoint", r.Entrypoint}, {"command", r.Command}} {
		ts = append(ts, lintText{place: argv.place, text: strings.Join(argv.words, " ")})
	}
	if r.Health != nil {
		ts = append(ts, lintText{place: "health", text: strings.Join(r.Health.Exec, " ")})
	}
	for _, name := range slices.Sorted(maps.Keys(r.Params)) {
		if p := r.Params[name]; secretName(name) && p.Type != "bool" && p.Type != "int" {
			l.add("secret", "params."+name, "parameter %s is named like a secret", name)
		}
	}
	return append(ts, l.contents()...)
}

// contents are the texts of files.
func (l *linter) contents() []lintText {
	var ts []lintText
	root, err := os.OpenRoot(l.r.Dir)
	if err == nil {
		defer root.Close()
	}
	for i, f := range l.r.Files {
		place := fmt.Sprintf("files[%d]", i)
		switch {
		case f.Content != nil:
			ts = append(ts, lintText{place: place + ".content", text: *f.Content})
		case root == nil:
		case f.Source != "":
			ts = append(ts, l.source(root, place, f.Source)...)
		case f.Tree != "":
			ts = append(ts, l.tree(root, place, f.Tree)...)
		}
	}
	return ts
}

// source is the text of a regular file, if it is one and has text.
func (l *linter) source(root *os.Root, place, name string) []lintText {
	info, err := root.Stat(name)
	if err != nil || !info.Mode().IsRegular() {
		return nil
	}
	f, err := root.Open(name)
	if err != nil {
		return nil
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxLintFile))
	if err != nil || bytes.IndexByte(data[:min(len(data), 8000)], 0) >= 0 {
		return nil
	}
	return []lintText{{place: place, file: filepath.Join(l.r.Dir, name), text: string(data)}}
}

// tree is the text of the files below a directory, up to a limit.
func (l *linter) tree(root *os.Root, place, dir string) []lintText {
	var ts []lintText
	files, size := 0, 0
	walk := func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil // the baker reports what can't be read
		}
		if files++; files > maxLintFiles || size > maxLintTree {
			return fs.SkipAll
		}
		for _, t := range l.source(root, place, name) {
			size += len(t.text)
			ts = append(ts, t)
		}
		return nil
	}
	_ = fs.WalkDir(root.FS(), filepath.Clean(dir), walk) // walk gives no error
	return ts
}

// A textRule finds one thing in text. The regular expression is only tried on text that has one of the
// words, in any case, which is far quicker to find out.
type textRule struct {
	rule, what string
	words      []string
	re         *regexp.Regexp
}

func tlsOff(what, words, re string) textRule {
	return textRule{"tls-off", what, strings.Fields(words), regexp.MustCompile(re)}
}

func secret(what, words, re string) textRule {
	return textRule{"secret", what, strings.Fields(words), regexp.MustCompile(re)}
}

func hasAny(text string, words []string) bool {
	return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(text, w) })
}

var textRules = []textRule{
	tlsOff("curl without verification", "curl", `\bcurl\b[^\n|;&]*\s(?:-[fsSLvgiIjlNnOpqR0-9]*k\w*|--insecure|--proxy-insecure)(?:\s|$)`),
	tlsOff("curl without verification", "insecure", `(?m)^\s*insecure\s*$`),
	tlsOff("wget without verification", "check-certificate check_certificate", `--no-check-certificate\b|(?m:^\s*check_certificate\s*=\s*off)`),
	tlsOff("git without verification", "ssl", `(?i)\bsslVerify\s*["']?[=\s]\s*["']?(?:false|0|off|no)\b|\bGIT_SSL_NO_VERIFY\s*[=:]\s*["']?(?:1|true|yes)`),
	tlsOff("npm without verification", "strict-ssl strict_ssl", `(?i)\bstrict-ssl["']?[\s=:]+["']?false|\bnpm_config_strict_ssl\s*[=:]\s*["']?false`),
	tlsOff("Node.js without verification", "rejectunauthorized reject_unauthorized", `\bNODE_TLS_REJECT_UNAUTHORIZED["']?\s*[=:]\s*["']?0|\brejectUnauthorized["']?\s*:\s*false`),
	tlsOff("pip without verification", "trusted-host trusted_host", `--trusted-host\b|(?m:^\s*trusted-host\s*=)|\bPIP_TRUSTED_HOST\s*[=:]`),
	tlsOff("Python without verification", "verify _create_unverified_context cert_none", `\bverify\s*=\s*False\b|\b_create_unverified_context\b|\bPYTHONHTTPSVERIFY\s*[=:]\s*["']?0|\bCERT_NONE\b`),
	tlsOff("apt without verification", "trusted --allow- --force-yes unauthenticated insecure verify-", `(?i)\[[^\]\n]*\btrusted\s*=\s*yes|(?m:^trusted:\s*yes)|--allow-unauthenticated\b|--force-yes\b|--allow-insecure-repositories\b|\bAllowUnauthenticated\b\s*[= "]+\s*(?:true|yes|1)|\bAllowInsecureRepositories\b\s*[= "]+\s*(?:true|yes|1)|\bVerify-(?:Peer|Host)\b\s*[= "]+\s*(?:false|no|0)`),
	tlsOff("yum or dnf without verification", "sslverify gpgcheck", `(?mi)^\s*(?:sslverify|gpgcheck)\s*=\s*(?:0|false|no)\b|--nogpgcheck\b`),
	tlsOff("Go without verification", "insecureskipverify gonosum goinsecure", `\bInsecureSkipVerify\s*[:=]\s*true\b|\bGONOSUMDB\s*=|\bGONOSUMCHECK\s*=|\bGOINSECURE\s*=`),
	tlsOff("LDAP without verification", "tls_reqcert", `(?mi)^\s*TLS_REQCERT\s+(?:never|allow)\b`),
	tlsOff("a proxy without verification", "verify", `(?i)\bproxy_ssl_verify\s+off\b|\bSSLProxyVerify\s+none\b|\bssl\s+verify\s+none\b|\bssl_verify_peer["']?\s*[=:]>?\s*false\b`),

	secret("a private key", "-----begin", `-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----`),
	secret("an AWS access key", "akia asia", `\b(?:AKIA|ASIA)[0-9A-Z]{16}\b`),
	secret("a GitHub token", "ghp_ gho_ ghu_ ghs_ ghr_ github_pat_", `\bgh[pousr]_[A-Za-z0-9]{36,}\b|\bgithub_pat_[A-Za-z0-9_]{22,}\b`),
	secret("a GitLab token", "glpat-", `\bglpat-[A-Za-z0-9_-]{20,}`),
	secret("a Slack token", "xox", `\bxox[baprs]-[A-Za-z0-9-]{10,}`),
	secret("a Stripe key", "k_live_", `\b[rs]k_live_[A-Za-z0-9]{16,}\b`),
	secret("a Google API key", "aiza", `\bAIza[0-9A-Za-z_-]{35}\b`),
	secret("an npm token", "npm_ _authtoken", `\bnpm_[A-Za-z0-9]{36}\b|:_authToken=[^\s$]{8,}`),
	secret("a PyPI token", "pypi-", `\bpypi-[A-Za-z0-9_-]{50,}`),
	secret("a signed web token", "eyj", `\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}`),
	secret("an age key", "age-secret-key", `\bAGE-SECRET-KEY-1[0-9A-Z]{58}\b`),
	secret("a password in a URL", "://", `\b[a-z][a-z0-9+.-]*://[^/\s:@"'$<{]+:[^/\s@"'$<{]{3,}@`),
	secret("a password on the command line", "mysql mariadb psql", `\b(?:mysql|mysqldump|mariadb|psql)\b[^\n|;&]*\s(?:-p[^\s$'"-][^\s$]{3,}|--password=[^\s$'"<{][^\s$]{2,})`),
}

// assignment is a setting by name: the name, a quote if any, and the value.
var assignment = regexp.MustCompile(`(?i)([a-z0-9_.-]*(?:password|passwd|passphrase|secret|api[_-]?key|access[_-]?key|token|private[_-]?key|credentials?)[a-z0-9_.-]*)["']?\s*(=|:)\s*(["']?)([^\s"',;]+)`)

var (
	secretNames  = regexp.MustCompile(`(?i)(?:^|[_.-])(?:password|passwd|passphrase|secret|api[_-]?key|access[_-]?key|token|private[_-]?key|credentials?)(?:$|[_.-])|(?i:password|passphrase|secret)$`)
	harmlessName = regexp.MustCompile(`(?i)(?:[_.-](?:file|path|dir|url|uri|name|id|ttl|timeout|length|len|min|max|policy|algorithm|method|type|field|header|hash|expiry|expires|store|provider)|_?authentication)$`)
	harmlessText = regexp.MustCompile(`(?i)^(?:true|false|yes|no|on|off|none|null|nil|undefined|required|optional|prompt|ask|files|compat|systemd|sss|ldap|md5|peer|ident|trust|reject|scram-sha-256|x+|\*+|\.+|[0-9]{1,3})$`)
	digit        = regexp.MustCompile(`[0-9]`)
)

// secretName reports whether a setting of that name is meant to hold a secret.
func secretName(name string) bool {
	return secretNames.MatchString(name) && !harmlessName.MatchString(name)
}

// secretWords are the words of which assignment needs one.
var secretWords = strings.Fields("password passwd passphrase secret api_key api-key apikey access_key access-key accesskey token private_key private-key privatekey credential")

// text applies all rules to one text.
func (l *linter) text(t lintText) {
	lower := strings.ToLower(t.text)
	for _, r := range textRules {
		if !hasAny(lower, r.words) {
			continue
		}
		for _, at := range r.re.FindAllStringIndex(t.text, 20) {
			l.found(t, r.rule, at[0], r.what)
		}
	}
	if !hasAny(lower, secretWords) {
		return
	}
	offset := 0
	for line := range strings.Lines(t.text) {
		if len(line) <= maxLintLine && hasAny(strings.ToLower(line), secretWords) {
			l.assignments(t, line, offset)
		}
		offset += len(line)
	}
}

// assignments looks for secrets by the names of settings, in the line at a byte of a text.
func (l *linter) assignments(t lintText, line string, offset int) {
	for _, m := range assignment.FindAllStringSubmatchIndex(line, -1) {
		part := func(i int) string { return line[m[2*i]:m[2*i+1]] }
		if isSecret(t, part(1), part(2), part(3) != "", part(4)) {
			l.found(t, "secret", offset+m[0], "a value for "+part(1))
		}
	}
}

// isSecret weighs "name = value". In a file, which may be a program or describe something else, it takes
// more to be one than in a setting.
func isSecret(t lintText, name, sign string, quoted bool, value string) bool {
	switch {
	case !secretName(name) || len(value) < 3 || harmlessText.MatchString(value):
		return false
	case strings.ContainsAny(value[:1], "$<{(/%@&*!|[") || strings.Contains(value, "${") || strings.Contains(value, "{{"):
		return false // a reference, a path, a placeholder
	case t.setting:
		return true
	case sign == ":" && !quoted && strings.EqualFold(name, "passwd"):
		return false // nsswitch.conf(5)
	case strings.ContainsAny(value, "()[]"):
		return false // a program's expression
	}
	return quoted || digit.MatchString(value)
}

// found reports what stands at a byte of a text.
func (l *linter) found(t lintText, rule string, offset int, what string) {
	before := t.text[:offset]
	line := strings.Count(before, "\n") + 1
	if t.file == "" {
		if line > 1 && strings.HasSuffix(t.place, ".content") {
			what += fmt.Sprintf(", in line %d", line)
		}
		l.add(rule, t.place, "%s", what)
		return
	}
	column := len([]rune(before[strings.LastIndexByte(before, '\n')+1:])) + 1
	l.addIn(rule, t.place, t.file, pos{line, column}, what)
}
