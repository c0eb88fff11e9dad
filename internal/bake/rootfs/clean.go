package rootfs

import (
	"bytes"
	"path"
	"strconv"
	"strings"

	"brickyard/internal/tree"
)

// A Cleaned is one thing that would differ from run to run, or that no two machines may share.
type Cleaned struct {
	Path string
	Why  string
	How  string // "removed" or "emptied"
}

// cleaning is what is taken away after programs of the image have run. A pattern is that of path.Match;
// one that ends in "/**" stands for everything below. Files that packages ship are never touched.
// docs/recipe.md tells what is made again at the first start, and how.
var cleaning = []struct {
	pattern string
	how     string
	why     string
}{
	{"var/cache/ldconfig/aux-cache", removed, "holds inode numbers and times of the machine that baked"},
	{"var/log/alternatives.log", removed, "a log, with the time of the bake"},
	{"var/log/dpkg.log", removed, "a log, with the time of the bake"},
	{"var/log/bootstrap.log", removed, "a log, with the time of the bake"},
	{"var/log/fontconfig.log", removed, "a log, with the time of the bake"},
	{"var/log/apt/**", removed, "logs, with the time of the bake"},
	{"var/lib/dpkg/lock", removed, "an empty lock file of a dpkg that has ended"},
	{"var/lib/dpkg/lock-frontend", removed, "an empty lock file of a dpkg that has ended"},
	{"var/lib/dpkg/triggers/Lock", removed, "an empty lock file of a dpkg that has ended"},
	{"var/lib/dpkg/status-old", removed, "the state before the last step, which depends on how packages were batched"},
	{"var/lib/dpkg/diversions-old", removed, "a backup copy"},
	{"var/lib/dpkg/statoverride-old", removed, "a backup copy"},
	{"var/lib/dpkg/available-old", removed, "a backup copy"},
	{"var/lib/dpkg/tmp.ci", removed, "dpkg's scratch directory"},
	{"var/lib/dpkg/tmp.ci/**", removed, "dpkg's scratch directory"},
	{"var/lib/dpkg/updates/**", removed, "the journal of a dpkg that has ended"},
	{"var/cache/debconf/*-old", removed, "a backup copy"},
	{"var/cache/apt/*.bin", removed, "a cache that apt makes again, with times in it"},
	{"var/lib/apt/lists/lock", removed, "an empty lock file"},
	{"var/cache/apt/archives/lock", removed, "an empty lock file"},
	{"etc/.pwd.lock", removed, "an empty lock file"},
	{"run/adduser", removed, "an empty lock file"},
	{"etc/machine-id", emptied, "every machine must have its own: systemd fills an empty one at first start"},
	{"var/lib/dbus/machine-id", removed, "every machine must have its own: D-Bus falls back to /etc/machine-id"},
	{"etc/ssh/ssh_host_*_key", removed, "a host key in an image is shared by all that run it: make one at first start (ssh-keygen -A)"},
	{"etc/ssh/ssh_host_*_key.pub", removed, "belongs to a host key that is not in the image"},
	{"etc/ssl/private/ssl-cert-snakeoil.key", removed, "a private key in an image is shared by all that run it: make-ssl-cert generate-default-snakeoil"},
	{"etc/ssl/certs/ssl-cert-snakeoil.pem", removed, "belongs to a private key that is not in the image"},
	{"etc/bind/rndc.key", removed, "a secret in an image is shared by all that run it: make one at first start (rndc-confgen -a)"},
	{"etc/aliases.db", removed, "an index of /etc/aliases with the time at which it was made: make it at first start (newaliases)"},
	{"etc/freeradius/*/certs/dh", removed, "random numbers, others each time: make them at first start (openssl dhparam)"},
	{"etc/ejabberd/ejabberd.pem", removed, "a private key in an image is shared by all that run it: make one at first start (openssl req, or make-ssl-cert)"},
	{"var/lib/rabbitmq/.erlang.cookie", removed, "a secret in an image is shared by all that run it: Erlang makes one at first start"},
	{"etc/varnish/secret", removed, "a secret in an image is shared by all that run it: make one at first start (install -m 600 /proc/sys/kernel/random/uuid /etc/varnish/secret)"},
	{"etc/nsd/nsd_*.key", removed, "a private key in an image is shared by all that run it: make it at first start (nsd-control-setup)"},
	{"etc/nsd/nsd_*.pem", removed, "belongs to a private key that is not in the image"},
	{"var/lib/postgresql/*/main", removed, "a database is state, with ids and times of where it was made: make it at first start (pg_createcluster)"},
	{"var/lib/postgresql/*/main/**", removed, "a database is state, with ids and times of where it was made: make it at first start (pg_createcluster)"},
	{"etc/postgresql/*/main", removed, "belongs to a database that is not in the image"},
	{"etc/postgresql/*/main/**", removed, "belongs to a database that is not in the image"},
	{"var/lib/mysql/**", removed, "a database is state, with ids and times of where it was made: make it at first start (mariadb-install-db --user=mysql)"},
	{"var/lib/ldap/**", removed, "a database is state, with ids and times of where it was made: make it at first start (dpkg-reconfigure -f noninteractive slapd)"},
	{"etc/ldap/slapd.d", removed, "belongs to a database that is not in the image, with a random password"},
	{"etc/ldap/slapd.d/**", removed, "belongs to a database that is not in the image, with a random password"},
	{"var/lib/systemd/random-seed", removed, "a seed that is shared is none"},
	{"var/lib/systemd/catalog/database", removed, "holds the machine's id and time: journalctl --update-catalog makes it"},
	{"tmp/**", removed, "scratch files"},
	{"var/tmp/**", removed, "scratch files"},
	{"root/.rnd", removed, "a seed that is shared is none"},
	{"usr/sbin/policy-rc.d", removed, "keeps daemons from starting while the image is baked"},
}

