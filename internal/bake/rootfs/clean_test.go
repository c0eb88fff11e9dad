package rootfs

import (
	"maps"
	"slices"
	"testing"

	"brickyard/internal/bake/apt/apttest"
	"brickyard/internal/tree"
)

// Secrets and databases that scripts made are taken away, with their reasons; what a package ships, what was there
// before, and what lies beside them stays.
func TestCleanSecretsAndDatabases(t *testing.T) {
	b, r := placedRoot(t, apttest.Package{Name: "a", Files: []apttest.File{{Path: "etc/varnish/secret", Content: "shipped"}, {Path: "var/lib/mysql/"}}})
	b.Slim = keepAll{}
	if err := b.set(r, "var/lib/ldap/old.mdb", []byte("a recipe's")); err != nil {
		t.Fatal(err)
	}
	before := r.Tree.Clone()
	gone := []string{
		"etc/aliases.db", "etc/bind/rndc.key", "etc/ejabberd/ejabberd.pem", "etc/freeradius/3.0/certs/dh", "etc/ldap/slapd.d", "etc/ldap/slapd.d/cn=config.ldif", "etc/nsd/nsd_control.key", "etc/nsd/nsd_server.pem",
		"etc/postgresql/15/main", "etc/postgresql/15/main/pg_hba.conf",
		"var/lib/ldap/data.mdb", "var/lib/mysql/ibdata1", "var/lib/mysql/mysql", "var/lib/mysql/mysql/db.frm",
		"var/lib/postgresql/15/main", "var/lib/postgresql/15/main/base", "var/lib/postgresql/15/main/base/1",
	}
	stay := []string{"etc/nsd/nsd.conf", "etc/postgresql/15", "etc/postgresql/15/other", "var/lib/mysql-files", "var/lib/postgresql/15/mainly"}
	for _, p := range append(slices.Clone(gone), stay...) {
		r.Tree[p] = tree.Entry{Type: tree.Dir, Mode: 0o755}
	}
	cleaned, err := b.clean(r, before)
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, c := range cleaned {
		paths = append(paths, c.Path)
		if c.Why == "" || c.How != removed {
			t.Errorf("%+v", c)
		}
	}
	if !slices.Equal(paths, gone) {
		t.Errorf("taken away:\n got %q\nwant %q", paths, gone)
	}
	for _, p := range append(stay, slices.Collect(maps.Keys(before))...) {
		if _, ok := r.Tree[p]; !ok {
			t.Errorf("%s is gone", p)
		}
	}
}
