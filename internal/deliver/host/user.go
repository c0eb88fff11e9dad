package host

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// maxAccounts bounds /etc/passwd and /etc/group of an image, in bytes.
const maxAccounts = 16 << 20

// An identity is who the main process of an instance is.
type identity struct {
	uid, gid uint32
	groups   []uint32 // all, gid among them, as a login sets them (initgroups(3))
	home     string
}

type passwdEntry struct {
	name, home string
	uid, gid   uint32
}

type groupEntry struct {
	name    string
	gid     uint32
	members []string
}

// parsePasswd reads /etc/passwd (passwd(5)). Lines that are none are passed over, as the C library does.
func parsePasswd(text string) []passwdEntry {
	var es []passwdEntry
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) < 6 {
			continue
		}
		uid, uidErr := id(f[2])
		gid, gidErr := id(f[3])
		if f[0] != "" && uidErr == nil && gidErr == nil {
			es = append(es, passwdEntry{name: f[0], home: f[5], uid: uid, gid: gid})
		}
	}
	return es
}

// parseGroup reads /etc/group (group(5)).
func parseGroup(text string) []groupEntry {
	var es []groupEntry
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) < 4 {
			continue
		}
		gid, err := id(f[2])
		if f[0] != "" && err == nil {
			es = append(es, groupEntry{f[0], gid, strings.Split(f[3], ",")})
		}
	}
	return es
}

// id reads a user or group number; the highest of 32 bits means "none" to the kernel.
func id(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err == nil && n == 1<<32-1 {
		err = strconv.ErrRange
	}
	return uint32(n), err
}

// resolveUser says who "USER[:GROUP]" is in the image, where both may be names or numbers and "" is
// root (image-spec, config.md, User). A number needs no entry in /etc/passwd. Additional groups come
// from /etc/group unless a group is given.
func resolveUser(root *imageRoot, spec string) (identity, error) {
	passwd, err := root.read("etc/passwd", maxAccounts)
	if err != nil {
		return identity{}, err
	}
	group, err := root.read("etc/group", maxAccounts)
	if err != nil {
		return identity{}, err
	}
	return lookupUser(spec, parsePasswd(passwd), parseGroup(group))
}

func lookupUser(spec string, users []passwdEntry, groups []groupEntry) (identity, error) {
	name, groupName, withGroup := strings.Cut(spec, ":")
	if name == "" {
		name = "0"
	}
	who := identity{home: "/"}
	number, notNumber := id(name)
	i := slices.IndexFunc(users, func(u passwdEntry) bool {
		return u.name == name || notNumber == nil && u.uid == number
	})
	switch {
	case i >= 0:
		u := users[i]
		who.uid, who.gid, name = u.uid, u.gid, u.name
		if u.home != "" {
			who.home = u.home
		}
	case notNumber == nil:
		who.uid = number
		if number == 0 {
			who.home = "/root"
		}
	default:
		return who, hinted("users of the image: "+nameList(users, func(u passwdEntry) string { return u.name }),
			"the image has no user %q", name)
	}
	if withGroup {
		err := lookupGroup(&who, groupName, groups)
		who.groups = []uint32{who.gid}
		return who, err
	}
	who.groups = []uint32{who.gid}
	for _, g := range groups {
		if slices.Contains(g.members, name) && g.gid != who.gid {
			who.groups = append(who.groups, g.gid)
		}
	}
	return who, nil
}

func lookupGroup(who *identity, name string, groups []groupEntry) error {
	number, notNumber := id(name)
	i := slices.IndexFunc(groups, func(g groupEntry) bool { return g.name == name })
	switch {
	case i >= 0:
		who.gid = groups[i].gid
	case notNumber == nil:
		who.gid = number
	default:
		return hinted("groups of the image: "+nameList(groups, func(g groupEntry) string { return g.name }),
			"the image has no group %q", name)
	}
	return nil
}

// nameList lists the names of es for a hint, not more than a screen line or two.
func nameList[E any](es []E, name func(E) string) string {
	const most = 20
	var names []string
	for _, e := range es[:min(most, len(es))] {
		names = append(names, name(e))
	}
	switch {
	case len(es) == 0:
		return "none, but any number will do"
	case len(es) > most:
		names = append(names, fmt.Sprintf("and %d more", len(es)-most))
	}
	return strings.Join(names, ", ")
}
