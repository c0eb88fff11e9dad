package rootfs

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"brickyard/internal/bake/apt/control"
	"brickyard/internal/tree"
)

// The paths of dpkg's database (dpkg(1), FILES) that are written here.
const (
	dpkgDir     = "var/lib/dpkg"
	statusFile  = dpkgDir + "/status"
	divertFile  = dpkgDir + "/diversions"
	triggerDir  = dpkgDir + "/triggers"
	fileTrigger = triggerDir + "/File"
	unincorp    = triggerDir + "/Unincorp"
)

// writeDatabase tells dpkg of the packages just placed: as unpacked, or as installed when it is not
// there to configure them. Their info files belong to the packages' own layers.
func (b *Builder) writeDatabase(r *Root, pkgs []*Package, state string) error {
	if err := b.writeShrunk(r); err != nil {
		return err
	}
	status, err := b.text(r, statusFile)
	if err != nil {
		return err
	}
	out := bytes.NewBuffer(status)
	for _, p := range pkgs {
		if out.Len() > 0 {
			out.WriteByte('\n')
		}
		out.WriteString(p.stanza(state))
		if err := b.writeInfo(r, p); err != nil {
			return err
		}
	}
	if err := b.set(r, statusFile, out.Bytes()); err != nil {
		return err
	}
	for name, content := range map[string]string{dpkgDir + "/available": "", dpkgDir + "/info/format": "1\n"} {
		if _, ok := r.Tree[name]; !ok {
			if err := b.set(r, name, []byte(content)); err != nil {
				return err
			}
		}
	}
	return b.writeTriggers(r, pkgs, state == "unpacked")
}

// stanza is what dpkg's status file says of the package.
func (p *Package) stanza(state string) string {
	name, rest, _ := strings.Cut(p.Paragraph, "\n")
	if !strings.HasPrefix(name, "Package:") {
		name, rest = "Package: "+p.Name, p.Paragraph
	}
	var s strings.Builder
	s.WriteString(name + "\nStatus: install ok " + state + "\n" + rest)
	if len(p.Conffiles) > 0 {
		s.WriteString("Conffiles:\n")
		for _, c := range slices.Sorted(maps.Keys(p.Conffiles)) {
			s.WriteString(" " + c + " " + p.Conffiles[c] + "\n")
		}
	}
	return s.String()
}

// writeInfo puts the package's control files, and the list of its files, where dpkg looks for them.
func (b *Builder) writeInfo(r *Root, p *Package) error {
	m := r.members[p.Key()]
	m.listed = true
	files := map[string]ControlFile{"list": {Mode: 0o644, Data: []byte(strings.Join(m.list, "\n") + "\n")}}
	maps.Copy(files, p.Files)
	for name, f := range files {
		at := path.Join(dpkgDir, "info", p.Key()+"."+name)
		e := tree.Entry{Type: tree.Regular, Mode: f.Mode, MTime: p.MTime, Size: int64(len(f.Data))}
		if err := b.Store.AddFile(&e, bytes.NewReader(f.Data), nil); err != nil {
			return err
		}
		r.Tree[at], r.placed[p.Key()][at], r.owners[at] = e, e, p.Key()
	}
	return nil
}

// listFile is where dpkg has the list of a package's files.
func listFile(key string) string { return path.Join(dpkgDir, "info", key+".list") }

// writeShrunk writes the lists anew of packages of which others took files over, when the lists were there before.
func (b *Builder) writeShrunk(r *Root) error {
	for _, key := range slices.Sorted(maps.Keys(r.members)) {
		m := r.members[key]
		if !m.shrunk {
			continue
		}
		m.shrunk = false
		if err := b.set(r, listFile(key), []byte(strings.Join(m.list, "\n")+"\n")); err != nil {
			return err
		}
	}
	return nil
}

// readDatabase reads what dpkg in the root knows of packages: they are as if they had been put there by this Builder.
func (b *Builder) readDatabase(r *Root) error {
	if err := b.readDiversions(r); err != nil {
		return err
	}
	clear(r.members)
	clear(r.owners)
	return b.eachInstalled(r, func(st *control.Stanza) error {
		m := &member{name: st.Get("Package"), version: st.Get("Version"), listed: true}
		var err error
		if m.replaces, err = control.ParseRelations(st.Get("Replaces")); err != nil {
			return err
		}
		key := m.name
		if st.Get("Multi-Arch") == "same" {
			key += ":" + st.Get("Architecture")
		}
		list, err := b.text(r, listFile(key))
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(list)) {
			m.list = append(m.list, strings.TrimSuffix(line, "\n"))
		}
		r.members[key] = m
		for _, l := range m.list {
			at, ok := r.Tree.Resolve(strings.TrimPrefix(l, "/"))
			if d, diverted := r.divert[at]; diverted && d.pkg != m.name {
				at = d.to
			}
			if e, there := r.Tree[at]; ok && there && e.Type != tree.Dir {
				r.owners[at] = key
			}
		}
		return nil
	})
}

// eachInstalled calls f for each package that dpkg's status file in the root has, but those of which nothing but the
// configuration is left.
func (b *Builder) eachInstalled(r *Root, f func(*control.Stanza) error) error {
	status, err := b.text(r, statusFile)
	if err != nil {
		return err
	}
	rd := control.NewReader(bytes.NewReader(status))
	for {
		st, err := rd.Next()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			if state := strings.Fields(st.Get("Status")); !slices.Contains(state, "config-files") && !slices.Contains(state, "not-installed") {
				err = f(st)
			}
		}
		if err != nil {
			return fmt.Errorf("/%s: %w", statusFile, err)
		}
	}
}

