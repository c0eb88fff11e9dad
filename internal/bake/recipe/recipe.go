// Package recipe reads what a person wrote: recipe.yaml, its parameters, and the recipe.lock beside it.
//
// It knows the language only: it opens no archive, resolves nothing, and bakes nothing.
package recipe

//go:generate env UPDATE=1 go test -count=1 -run ^TestSchemaIsCurrent$ .

import (
	"fmt"
	"time"
)

// A Recipe says what goes into an image. Every field has been checked: a Recipe that Load returned
// has no unknown keys, no unresolved ${name}, and no two things at one path.
type Recipe struct {
	Name        string            `yaml:"name"`
	From        From              `yaml:"from"`
	Params      map[string]Param  `yaml:"params,omitempty"`
	Archives    []Archive         `yaml:"archives,omitempty"` // signed archives beside those of From
	Pins        []Pin             `yaml:"pins,omitempty"`
	Packages    []Package         `yaml:"packages,omitempty"`
	Recommends  bool              `yaml:"recommends,omitempty"`
	Scripts     string            `yaml:"scripts,omitempty"` // of packages: run (default) or none
	Users       []User            `yaml:"users,omitempty"`
	Groups      []Group           `yaml:"groups,omitempty"`
	Directories []Directory       `yaml:"directories,omitempty"`
	Files       []File            `yaml:"files,omitempty"`
	Links       []Link            `yaml:"links,omitempty"`
	Services    []string          `yaml:"services,omitempty"` // systemd units to enable
	Run         []Step            `yaml:"run,omitempty"`      // in this order, without network
	Delete      []string          `yaml:"delete,omitempty"`   // absolute paths or globs, taken away last
	Slim        []string          `yaml:"slim,omitempty"`     // see SlimKinds
	Env         map[string]string `yaml:"env,omitempty"`
	Workdir     string            `yaml:"workdir,omitempty"`
	User        string            `yaml:"user,omitempty"` // name[:group] or uid[:gid], as in the OCI config
	Entrypoint  []string          `yaml:"entrypoint,omitempty"`
	Command     []string          `yaml:"command,omitempty"`
	Ports       map[string]Port   `yaml:"ports,omitempty"` // name → port; "http: 80" or "dns: 53/udp"
	StopSignal  string            `yaml:"stop_signal,omitempty"`
	Health      *Health           `yaml:"health,omitempty"`
	State       []string          `yaml:"state,omitempty"` // absolute paths that hold state at run time
	Labels      map[string]string `yaml:"labels,omitempty"`
	Owner       string            `yaml:"owner,omitempty"`
	Expires     Expiry            `yaml:"expires,omitempty"`   // "90d", "12w" or "2027-01-31"
	Lifecycle   string            `yaml:"lifecycle,omitempty"` // disposable (default), portable, durable
	Lint        map[string]string `yaml:"lint,omitempty"`      // rule → error, warning or off

	Dir  string `yaml:"-"` // directory of the file; relative sources are relative to it
	Path string `yaml:"-"` // of the file, as given
	// Lines maps a place in the recipe ("files[2]", "files[2].mode", "run[0]", "env.HOME") to its line in
	// the file, from 1; Columns to its column there, from 1, in characters.
	Lines   map[string]int `yaml:"-"`
	Columns map[string]int `yaml:"-"`
	// Digests maps the files beside the recipe that decide what lock resolves (keys and local packages),
	// as the recipe names them, to the sha256 of their content, 64 hex digits.
	Digests map[string]string `yaml:"-"`
}

// ScriptsNone is the value of Scripts that has packages unpacked and nothing more.
const ScriptsNone = "none"

// Place is where in the file something stands, "recipe.yaml:12:5", or only the file when it isn't in it.
func (r *Recipe) Place(place string) string {
	if line := r.Lines[place]; line > 0 {
		return fmt.Sprintf("%s:%d:%d", r.Path, line, r.Columns[place])
	}
	return r.Path
}

// From is where an image starts: exactly one of Debian, Ubuntu, Base, Rootfs or Scratch is set.
// In YAML "from: scratch" is short for "from: {scratch: true}". Parameters of a base recipe are text here,
// whatever their type there.
type From struct {
	Debian     string            `yaml:"debian,omitempty"`            // suite, as "bookworm"
	Ubuntu     string            `yaml:"ubuntu,omitempty"`            // suite, as "noble"
	Base       string            `yaml:"base,omitempty"`              // another recipe (a path that ends in .yaml) or an image (name:tag or sha256:…)
	Rootfs     string            `yaml:"rootfs,omitempty"`            // a tarball (plain, gzip, xz or zstd) beside the recipe
	Scratch    bool              `yaml:"scratch,omitempty"`           // nothing
	With       map[string]string `yaml:"with,omitempty" scalar:"any"` // with base, a recipe: values of its parameters
	Variant    string            `yaml:"variant,omitempty"`           // debian, ubuntu: essential (default), minbase (and Priority: required, apt) or none
	Arch       string            `yaml:"arch,omitempty"`              // Debian's name; default: this machine's
	Mirror     string            `yaml:"mirror,omitempty"`            // default: the host's apt sources
	Components []string          `yaml:"components,omitempty"`        // default: those of the host's source, else main
	Suites     []string          `yaml:"suites,omitempty"`            // with mirror: more suites there, as "bookworm-updates"
	Keys       []string          `yaml:"keys,omitempty"`              // OpenPGP public keys beside the recipe; default: what the host's apt trusts for the source
}

