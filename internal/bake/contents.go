package bake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"brickyard/internal/bake/recipe"
	"brickyard/internal/bake/rootfs"
	"brickyard/internal/store"
	"brickyard/internal/tree"
)

// A Place says which entry of the recipe put a path into the image.
type Place struct {
	Path string `json:"path"` // relative to the root
	What string `json:"what"` // as "files[2]"
	Line int    `json:"line"` // of the recipe's file
}

// contents puts what the recipe itself adds into a root, in this order: groups, users, directories,
// files, links, services, then its commands, then what it deletes.
type contents struct {
	r      *recipe.Recipe
	s      *store.Store
	lock   *recipe.Lock
	t      tree.Tree
	epoch  int64
	places []Place
	users  map[string]int // name → id, as /etc/passwd in the root has it
	groups map[string]int
}

// put does everything but the commands and deletions.
func (c *contents) put() error {
	if err := c.accounts(); err != nil {
		return err
	}
	for i, d := range c.r.Directories {
		if err := c.at("directories", i, c.directory(d)); err != nil {
			return err
		}
	}
	for i, f := range c.r.Files {
		if err := c.at("files", i, c.file(f, fmt.Sprintf("files[%d]", i))); err != nil {
			return err
		}
	}
	for i, l := range c.r.Links {
		p, err := c.path(l.Path)
		if err == nil {
			c.add(p, tree.Entry{Type: tree.Symlink, Mode: 0o777, Link: l.To, MTime: c.epoch})
			c.place(p, "links", i)
		}
		if err := c.at("links", i, err); err != nil {
			return err
		}
	}
	for i, s := range c.r.Services {
		if err := c.at("services", i, c.enable(s, i)); err != nil {
			return err
		}
	}
	return nil
}

// at says where in the recipe an error comes from.
func (c *contents) at(list string, i int, err error) error {
	if err == nil {
		return nil
	}
	what := fmt.Sprintf("%s[%d]", list, i)
	return fmt.Errorf("%s:%d: %s: %w", c.r.Path, c.r.Lines[what], what, err)
}

func (c *contents) place(p, list string, i int) {
	what := fmt.Sprintf("%s[%d]", list, i)
	c.places = append(c.places, Place{Path: p, What: what, Line: c.r.Lines[what]})
}

// path is where an absolute path of the recipe lies in the root, links on the way followed.
func (c *contents) path(p string) (string, error) {
	at, ok := c.t.Resolve(strings.TrimPrefix(p, "/"))
	if !ok {
		return "", fmt.Errorf("%s: symbolic links go in a circle", p)
	}
	return at, nil
}

// add puts e at p; what was there goes, with all below it unless both are directories.
func (c *contents) add(p string, e tree.Entry) {
	for d := tree.Parent(p); c.t[d].Type != tree.Dir; d = tree.Parent(d) {
		c.t[d] = tree.Entry{Type: tree.Dir, Mode: 0o755, MTime: c.epoch}
		if d == "." {
			break
		}
	}
	c.t.Apply(tree.Tree{p: e})
}

// write puts a file of data at p. It keeps owner and mode of what is there.
func (c *contents) write(p string, data []byte, mode uint32) error {
	e := c.t[p]
	if e.Type != tree.Regular {
		e = tree.Entry{Type: tree.Regular, Mode: mode}
	}
	e.Size, e.MTime, e.Hard = int64(len(data)), c.epoch, ""
	if err := c.s.AddFile(&e, bytes.NewReader(data), nil); err != nil {
		return err
	}
	c.add(p, e)
	return nil
}

