package recipe

import (
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// accounts checks users and groups: names, ids, and that none is there twice.
func (c *checker) accounts() {
	names, gids := map[string]int{}, map[string]int{}
	for i, g := range c.r.Groups {
		place := fmt.Sprintf("groups[%d]", i)
		c.match(place+".name", g.Name, accountRE, "lower case letters, digits, _ and -")
		c.once(names, g.Name, place+".name", "group "+g.Name)
		if c.isText(place + ".gid") {
			c.id(place+".gid", g.GID, g.Name)
			c.once(gids, strconv.Itoa(g.GID), place+".gid", fmt.Sprintf("gid %d", g.GID))
		}
	}
	logins, uids := map[string]int{}, map[string]int{}
	for i, u := range c.r.Users {
		place := fmt.Sprintf("users[%d]", i)
		c.match(place+".name", u.Name, accountRE, "lower case letters, digits, _ and -")
		c.once(logins, u.Name, place+".name", "user "+u.Name)
		if c.isText(place + ".uid") {
			c.id(place+".uid", u.UID, u.Name)
			c.once(uids, strconv.Itoa(u.UID), place+".uid", fmt.Sprintf("uid %d", u.UID))
		}
		c.user(place, u, gids)
	}
}

func (c *checker) user(place string, u User, gids map[string]int) {
	c.path(place+".home", u.Home)
	c.path(place+".shell", u.Shell)
	if strings.ContainsAny(u.Gecos, ":\n") {
		c.bad(place+".gecos", "", "%s: gecos can't have a colon or a newline", place)
	}
	if u.GID != nil {
		c.id(place+".gid", *u.GID, u.Name)
	}
	if u.Group != "" || c.isText(place+".group") {
		c.account(place+".group", u.Group, c.groups, "group")
	}
	for j, g := range u.Groups {
		c.account(fmt.Sprintf("%s.groups[%d]", place, j), g, c.groups, "group")
	}
	c.unique(place+".groups", u.Groups)
	gid, declared := c.gids[u.PrimaryGroup()]
	switch {
	case declared && u.GID != nil && *u.GID != gid:
		c.bad(place+".gid", "", "%s: gid %d, but group %s has %d", place, *u.GID, u.PrimaryGroup(), gid)
	case !declared && u.Group == "" && u.GID == nil && u.Name != "" && c.isText(place+".uid"):
		if line, taken := gids[strconv.Itoa(u.UID)]; taken {
			c.bad(place, "give the user a group or a gid", "%s: its own group would have gid %d, taken on line %d", place, u.UID, line)
		}
	}
}

// PrimaryGroup is the name of the user's primary group.
func (u User) PrimaryGroup() string {
	if u.Group != "" {
		return u.Group
	}
	return u.Name
}

// id reports a user or group id that can't be given out.
func (c *checker) id(place string, id int, name string) {
	switch {
	case id < 0 || id > maxID:
		c.bad(place, "", "%s: %d is not within 0 to %d", place, id, maxID)
	case id == 65535: // (uid_t)-1 where ids have 16 bits; Debian Policy 9.2.2
		c.bad(place, "", "%s: 65535 must not be used", place)
	case id == 0 && name != "root" && name != "":
		c.bad(place, "", "%s: 0 is root's", place)
	}
}

// noteAccounts makes the names that the recipe declares known.
func (c *checker) noteAccounts() {
	c.users, c.groups, c.gids = map[string]bool{"root": true}, map[string]bool{"root": true}, map[string]int{}
	for _, g := range c.r.Groups {
		c.groups[g.Name] = true
		c.gids[g.Name] = g.GID
	}
	for _, u := range c.r.Users {
		c.users[u.Name] = true
		c.groups[u.PrimaryGroup()] = true
	}
}

// account reports an owner that can't exist. What a base brings isn't known here, so that any name will
// do unless the image starts from nothing.
func (c *checker) account(place, name string, known map[string]bool, what string) {
	if numericID.MatchString(name) {
		if n, err := strconv.ParseInt(name, 10, 64); err != nil || n > maxID {
			c.bad(place, "", "%s: id %s is too large", place, name)
		}
		return
	}
	if !accountRE.MatchString(name) {
		c.bad(place, "", "%s: %q can't name a %s", place, name, what)
		return
	}
	if c.r.From.Scratch && !known[name] {
		hint := ""
		if !c.rep.full() {
			hint = didYouMean(name, slices.Sorted(maps.Keys(known)))
		}
		if hint == "" {
			hint = "declare it under " + what + "s"
		}
		c.bad(place, hint, "%s: no %s %s", place, what, name)
	}
}

// owned checks owner, group and mode of a file or directory.
func (c *checker) owned(place, owner, group, mode string) {
	if owner != "" || c.isText(place+".owner") {
		c.account(place+".owner", owner, c.users, "user")
	}
	if group != "" || c.isText(place+".group") {
		c.account(place+".group", group, c.groups, "group")
	}
	c.match(place+".mode", mode, modeRE, `three or four octal digits, as "0644"`)
}

// contents checks files, directories and links, and that no two of them are at one path.
func (c *checker) contents() {
	at := map[string]int{}       // path → line
	solid := map[string]string{} // path of a file or link → what it is
	place := func(kind string, i int) string { return fmt.Sprintf("%s[%d]", kind, i) }
	occupy := func(place, p, what string) {
		if p == "" || !c.contentPath(place+".path", p) {
			return
		}
		c.once(at, p, place+".path", p)
		if what != "" {
			solid[p] = what
		}
	}
	for i, d := range c.r.Directories {
		p := place("directories", i)
		occupy(p, d.Path, "")
		c.owned(p, d.Owner, d.Group, d.Mode)
	}
	for i, f := range c.r.Files {
		p := place("files", i)
		c.file(p, f)
		switch {
		case f.Tree == "":
			occupy(p, f.Path, "a file")
		case f.Path == "/":
		case f.Path != "" && c.contentPath(p+".path", f.Path):
			if what, ok := solid[f.Path]; ok {
				c.bad(p+".path", "", "%s: a tree at %s, which is %s", p, f.Path, what)
			}
		}
		c.owned(p, f.Owner, f.Group, f.Mode)
	}
	for i, l := range c.r.Links {
		p := place("links", i)
		occupy(p, l.Path, "a link")
		if c.isText(p+".to") && (l.To == "" || len(l.To) > 4095) {
			c.bad(p+".to", "", "%s: a link must lead somewhere", p)
		}
	}
	c.insideSolid(solid)
}

// insideSolid reports entries whose directory is a file or a link.
func (c *checker) insideSolid(solid map[string]string) {
	dirs := map[string]bool{}
	for p := range solid {
		dirs[p] = true
	}
	check := func(place, p string) {
		if checkPath(p) != nil { // reported
			return
		}
		if dir := above(p, dirs); dir != "" {
			c.bad(place+".path", "", "%s: %s is inside %s, which is %s", place, p, dir, solid[dir])
		}
	}
	for i, d := range c.r.Directories {
		check(fmt.Sprintf("directories[%d]", i), d.Path)
	}
	for i, f := range c.r.Files {
		check(fmt.Sprintf("files[%d]", i), f.Path)
	}
	for i, l := range c.r.Links {
		check(fmt.Sprintf("links[%d]", i), l.Path)
	}
}

// contentPath reports whether something may be put at p.
func (c *checker) contentPath(place, p string) bool {
	if err := checkPath(p); err != nil {
		c.bad(place, "", "%s: %v", place, err)
		return false
	}
	if p == "/" {
		c.bad(place, "", "%s: / is always there", place)
		return false
	}
	for _, dir := range []string{"/proc", "/sys", "/dev"} {
		if below(p, dir) {
			c.bad(place, "", "%s: %s is hidden at run time, when something is mounted on %s", place, p, dir)
			return false
		}
	}
	return true
}

func (c *checker) file(place string, f File) {
	if c.mistyped[place] {
		return
	}
	c.oneOf(place, "content", "source", "tree", "url")
	if c.has(place + ".source") {
		c.beside(place+".source", source{path: f.Source})
	}
	if c.has(place + ".tree") {
		c.beside(place+".tree", source{path: f.Tree, dir: true})
	}
	if c.isText(place + ".url") {
		c.url(place+".url", f.URL, "http", "https")
	}
}

func (c *checker) deletions() {
	made := map[string]string{}
	for i, f := range c.r.Files {
		made[f.Path] = fmt.Sprintf("files[%d]", i)
	}
	for i, l := range c.r.Links {
		made[l.Path] = fmt.Sprintf("links[%d]", i)
	}
	for i, p := range c.r.Delete {
		place := fmt.Sprintf("delete[%d]", i)
		if !c.isText(place) {
			continue
		}
		if err := checkPath(p); err != nil {
			c.bad(place, "", "%s: %v", place, err)
			continue
		}
		if _, err := path.Match(p, ""); err != nil || p == "/" || p == "/*" {
			c.bad(place, "a path, or a glob with *, ? and [ ]", "%s: %q can't be deleted", place, p)
		}
		if by, ok := made[p]; ok {
			c.bad(place, "", "%s: %s is made by %s", place, p, by)
		}
	}
	c.unique("delete", c.r.Delete)
}

// baseExists reports a base recipe that isn't there. It may lie outside of the recipe's directory.
func (c *checker) baseExists() {
	if c.opts.ReadFile != nil {
		return
	}
	info, err := os.Stat(filepath.Join(c.r.Dir, c.r.From.Base))
	if err != nil || !info.Mode().IsRegular() {
		c.bad("from.base", "", "from.base: no recipe %s", c.r.From.Base)
	}
}

// URLs are the addresses of files from elsewhere, sorted, each once.
func (r *Recipe) URLs() []string {
	urls := map[string]bool{}
	for _, f := range r.Files {
		if f.URL != "" {
			urls[f.URL] = true
		}
	}
	return slices.Sorted(maps.Keys(urls))
}