// A Param is declared before it is used as ${name}.
type Param struct {
	Type        string   `yaml:"type,omitempty"`                 // string (default), int, bool, enum, port, path
	Default     *string  `yaml:"default,omitempty" scalar:"any"` // none: a value must be given
	Values      []string `yaml:"values,omitempty" scalar:"any"`  // enum: what is allowed
	Description string   `yaml:"description,omitempty"`
}

// An Archive is one more signed source of packages.
type Archive struct {
	Name       string   `yaml:"name"`
	URI        string   `yaml:"uri"`
	Suite      string   `yaml:"suite"` // ends in "/" for a flat archive
	Components []string `yaml:"components,omitempty"`
	Keys       []string `yaml:"keys"` // OpenPGP public keys beside the recipe
}

// A Pin is one stanza of apt_preferences(5): a priority for packages by name or glob, from a
// version or from where.
type Pin struct {
	Package  string `yaml:"package"`           // name or glob
	Version  string `yaml:"version,omitempty"` // version or glob; or:
	Release  string `yaml:"release,omitempty"` // suite or codename, as "bookworm-backports"
	Origin   string `yaml:"origin,omitempty"`  // Origin of the Release file
	Priority int    `yaml:"priority"`
}

// A Package is one entry of packages: "nginx", "nginx=1.22.1-9", "nginx:amd64", "-nginx" (keep it out) or
// "./local.deb" (a file beside the recipe).
type Package struct {
	Name    string // without version and arch; "" for a file
	Version string // exact, or ""
	Arch    string // or ""
	Exclude bool
	File    string // path of a .deb beside the recipe
}

// A User is a line in passwd(5), with an id that never changes.
type User struct {
	Name   string   `yaml:"name"`
	UID    int      `yaml:"uid"`
	GID    *int     `yaml:"gid,omitempty"`   // default: that of Group, else UID
	Group  string   `yaml:"group,omitempty"` // primary group; default: one of the user's name
	Groups []string `yaml:"groups,omitempty"`
	Home   string   `yaml:"home,omitempty"`  // default: /nonexistent for system, else /home/NAME
	Shell  string   `yaml:"shell,omitempty"` // default: /usr/sbin/nologin
	Gecos  string   `yaml:"gecos,omitempty"`
	System bool     `yaml:"system,omitempty"` // makes no home directory
}

// A Group is a line in group(5).
type Group struct {
	Name   string `yaml:"name"`
	GID    int    `yaml:"gid"`
	System bool   `yaml:"system,omitempty"`
}

// A Directory is made with exactly this owner and mode.
type Directory struct {
	Path  string `yaml:"path"`
	Owner string `yaml:"owner,omitempty"` // name or id; default root
	Group string `yaml:"group,omitempty"`
	Mode  string `yaml:"mode,omitempty"` // octal; default 0755
}

// A File has its content from exactly one of Content, Source, Tree or URL.
type File struct {
	Path    string  `yaml:"path"`
	Content *string `yaml:"content,omitempty"` // inline
	Source  string  `yaml:"source,omitempty"`  // a file beside the recipe
	Tree    string  `yaml:"tree,omitempty"`    // a directory beside the recipe, copied below Path
	URL     string  `yaml:"url,omitempty"`     // enters with its sha256 in the lock
	Owner   string  `yaml:"owner,omitempty"`
	Group   string  `yaml:"group,omitempty"`
	Mode    string  `yaml:"mode,omitempty"` // octal; default 0644 (0755 where the source is executable)
}

// A Link is a symbolic link at Path that says To.
type Link struct {
	Path string `yaml:"path"`
	To   string `yaml:"to"`
}

// A Step is one command of run: a string is given to /bin/sh -c, a list is executed as it is.
type Step struct {
	Shell   string   `yaml:"sh,omitempty"`
	Argv    []string `yaml:"argv,omitempty"`
	Unless  string   `yaml:"unless,omitempty"`  // skip when this shell command succeeds
	Creates string   `yaml:"creates,omitempty"` // skip when this path exists
}

// A Port is a number with a protocol.
type Port struct {
	Number int
	Proto  string // tcp or udp
}

// Health says how to tell that an instance is well: exactly one of HTTP, TCP or Exec.
type Health struct {
	HTTP     string        `yaml:"http,omitempty"` // path on the first port, or PORT/path
	TCP      int           `yaml:"tcp,omitempty"`
	Exec     []string      `yaml:"exec,omitempty"`
	Interval time.Duration `yaml:"interval,omitempty"`
	Timeout  time.Duration `yaml:"timeout,omitempty"`
	Retries  int           `yaml:"retries,omitempty"`
}

// Expiry is a span after baking, or a date. The zero value is never.
type Expiry struct {
	After time.Duration
	On    time.Time
}