// read is the content of the file at p, nil when there is none.
func (c *contents) read(p string) ([]byte, error) {
	e, ok := c.t[p]
	if !ok || e.Type != tree.Regular {
		return nil, nil
	}
	f, err := c.s.OpenFile(e)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// accounts makes users and groups, and learns which there are.
func (c *contents) accounts() error {
	var err error
	if c.groups, err = c.ids("etc/group"); err != nil {
		return err
	}
	if c.users, err = c.ids("etc/passwd"); err != nil {
		return err
	}
	for i, g := range c.r.Groups {
		if err := c.at("groups", i, c.group(g.Name, g.GID)); err != nil {
			return err
		}
		c.place("etc/group", "groups", i)
	}
	for i, u := range c.r.Users {
		if err := c.at("users", i, c.user(u)); err != nil {
			return err
		}
		c.place("etc/passwd", "users", i)
	}
	return nil
}

// ids reads the third field of passwd(5) or group(5) by name.
func (c *contents) ids(p string) (map[string]int, error) {
	data, err := c.read(p)
	ids := map[string]int{"root": 0}
	for line := range strings.Lines(string(data)) {
		if f := strings.Split(line, ":"); len(f) > 2 {
			if id, err := strconv.Atoi(f[2]); err == nil {
				ids[f[0]] = id
			}
		}
	}
	return ids, err
}

// taken finds who has an id.
func taken(ids map[string]int, id int) string {
	for _, name := range slices.Sorted(maps.Keys(ids)) {
		if ids[name] == id {
			return name
		}
	}
	return ""
}

func (c *contents) group(name string, gid int) error {
	if have, ok := c.groups[name]; ok {
		if have == gid {
			return nil
		}
		return fmt.Errorf("group %s is there with id %d, not %d", name, have, gid)
	}
	if other := taken(c.groups, gid); other != "" {
		return fmt.Errorf("group id %d belongs to %s", gid, other)
	}
	c.groups[name] = gid
	if err := c.appendLine("etc/group", fmt.Sprintf("%s:x:%d:", name, gid), 0o644); err != nil {
		return err
	}
	return c.appendIfThere("etc/gshadow", name+":!::")
}

func (c *contents) user(u recipe.User) error {
	if have, ok := c.users[u.Name]; ok {
		if have == u.UID {
			return nil
		}
		return fmt.Errorf("user %s is there with id %d, not %d", u.Name, have, u.UID)
	}
	if other := taken(c.users, u.UID); other != "" {
		return fmt.Errorf("user id %d belongs to %s", u.UID, other)
	}
	gid, err := c.primaryGroup(u)
	if err != nil {
		return err
	}
	c.users[u.Name] = u.UID
	home, shell := u.Home, u.Shell
	if home == "" {
		home = "/nonexistent"
		if !u.System {
			home = "/home/" + u.Name
		}
	}
	if shell == "" {
		shell = "/usr/sbin/nologin"
	}
	if err := c.appendLine("etc/passwd", fmt.Sprintf("%s:x:%d:%d:%s:%s:%s", u.Name, u.UID, gid, u.Gecos, home, shell), 0o644); err != nil {
		return err
	}
	if err := c.appendIfThere("etc/shadow", fmt.Sprintf("%s:!:%d::::::", u.Name, c.epoch/86400)); err != nil {
		return err
	}
	for _, g := range u.Groups {
		if err := c.join(u.Name, g); err != nil {
			return err
		}
	}
	if u.System {
		return nil
	}
	at, err := c.path(home)
	if err != nil || c.t[at].Type == tree.Dir {
		return err
	}
	c.add(at, tree.Entry{Type: tree.Dir, Mode: 0o750, UID: uint32(u.UID), GID: uint32(gid), MTime: c.epoch})
	return nil
}

// primaryGroup is the id of the user's group, which is made when the recipe leaves it to us.
func (c *contents) primaryGroup(u recipe.User) (int, error) {
	if u.Group != "" {
		gid, ok := c.groups[u.Group]
		if !ok {
			return 0, fmt.Errorf("user %s: no group %s", u.Name, u.Group)
		}
		return gid, nil
	}
	gid := u.UID
	if u.GID != nil {
		gid = *u.GID
	}
	if taken(c.groups, gid) != "" && u.GID != nil {
		return gid, nil
	}
	return gid, c.group(u.Name, gid)
}

// join makes a user a member of a group.
func (c *contents) join(user, group string) error {
	if _, ok := c.groups[group]; !ok {
		return fmt.Errorf("user %s: no group %s", user, group)
	}
	for p, field := range map[string]int{"etc/group": 3, "etc/gshadow": 3} {
		data, err := c.read(p)
		if err != nil {
			return err
		}
		if data == nil {
			continue
		}
		lines := strings.Split(string(data), "\n")
		for i, line := range lines {
			if f := strings.Split(line, ":"); len(f) == 4 && f[0] == group {
				members := strings.FieldsFunc(f[field], func(r rune) bool { return r == ',' })
				f[field] = strings.Join(append(members, user), ",")
				lines[i] = strings.Join(f, ":")
			}
		}
		if err := c.write(p, []byte(strings.Join(lines, "\n")), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (c *contents) appendLine(p, line string, mode uint32) error {
	data, err := c.read(p)
	if err != nil {
		return err
	}
	if len(data) > 0 && data[len(data)-1] != '\n' {
		data = append(data, '\n')
	}
	return c.write(p, append(data, line+"\n"...), mode)
}

func (c *contents) appendIfThere(p, line string) error {
	if _, ok := c.t[p]; !ok {
		return nil
	}
	return c.appendLine(p, line, 0o640)
}

// owner resolves names or ids of owner and group.
func (c *contents) owner(owner, group string) (uid, gid uint32, err error) {
	if uid, err = lookup(c.users, owner, "user"); err != nil {
		return 0, 0, err
	}
	if group == "" {
		return uid, uid0(c, owner), nil
	}
	gid, err = lookup(c.groups, group, "group")
	return uid, gid, err
}

// uid0 is the group of a file whose group is not given: that of root, or the one of the owner's name.
func uid0(c *contents, owner string) uint32 {
	return uint32(c.groups[owner])
}

func lookup(ids map[string]int, name, what string) (uint32, error) {
	if name == "" {
		return 0, nil
	}
	if id, ok := ids[name]; ok {
		return uint32(id), nil
	}
	id, err := strconv.ParseUint(name, 10, 31)
	if err != nil {
		return 0, fmt.Errorf("no %s %q in the image", what, name)
	}
	return uint32(id), nil
}

func mode(s string, otherwise uint32) (uint32, error) {
	if s == "" {
		return otherwise, nil
	}
	m, err := strconv.ParseUint(s, 8, 12)
	return uint32(m), err
}

func (c *contents) directory(d recipe.Directory) error {
	at, err := c.path(d.Path)
	if err != nil {
		return err
	}
	uid, gid, err := c.owner(d.Owner, d.Group)
	if err != nil {
		return err
	}
	m, err := mode(d.Mode, 0o755)
	if err != nil {
		return err
	}
	c.add(at, tree.Entry{Type: tree.Dir, Mode: m, UID: uid, GID: gid, MTime: c.epoch})
	i := slices.IndexFunc(c.r.Directories, func(o recipe.Directory) bool { return o.Path == d.Path })
	c.place(at, "directories", i)
	return nil
}

func (c *contents) file(f recipe.File, what string) error {
	at, err := c.path(f.Path)
	if err != nil {
		return err
	}
	c.places = append(c.places, Place{Path: at, What: what, Line: c.r.Lines[what]})
	e := tree.Entry{Type: tree.Regular, MTime: c.epoch}
	if e.UID, e.GID, err = c.owner(f.Owner, f.Group); err != nil {
		return err
	}
	if f.Tree != "" {
		return c.copyTree(f, at, e)
	}
	if e.Mode, err = mode(f.Mode, 0o644); err != nil {
		return err
	}
	if c.t[at].Type == tree.Dir {
		return fmt.Errorf("%s is a directory", f.Path)
	}
	switch {
	case f.Content != nil:
		return c.addFile(at, e, strings.NewReader(*f.Content), int64(len(*f.Content)))
	case f.URL != "":
		return c.fromStore(at, e, f.URL)
	}
	return c.copyFile(at, e, filepath.Join(c.r.Dir, f.Source), f.Mode == "")
}

func (c *contents) addFile(at string, e tree.Entry, r io.Reader, size int64) error {
	e.Size = size
	if err := c.s.AddFile(&e, r, nil); err != nil {
		return err
	}
	c.add(at, e)
	return nil
}

// fromStore copies the file that the lock has for a URL.
func (c *contents) fromStore(at string, e tree.Entry, url string) error {
	i := slices.IndexFunc(c.lock.URLs, func(u recipe.LockedURL) bool { return u.URL == url })
	if i < 0 {
		return &StaleLockError{Recipe: c.r.Path, Why: "it has no " + url}
	}
	f, err := c.s.OpenVerified(context.Background(), tree.Digest("sha256:"+c.lock.URLs[i].SHA256))
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return c.addFile(at, e, f, c.lock.URLs[i].Size)
}

// copyFile copies a file of this machine; of its mode only whether it is executable counts, since
// checkouts differ in the rest.
func (c *contents) copyFile(at string, e tree.Entry, from string, copyMode bool) error {
	fi, err := os.Stat(from)
	if err != nil {
		return err
	}
	if !fi.Mode().IsRegular() { // opening a fifo would wait for a writer
		return fmt.Errorf("%s: not a regular file", from)
	}
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	if copyMode && fi.Mode()&0o111 != 0 {
		e.Mode = 0o755
	}
	return c.addFile(at, e, f, fi.Size())
}

// copyTree copies a directory of this machine below at.
func (c *contents) copyTree(f recipe.File, at string, e tree.Entry) error {
	root, err := filepath.EvalSymlinks(filepath.Join(c.r.Dir, f.Tree))
	if err != nil {
		return err
	}
	fileMode, err := mode(f.Mode, 0o644)
	if err != nil {
		return err
	}
	return filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		dst, ok := c.t.Resolve(path.Join(at, rel))
		if !ok {
			return fmt.Errorf("%s: symbolic links go in a circle", dst)
		}
		e := e
		switch {
		case d.IsDir():
			if c.t[dst].Type != tree.Dir {
				e.Type, e.Mode = tree.Dir, 0o755
				c.add(dst, e)
			}
			return nil
		case d.Type() == fs.ModeSymlink:
			e.Type, e.Mode = tree.Symlink, 0o777
			if e.Link, err = os.Readlink(p); err != nil {
				return err
			}
			c.add(dst, e)
			return nil
		}
		e.Mode = fileMode
		return c.copyFile(dst, e, p, f.Mode == "")
	})
}

// enable does what systemctl enable does with a unit's [Install] section (systemd.unit(5)).
func (c *contents) enable(unit string, i int) error {
	if path.Ext(unit) == "" {
		unit += ".service"
	}
	var data []byte
	var at string
	for _, dir := range []string{"etc/systemd/system", "usr/local/lib/systemd/system", "usr/lib/systemd/system"} {
		at = path.Join(dir, unit)
		found, err := c.read(at)
		if err != nil {
			return err
		}
		if data = found; data != nil {
			break
		}
	}
	if data == nil {
		return fmt.Errorf("no unit %s in the image", unit)
	}
	links := installLinks(unit, string(data))
	if len(links) == 0 {
		return fmt.Errorf("unit %s has no [Install] section, so it can't be enabled", unit)
	}
	for _, l := range links {
		p := path.Join("etc/systemd/system", l)
		c.add(p, tree.Entry{Type: tree.Symlink, Mode: 0o777, Link: "/" + at, MTime: c.epoch})
		c.place(p, "services", i)
	}
	return nil
}

// installLinks lists the links, below /etc/systemd/system, that enable a unit.
func installLinks(unit, text string) []string {
	var links []string
	section := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			section = line
			continue
		}
		k, v, ok := strings.Cut(line, "=")
		if section != "[Install]" || !ok {
			continue
		}
		suffix := map[string]string{"WantedBy": ".wants", "RequiredBy": ".requires", "UpheldBy": ".upholds"}[strings.TrimSpace(k)]
		for target := range strings.FieldsSeq(v) {
			switch {
			case suffix != "":
				links = append(links, target+suffix+"/"+unit)
			case strings.TrimSpace(k) == "Alias":
				links = append(links, target)
			}
		}
	}
	return links
}