// text is the content of a regular file of the root; nil when it is not there.
func (b *Builder) text(r *Root, p string) ([]byte, error) {
	e, ok := r.Tree[p]
	if !ok || e.Type != tree.Regular {
		return nil, nil
	}
	return b.content(e)
}

// set puts a file of root's, with the time of all that is made here, into the root.
func (b *Builder) set(r *Root, p string, data []byte) error {
	e, ok := r.Tree[p]
	if !ok {
		e = tree.Entry{Type: tree.Regular, Mode: 0o644}
	}
	e.MTime, e.Size, e.Hard = b.Epoch, int64(len(data)), ""
	if err := b.Store.AddFile(&e, bytes.NewReader(data), nil); err != nil {
		return err
	}
	b.mkdirs(r, tree.Parent(p))
	r.Tree[p] = e
	return nil
}

// mkdirs makes the directory p and those above it where they are not there.
func (b *Builder) mkdirs(r *Root, p string) {
	for ; r.Tree[p].Type == 0; p = tree.Parent(p) {
		r.Tree[p] = tree.Entry{Type: tree.Dir, Mode: 0o755, MTime: b.Epoch}
		if p == "." {
			return
		}
	}
}

// readDiversions reads dpkg's diversions: three lines each, the path, where it goes, and for whom (":"
// for the administrator).
func (b *Builder) readDiversions(r *Root) error {
	data, err := b.text(r, divertFile)
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
	r.divert = map[string]diversion{}
	for i := 0; i+2 < len(lines); i += 3 {
		from, _ := r.Tree.Resolve(strings.TrimPrefix(lines[i], "/"))
		to, _ := r.Tree.Resolve(strings.TrimPrefix(lines[i+1], "/"))
		r.divert[from] = diversion{to: to, pkg: lines[i+2]}
	}
	return nil
}

// An interest is a line of a package's triggers file (deb-triggers(5)).
type interest struct {
	name    string // a path, or any other word
	pkg     string
	noawait bool
}

func (i interest) String() string {
	if i.noawait {
		return i.pkg + "/noawait"
	}
	return i.pkg
}

// triggers reads the package's triggers file: what it wants to hear of, and what it sets off.
func (p *Package) triggers() (interests []interest, activates []string) {
	for line := range strings.Lines(string(p.Files["triggers"].Data)) {
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(line)
		if len(f) != 2 {
			continue
		}
		switch f[0] {
		case "interest", "interest-await":
			interests = append(interests, interest{name: f[1], pkg: p.Key()})
		case "interest-noawait":
			interests = append(interests, interest{name: f[1], pkg: p.Key(), noawait: true})
		case "activate", "activate-await", "activate-noawait":
			activates = append(activates, f[1])
		}
	}
	return interests, activates
}

// writeTriggers registers what the packages want to hear of and, for packages of earlier stages, which
// are configured already, what the new ones set off, when there is somebody to hear.
func (b *Builder) writeTriggers(r *Root, pkgs []*Package, heard bool) error {
	old := map[string]bool{} // names that a configured package waits for
	files, err := b.text(r, fileTrigger)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(files)) {
		name, _, _ := strings.Cut(line, " ")
		old[name] = true
	}
	for p := range r.Tree {
		if name, ok := strings.CutPrefix(p, triggerDir+"/"); ok && name != "File" && name != "Unincorp" && name != "Lock" {
			old[name] = true
		}
	}
	if heard {
		err = b.writeUnincorp(r, pkgs, old)
	} else if _, ok := r.Tree["usr/bin/dpkg"]; ok {
		err = b.set(r, unincorp, nil) // without it, dpkg takes all triggers for set off (its upgrade from 1.13)
	}
	if err != nil {
		return err
	}
	named := map[string]string{}
	for _, p := range pkgs {
		interests, _ := p.triggers()
		for _, i := range interests {
			if strings.HasPrefix(i.name, "/") {
				files = fmt.Appendf(files, "%s %s\n", i.name, i)
			} else {
				named[i.name] += i.String() + "\n"
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(named)) {
		at := path.Join(triggerDir, name)
		have, err := b.text(r, at)
		if err != nil {
			return err
		}
		if err := b.set(r, at, append(have, named[name]...)); err != nil {
			return err
		}
	}
	if len(files) == 0 {
		return nil
	}
	return b.set(r, fileTrigger, files)
}

// writeUnincorp leaves word for dpkg of the triggers in old that unpacking pkgs sets off, in the form of
// dpkg-trigger(1) --no-await.
func (b *Builder) writeUnincorp(r *Root, pkgs []*Package, old map[string]bool) error {
	if len(old) == 0 {
		return nil
	}
	fired := map[string]bool{}
	for _, p := range pkgs {
		_, activates := p.triggers()
		for _, a := range activates {
			fired[a] = old[a]
		}
		for _, l := range p.List {
			for d := l; d != "/" && d != "."; d = path.Dir(d) {
				if old[d] {
					fired[d] = true
				}
			}
		}
	}
	var out []byte
	for _, name := range slices.Sorted(maps.Keys(fired)) {
		if fired[name] {
			out = fmt.Appendf(out, "%s -\n", name)
		}
	}
	if out == nil {
		return nil
	}
	return b.set(r, unincorp, out)
}