// clean takes from what came into the root since before what the table above names, and what slim does
// without, and says what it took. What packages ship, or a recipe put there, stays.
func (b *Builder) clean(r *Root, before tree.Tree) ([]Cleaned, error) {
	var out []Cleaned
	for _, p := range r.Tree.Paths() {
		e := r.Tree[p]
		if old, was := before[p]; r.owners[p] != "" || was && old.Equal(e) {
			continue
		}
		c, ok := b.judge(p, e)
		if !ok {
			continue
		}
		out = append(out, c)
		if c.How == removed {
			delete(r.Tree, p)
		} else if err := b.set(r, p, nil); err != nil {
			return nil, err
		}
	}
	removeDangling(r.Tree, out)
	return out, nil
}

// What is done with a path that can't stay as it is.
const (
	removed = "removed"
	emptied = "emptied"
)

// judge says what is to be done with a path that a program made.
func (b *Builder) judge(p string, e tree.Entry) (Cleaned, bool) {
	for _, c := range cleaning {
		if matches(c.pattern, p) {
			return Cleaned{Path: p, Why: c.why, How: c.how}, true
		}
	}
	if kind, ok := b.Slim.Match(p); ok && e.Type != tree.Dir {
		return Cleaned{Path: p, Why: "slim: " + kind, How: removed}, true
	}
	return Cleaned{}, false
}

// dateShadow sets the day of the last password change (shadow(5), the third field) to that of the epoch in
// lines that programs wrote. The shadow tools do so themselves, unless the clock is behind the epoch.
func (b *Builder) dateShadow(lower, layer tree.Tree) error {
	old := map[string]bool{}
	for _, p := range shadowFiles {
		if e, ok := lower[p]; ok && e.Type == tree.Regular {
			data, err := b.content(e)
			if err != nil {
				return err
			}
			for line := range strings.Lines(string(data)) {
				old[line] = true
			}
		}
	}
	for _, p := range shadowFiles {
		e, ok := layer[p]
		if !ok || e.Type != tree.Regular {
			continue
		}
		data, err := b.content(e)
		if err != nil {
			return err
		}
		var out []byte
		for line := range strings.Lines(string(data)) {
			if f := strings.Split(line, ":"); !old[line] && len(f) > 2 && f[2] != "" && f[2] != "0" { // 0: to be changed at once
				f[2] = strconv.FormatInt(b.Epoch/86400, 10)
				line = strings.Join(f, ":")
			}
			out = append(out, line...)
		}
		e.Size, e.Hard = int64(len(out)), ""
		if err := b.Store.AddFile(&e, bytes.NewReader(out), nil); err != nil {
			return err
		}
		layer[p] = e
	}
	return nil
}

var shadowFiles = []string{"etc/shadow", "etc/shadow-"}

// removeDangling takes away links to certificates that are gone.
func removeDangling(t tree.Tree, gone []Cleaned) {
	names := map[string]bool{}
	for _, c := range gone {
		names[path.Base(c.Path)] = true
	}
	for p, e := range t {
		if e.Type == tree.Symlink && strings.HasPrefix(p, "etc/ssl/certs/") && names[path.Base(e.Link)] {
			delete(t, p)
		}
	}
}

func matches(pattern, p string) bool {
	if dir, ok := strings.CutSuffix(pattern, "/**"); ok {
		depth := strings.Count(dir, "/") + 1
		names := strings.SplitN(p, "/", depth+1)
		if len(names) <= depth {
			return false
		}
		pattern, p = dir, strings.Join(names[:depth], "/")
	}
	ok, _ := path.Match(pattern, p)
	return ok
}