// steps are the recipe's commands for the sandbox.
func steps(r *recipe.Recipe) []rootfs.Step {
	var out []rootfs.Step
	for i, s := range r.Run {
		what := fmt.Sprintf("run[%d]", i)
		st := rootfs.Step{Name: fmt.Sprintf("%s:%d: %s", r.Path, r.Lines[what], what), Argv: s.Argv, Unless: s.Unless, Creates: s.Creates}
		if s.Shell != "" {
			st.Argv = []string{"/bin/sh", "-ec", s.Shell}
		}
		for _, k := range slices.Sorted(maps.Keys(r.Env)) {
			st.Env = append(st.Env, k+"="+r.Env[k])
		}
		out = append(out, st)
	}
	return out
}

// errNothing means that a deletion of the recipe meets nothing: a typing error, most likely.
var errNothing = errors.New("nothing there to delete")

// remove takes away what the recipe deletes.
func (c *contents) remove() error {
	for i, pattern := range c.r.Delete {
		at, _ := c.t.Resolve(strings.TrimPrefix(pattern, "/"))
		gone := tree.Tree{}
		if _, ok := c.t[at]; ok {
			gone[at] = tree.Entry{Type: tree.Whiteout}
		} else if strings.ContainsAny(at, `*?[\`) {
			for p := range c.t {
				if ok, _ := path.Match(at, p); ok {
					gone[p] = tree.Entry{Type: tree.Whiteout}
				}
			}
		}
		if len(gone) == 0 {
			return c.at("delete", i, errNothing)
		}
		c.t.Apply(gone)
	}
	return nil
}
