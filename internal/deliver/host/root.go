package host

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// An imageRoot is the root directory of an image, read as an instance will see it: a link that is
// absolute starts at the image's root, and no path leads out of it. os.Root is not enough, for it
// refuses absolute links, of which /etc/alternatives is full.
type imageRoot struct {
	dir *os.File
}

func openImageRoot(dir string) (*imageRoot, error) {
	f, err := os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, fmt.Errorf("image root: %w", err)
	}
	return &imageRoot{f}, nil
}

func (r *imageRoot) Close() error { return r.dir.Close() }

// open opens what the path p leads to. Errors: *fs.PathError.
func (r *imageRoot) open(p string, flags int) (*os.File, error) {
	how := unix.OpenHow{
		Flags:   uint64(flags | unix.O_CLOEXEC),
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	}
	fd, err := unix.Openat2(int(r.dir.Fd()), "./"+p, &how)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: p, Err: err}
	}
	return os.NewFile(uintptr(fd), p), nil
}

// stat describes what the path p leads to.
func (r *imageRoot) stat(p string) (fs.FileInfo, error) {
	f, err := r.open(p, unix.O_PATH)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Stat()
}

// place returns where on this machine the path p of the image leads to.
func (r *imageRoot) place(p string) (string, error) {
	f, err := r.open(p, unix.O_PATH)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
}

// read returns the content of a regular file of at most limit bytes; "" when there is none.
func (r *imageRoot) read(p string, limit int64) (string, error) {
	f, err := r.open(p, unix.O_RDONLY|unix.O_NONBLOCK)
	if missing(err) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	if fi, err := f.Stat(); err != nil || !fi.Mode().IsRegular() || fi.Size() > limit {
		return "", fmt.Errorf("%s of the image: not a file of at most %d bytes", p, limit)
	}
	data, err := io.ReadAll(io.LimitReader(f, limit))
	return string(data), err
}

// missing says whether err means that nothing is there.
func missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR)
}

// within says whether the absolute path p is dir or below it.
func within(p, dir string) bool {
	p, dir = path.Clean(p), path.Clean(dir)
	return dir == "/" || p == dir || strings.HasPrefix(p, dir+"/")
}
