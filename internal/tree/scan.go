package tree

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Scan walks the directory dir, in the order of paths, and calls each for everything in it, dir
// itself included as ".". Regular files have their size but no digest: reading them is each's
// business. When dir is the upper directory of an overlay, its whiteouts (a character device 0:0)
// and opaque directories come as such; other attributes of the overlay are left out.
//
// Another name of a file that was met before gets Hard. Sockets are left out: no image can hold one.
func Scan(dir string, each func(path string, e *Entry) error) error {
	inodes := map[[2]uint64]string{}
	return filepath.WalkDir(dir, func(p string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		e, ino, err := Stat(p)
		if errors.Is(err, errSocket) {
			return nil
		}
		if err != nil {
			return err
		}
		rel := strings.TrimPrefix(strings.TrimPrefix(p, dir), "/")
		if rel == "" {
			rel = "."
		}
		if e.Type == Regular && ino != [2]uint64{} {
			if first, ok := inodes[ino]; ok {
				e.Hard = first
			} else {
				inodes[ino] = rel
			}
		}
		return each(rel, &e)
	})
}

var errSocket = errors.New("neither file, directory, link, device nor fifo")

// Stat describes what is at the path p of this machine, without its content. ino is the device and
// inode when it is a regular file with more than one name, else zero.
func Stat(p string) (e Entry, ino [2]uint64, err error) {
	var st unix.Stat_t
	if err := unix.Lstat(p, &st); err != nil {
		return e, ino, &os.PathError{Op: "lstat", Path: p, Err: err}
	}
	e = Entry{Mode: st.Mode & 07777, UID: st.Uid, GID: st.Gid, MTime: st.Mtim.Sec}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		e.Type, e.Size = Regular, st.Size
		if st.Nlink > 1 {
			ino = [2]uint64{st.Dev, st.Ino}
		}
	case unix.S_IFDIR:
		e.Type = Dir
	case unix.S_IFLNK:
		e.Type, e.Mode = Symlink, 0o777
		if e.Link, err = os.Readlink(p); err != nil {
			return e, ino, err
		}
	case unix.S_IFCHR, unix.S_IFBLK:
		e.Type = Char
		if st.Mode&unix.S_IFMT == unix.S_IFBLK {
			e.Type = Block
		}
		e.Dev = [2]uint32{unix.Major(st.Rdev), unix.Minor(st.Rdev)}
		if e.Type == Char && st.Rdev == 0 {
			return Entry{Type: Whiteout}, ino, nil
		}
	case unix.S_IFIFO:
		e.Type = Fifo
	default:
		return e, ino, fmt.Errorf("%s: %w", p, errSocket)
	}
	err = e.readXattrs(p)
	return e, ino, err
}

// overlayXattr says whether an attribute belongs to overlayfs itself (Documentation/filesystems/overlayfs.rst).
func overlayXattr(name string) bool {
	return strings.HasPrefix(name, "trusted.overlay.") || strings.HasPrefix(name, "user.overlay.")
}

func (e *Entry) readXattrs(p string) error {
	buf := make([]byte, 1024)
	n, err := unix.Llistxattr(p, buf)
	if err == unix.ERANGE {
		buf = make([]byte, 64<<10) // the kernel's XATTR_LIST_MAX
		n, err = unix.Llistxattr(p, buf)
	}
	if err == unix.ENOTSUP || n == 0 {
		return nil
	}
	if err != nil {
		return &os.PathError{Op: "llistxattr", Path: p, Err: err}
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(buf[:n]), "\x00"), "\x00") {
		value := make([]byte, 64<<10) // XATTR_SIZE_MAX
		n, err := unix.Lgetxattr(p, name, value)
		if err != nil {
			return &os.PathError{Op: "lgetxattr " + name, Path: p, Err: err}
		}
		if overlayXattr(name) {
			e.Opaque = e.Opaque || strings.HasSuffix(name, ".opaque") && string(value[:n]) == "y"
			continue
		}
		if strings.HasPrefix(name, "security.selinux") {
			continue // a property of the host's policy, not of the file
		}
		if e.Xattrs == nil {
			e.Xattrs = map[string]string{}
		}
		e.Xattrs[name] = string(value[:n])
	}
	return nil
}

// SetMeta gives what is at the path p of this machine the owner, mode, attributes and time that e says. The
// owner comes first, since chown clears setuid bits and capabilities.
func SetMeta(p string, e Entry) error {
	if err := os.Lchown(p, int(e.UID), int(e.GID)); err != nil {
		return err
	}
	if e.Type != Symlink {
		if err := unix.Chmod(p, e.Mode); err != nil {
			return &os.PathError{Op: "chmod", Path: p, Err: err}
		}
	}
	for name, value := range e.Xattrs {
		if err := unix.Lsetxattr(p, name, []byte(value), 0); err != nil {
			return &os.PathError{Op: "setxattr " + name, Path: p, Err: err}
		}
	}
	t := unix.NsecToTimespec(time.Unix(e.MTime, 0).UnixNano())
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, p, []unix.Timespec{t, t}, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &os.PathError{Op: "utimes", Path: p, Err: err}
	}
	return nil
}
