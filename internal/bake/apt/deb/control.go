package deb

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"path"
	"strings"

	"brickyard/internal/bake/apt/control"
)

// Control is what control.tar holds: all that is known of a package but its files.
type Control struct {
	Paragraph []byte                 // the text of ./control
	Files     map[string]ControlFile // by name, as "postinst"; control and conffiles are among them

	stanza    *control.Stanza
	conffiles []conffile
}

// A ControlFile is one file of control.tar.
type ControlFile struct {
	Mode uint32 // permission bits
	Data []byte
}

type conffile struct {
	path    string
	removed bool
}

// Control reads control.tar. It has a control file with a name, a version and an architecture. The caller
// may change what it gets. Errors: ErrFormat, ErrLimit (16 MiB uncompressed), EntryError, those of the reader.
func (p *Package) Control() (*Control, error) {
	s, err := p.open(context.Background(), p.control, maxControl)
	if err != nil {
		return nil, err
	}
	defer s.close()
	files, err := readControl(s)
	if err != nil {
		return nil, err
	}
	return parseControl(files)
}

func readControl(s *stream) (map[string]ControlFile, error) {
	files := make(map[string]ControlFile)
	in := tar.NewReader(s)
	for {
		h, err := nextHeader(in, s.name)
		if err == io.EOF {
			return files, s.end()
		}
		if err != nil {
			return nil, err
		}
		if h.Typeflag == tar.TypeDir && path.Clean(h.Name) == "." {
			continue
		}
		name := strings.TrimPrefix(h.Name, "./")
		if why := oddControlFile(h, name); why != "" {
			return nil, &EntryError{h.Name, why, ErrUnsafe}
		}
		if _, ok := files[name]; ok {
			return nil, &EntryError{h.Name, "is there twice", ErrUnsafe}
		}
		if h.Size > maxControl {
			return nil, &EntryError{h.Name, fmt.Sprintf("has %d bytes", h.Size), ErrLimit}
		}
		data := bytes.NewBuffer(make([]byte, 0, h.Size+bytes.MinRead))
		if _, err := data.ReadFrom(in); err != nil {
			return nil, tarFault(s.name, err)
		}
		files[name] = ControlFile{uint32(h.Mode & 0o777), data.Bytes()}
	}
}

// oddControlFile says why a file has no place in control.tar.
func oddControlFile(h *tar.Header, name string) string {
	switch {
	case h.Typeflag != tar.TypeReg || sparse(h):
		return "is not a regular file"
	case name == "" || name[0] == '.' || strings.Trim(name, controlNameChars) != "":
		return "is no name of a control file"
	}
	return ""
}

// controlNameChars are those of the names that dpkg, debconf and debhelper use.
const controlNameChars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.+"

func parseControl(files map[string]ControlFile) (*Control, error) {
	c := &Control{Paragraph: files["control"].Data, Files: files}
	var err error
	if c.stanza, err = control.ReadOne(bytes.NewReader(c.Paragraph)); err != nil {
		return nil, &EntryError{"control", err.Error(), ErrFormat}
	}
	seen := make(map[string]bool)
	for name := range c.stanza.Fields() {
		key := strings.ToLower(string(name))
		if seen[key] {
			return nil, &EntryError{"control", fmt.Sprintf("has the field %s twice", name), ErrFormat}
		}
		seen[key] = true
	}
	for _, name := range []string{"Package", "Version", "Architecture"} {
		if c.Field(name) == "" {
			return nil, &EntryError{"control", "has no field " + name, ErrFormat}
		}
	}
	if c.conffiles, err = parseConffiles(string(files["conffiles"].Data)); err != nil {
		return nil, err
	}
	return c, nil
}

// Field returns the value of a field of the control file, "" when there is none. Names are compared without
// case. Lines after the first keep their leading space.
func (c *Control) Field(name string) string { return c.stanza.Get(name) }

// Conffiles returns the configuration files that the package brings, as absolute paths, in its order.
func (c *Control) Conffiles() []string { return c.conffilesThat(false) }

// RemovedConffiles returns the configuration files that are to go when the package is upgraded
// ("remove-on-upgrade", deb-conffiles(5)); it does not bring them.
func (c *Control) RemovedConffiles() []string { return c.conffilesThat(true) }

func (c *Control) conffilesThat(removed bool) []string {
	var paths []string
	for _, f := range c.conffiles {
		if f.removed == removed {
			paths = append(paths, f.path)
		}
	}
	return paths
}

// parseConffiles reads deb-conffiles(5): a path a line, or a flag, a space and a path.
func parseConffiles(text string) ([]conffile, error) {
	var out []conffile
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, " \t\r\n")
		if line == "" {
			continue
		}
		p, removed := strings.CutPrefix(line, "remove-on-upgrade ")
		p = strings.TrimLeft(p, " \t")
		if !strings.HasPrefix(p, "/") || path.Clean(p) != p || p == "/" {
			return nil, &EntryError{"conffiles", fmt.Sprintf("has the line %q", line), ErrFormat}
		}
		out = append(out, conffile{p, removed})
	}
	return out, nil
}
