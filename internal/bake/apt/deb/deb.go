// Package deb reads Debian binary packages (deb(5)), and trusts none: what a package could do to the machine
// that unpacks it is refused here, entry by entry. It writes no file.
package deb

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// What can be wrong with a package.
var (
	ErrFormat = errors.New("broken package")                         // not a .deb, truncated, or corrupt
	ErrUnsafe = errors.New("unsafe package")                         // an entry would leave the root, or hide what it does
	ErrDevice = errors.New("device nodes are not allowed")           // see Limits.Devices
	ErrLimit  = errors.New("package is larger than what is allowed") // see Limits
)

// An EntryError is what is wrong with one entry of the control or data archive.
type EntryError struct {
	Path string // as the archive has it
	Why  string // may be ""
	Err  error  // ErrUnsafe, ErrDevice, ErrLimit, ErrFormat
}

func (e *EntryError) Error() string {
	if e.Why == "" {
		return fmt.Sprintf("%q: %v", e.Path, e.Err)
	}
	return fmt.Sprintf("%q %s: %v", e.Path, e.Why, e.Err)
}

func (e *EntryError) Unwrap() error { return e.Err }

// Limits bound what a package may ask for. In a field that is zero, the default counts.
type Limits struct {
	Size    int64 // bytes of data.tar uncompressed; default 16 GiB
	File    int64 // bytes of one file; default 8 GiB, the most that dpkg takes
	Entries int   // in data.tar; default 1,000,000
	Devices bool  // character and block devices are allowed
}

const (
	defaultSize    = 16 << 30
	defaultFile    = 8 << 30
	defaultEntries = 1_000_000
	maxControl     = 16 << 20 // bytes of control.tar uncompressed
)

// A Package is an open .deb. Its methods may be used from several goroutines at once.
type Package struct {
	Limits Limits // for Data; set before it is called

	r             io.ReaderAt
	control, data member
}

// A member is one member of the ar archive.
type member struct {
	name      string // "data.tar.xz"
	off, size int64  // of its content in the file
}

const (
	arMagic    = "!<arch>\n"
	headerSize = 60
	maxMembers = 100 // there are three, and a signature or two
)

// Open reads the outer structure of the .deb that is the first size bytes of r: the ar archive, the order of
// its members, the format version. Nothing is uncompressed yet. r is used until the Package is no longer, and
// not closed. Errors: ErrFormat, those of r.
func Open(r io.ReaderAt, size int64) (*Package, error) {
	members, err := readAr(r, size)
	if err != nil {
		return nil, err
	}
	if len(members) == 0 || members[0].name != "debian-binary" {
		return nil, fmt.Errorf("%w: the first member is not debian-binary", ErrFormat)
	}
	if err := checkVersion(r, members[0]); err != nil {
		return nil, err
	}
	p := &Package{r: r}
	members = members[1:]
	if p.control, members, err = take(members, "control.tar", "", ".gz", ".xz", ".zst"); err != nil {
		return nil, err
	}
	if p.data, _, err = take(members, "data.tar", "", ".gz", ".xz", ".zst", ".bz2"); err != nil {
		return nil, err
	}
	return p, nil
}

// take returns the next member, which must have the name and one of the suffixes, and those after it. Members
// whose name starts with "_" are passed over, as deb(5) demands.
func take(members []member, name string, suffixes ...string) (member, []member, error) {
	for i, m := range members {
		if strings.HasPrefix(m.name, "_") {
			continue
		}
		suffix, ok := strings.CutPrefix(m.name, name)
		if !ok {
			return member{}, nil, fmt.Errorf("%w: member %q where %s should be", ErrFormat, m.name, name)
		}
		if slices.Contains(suffixes, suffix) {
			return m, members[i+1:], nil
		}
		return member{}, nil, fmt.Errorf("%w: %q has an unknown compression", ErrFormat, m.name)
	}
	return member{}, nil, fmt.Errorf("%w: there is no %s", ErrFormat, name)
}

// checkVersion wants a major version of 2; minor ones and more lines are for later formats that we may read.
func checkVersion(r io.ReaderAt, m member) error {
	b := make([]byte, min(m.size, 64))
	if err := readAt(r, b, m.off); err != nil {
		return err
	}
	line, _, ok := bytes.Cut(b, []byte("\n"))
	major, minor, dot := strings.Cut(string(line), ".")
	if _, err := strconv.ParseUint(minor, 10, 16); !ok || !dot || err != nil || major != "2" {
		return fmt.Errorf("%w: debian-binary says %q, not 2.0", ErrFormat, line)
	}
	return nil
}

func readAr(r io.ReaderAt, size int64) ([]member, error) {
	magic := make([]byte, len(arMagic))
	if size < int64(len(magic)) {
		return nil, fmt.Errorf("%w: %d bytes long", ErrFormat, size)
	}
	if err := readAt(r, magic, 0); err != nil {
		return nil, err
	}
	if string(magic) != arMagic {
		return nil, fmt.Errorf("%w: not an ar archive", ErrFormat)
	}
	var members []member
	for off := int64(len(magic)); off < size; {
		if len(members) == maxMembers {
			return nil, fmt.Errorf("%w: more than %d members", ErrFormat, maxMembers)
		}
		m, err := readMember(r, off, size)
		if err != nil {
			return nil, err
		}
		members = append(members, m)
		if off, err = skipPadding(r, m, size); err != nil {
			return nil, err
		}
	}
	return members, nil
}

// readMember reads the header at off: name, time, owner, group, mode, size and an end mark, padded with spaces.
func readMember(r io.ReaderAt, off, size int64) (member, error) {
	h := make([]byte, headerSize)
	if size-off < headerSize {
		return member{}, fmt.Errorf("%w: truncated in a header", ErrFormat)
	}
	if err := readAt(r, h, off); err != nil {
		return member{}, err
	}
	name := strings.TrimSuffix(strings.TrimRight(string(h[:16]), " "), "/")
	if string(h[58:]) != "`\n" || name == "" {
		return member{}, fmt.Errorf("%w: no ar header at byte %d", ErrFormat, off)
	}
	n, err := strconv.ParseUint(strings.TrimRight(string(h[48:58]), " "), 10, 62)
	if err != nil {
		return member{}, fmt.Errorf("%w: member %q: size %q", ErrFormat, name, h[48:58])
	}
	m := member{name, off + headerSize, int64(n)}
	if m.size > size-m.off {
		return member{}, fmt.Errorf("%w: member %q says %d bytes, %d are there: truncated", ErrFormat, name, m.size, size-m.off)
	}
	return m, nil
}

// skipPadding returns where the next header is: at an even byte. At the end of the file the padding may be missing.
func skipPadding(r io.ReaderAt, m member, size int64) (int64, error) {
	off := m.off + m.size
	if off%2 == 0 || off == size {
		return off, nil
	}
	var pad [1]byte
	if err := readAt(r, pad[:], off); err != nil {
		return 0, err
	}
	if pad[0] != '\n' {
		return 0, fmt.Errorf("%w: member %q: padding is %q", ErrFormat, m.name, pad[0])
	}
	return off + 1, nil
}

// readAt fills b; fewer bytes than that mean that the file is not as long as was said.
func readAt(r io.ReaderAt, b []byte, off int64) error {
	n, err := r.ReadAt(b, off)
	switch {
	case n == len(b):
		return nil
	case err == io.EOF:
		return fmt.Errorf("%w: truncated", ErrFormat)
	}
	return err
}
