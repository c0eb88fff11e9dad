package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"brickyard/internal/tree"

	"golang.org/x/sys/unix"
)

// copyTree copies the directory src to dst, which must not be there: owners, modes, times, attributes
// and hard links too. Nothing of dst shares a file with src.
func copyTree(ctx context.Context, src, dst string) error {
	type made struct {
		path  string
		entry tree.Entry
	}
	var dirs []made // get their modes and times last: making what is in them changes those
	err := tree.Scan(src, func(p string, e *tree.Entry) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		to := filepath.Join(dst, p)
		if e.Type == tree.Dir {
			dirs = append(dirs, made{to, *e})
			return os.Mkdir(to, 0o700)
		}
		if e.Hard != "" {
			return os.Link(filepath.Join(dst, e.Hard), to)
		}
		if err := copyEntry(filepath.Join(src, p), to, *e); err != nil {
			return err
		}
		return tree.SetMeta(to, *e)
	})
	for _, d := range slices.Backward(dirs) {
		if err == nil {
			err = tree.SetMeta(d.path, d.entry)
		}
	}
	return err
}

func copyEntry(src, dst string, e tree.Entry) error {
	switch e.Type {
	case tree.Regular:
		return copyFile(src, dst)
	case tree.Symlink:
		return os.Symlink(e.Link, dst)
	case tree.Fifo:
		return unix.Mkfifo(dst, 0o600)
	case tree.Char:
		return unix.Mknod(dst, unix.S_IFCHR|0o600, int(unix.Mkdev(e.Dev[0], e.Dev[1])))
	case tree.Block:
		return unix.Mknod(dst, unix.S_IFBLK|0o600, int(unix.Mkdev(e.Dev[0], e.Dev[1])))
	}
	return fmt.Errorf("%s: type %q can't be copied", src, e.Type)
}

func copyFile(src, dst string) error {
	in, err := os.Open(src)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(dst, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
