package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"brickyard/internal/catalog/index"
	"brickyard/internal/tree"

	"github.com/spf13/cobra"
)

// entryJSON is one path of an image, as "files" and "diff" print it with --json.
type entryJSON struct {
	Path   string            `json:"path,omitempty"`
	Type   string            `json:"type"` // file, directory, symlink, char, block, fifo
	Mode   string            `json:"mode"` // four octal digits
	UID    uint32            `json:"uid"`
	GID    uint32            `json:"gid"`
	Time   time.Time         `json:"time"`
	Size   int64             `json:"size"`
	Digest tree.Digest       `json:"digest,omitzero"`
	Link   string            `json:"link,omitempty"`
	Hard   string            `json:"hard,omitempty"` // another name of the same file
	Major  uint32            `json:"major,omitzero"`
	Minor  uint32            `json:"minor,omitzero"`
	Xattrs map[string][]byte `json:"xattrs,omitempty"` // base64
}

var typeNames = map[tree.Type]string{
	tree.Regular: "file", tree.Dir: "directory", tree.Symlink: "symlink",
	tree.Char: "char", tree.Block: "block", tree.Fifo: "fifo",
}

func toEntryJSON(path string, e tree.Entry) entryJSON {
	j := entryJSON{
		Path: path, Type: typeNames[e.Type], Mode: fmt.Sprintf("%04o", e.Mode), UID: e.UID, GID: e.GID,
		Time: time.Unix(e.MTime, 0).UTC(), Size: e.Size, Digest: e.Digest, Link: e.Link, Major: e.Dev[0], Minor: e.Dev[1],
	}
	if e.Hard != "" {
		j.Hard = index.Abs(e.Hard)
	}
	for name, value := range e.Xattrs {
		if j.Xattrs == nil {
			j.Xattrs = map[string][]byte{}
		}
		j.Xattrs[name] = []byte(value)
	}
	return j
}

func filesCmd(env *Env) *cobra.Command {
	var recursive bool
	cmd := &cobra.Command{
		Use:   "files IMAGE [PATH]",
		Short: "list the files of an image",
		Long: `List what is at PATH in an image: for a directory what is in it, with -R all that is below it.
Without PATH it is the root directory. Owner and group are numbers, sizes bytes, times UTC.`,
		Example: `  brickyard files web:1.0 /etc/nginx
  brickyard files web:1.0 -R
  brickyard files web:1.0 /usr -R --json | jq -r '.[] | select(.mode == "4755") | .path'`,
		GroupID:           groupAsk,
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: env.completeImages(1),
	}
	cmd.Flags().BoolVarP(&recursive, "recursive", "R", false, "everything below, too")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := noEmptyPath(cmd, args); err != nil {
			return err
		}
		c, r, err := env.image(args[0])
		if err != nil {
			return err
		}
		root, err := c.Root(r)
		if err != nil {
			return err
		}
		at := ""
		if len(args) > 1 {
			at = args[1]
		}
		p, e, err := index.Find(root, at, false)
		if err != nil {
			return fmt.Errorf("image %s: %w", args[0], err)
		}
		paths := []string{p}
		if e.Type == tree.Dir {
			paths = within(root, p, recursive)
		}
		if env.json {
			list := make([]entryJSON, 0, len(paths))
			for _, p := range paths {
				list = append(list, toEntryJSON(index.Abs(p), root[p]))
			}
			return env.printJSON(list)
		}
		return env.printFiles(root, paths)
	}
	return cmd
}

// noEmptyPath refuses a PATH that is empty, as "$unset" is: it would be taken for the root.
func noEmptyPath(cmd *cobra.Command, args []string) error {
	if len(args) > 1 && args[1] == "" {
		return &usageError{command: cmd.CommandPath(), err: errors.New("the path is empty; that of the root directory is /")}
	}
	return nil
}

// within lists what is in the directory dir, or all below it.
func within(root tree.Tree, dir string, recursive bool) []string {
	var paths []string
	for _, p := range root.Paths() {
		if p == "." {
			continue
		}
		if tree.Parent(p) == dir || recursive && (dir == "." || strings.HasPrefix(p, dir+"/")) {
			paths = append(paths, p)
		}
	}
	return paths
}

func (env *Env) printFiles(root tree.Tree, paths []string) error {
	owner, length := 0, 0
	for _, p := range paths {
		owner, length = max(owner, len(ownership(root[p]))), max(length, len(extentOf(root[p])))
	}
	w := bufio.NewWriter(env.Stdout)
	for _, p := range paths {
		e := root[p]
		when := time.Unix(e.MTime, 0).UTC().Format("2006-01-02 15:04")
		fmt.Fprintf(w, "%s %-*s %*s %s %s", modeText(e), owner, ownership(e), length, extentOf(e), when, env.paint(env.OutTTY && e.Type == tree.Dir, bold, clean(index.Abs(p))))
		if e.Link != "" {
			fmt.Fprintf(w, " -> %s", clean(e.Link))
		}
		if e.Hard != "" {
			fmt.Fprintf(w, " = %s", clean(index.Abs(e.Hard)))
		}
		if err := w.WriteByte('\n'); err != nil {
			return err
		}
	}
	return w.Flush()
}

func ownership(e tree.Entry) string { return fmt.Sprintf("%d:%d", e.UID, e.GID) }

// extentOf is the size, or of a device its numbers.
func extentOf(e tree.Entry) string {
	if e.Type == tree.Char || e.Type == tree.Block {
		return fmt.Sprintf("%d,%d", e.Dev[0], e.Dev[1])
	}
	return fmt.Sprint(e.Size)
}

// modeText is type and mode as ls(1) prints them.
func modeText(e tree.Entry) string {
	b := []byte("?rwxrwxrwx")
	b[0] = map[tree.Type]byte{tree.Regular: '-', tree.Dir: 'd', tree.Symlink: 'l', tree.Char: 'c', tree.Block: 'b', tree.Fifo: 'p'}[e.Type]
	for i := range 9 {
		if e.Mode>>(8-i)&1 == 0 {
			b[i+1] = '-'
		}
	}
	for i, special := range []struct {
		bit      uint32
		on, over byte // with and without the x bit below
	}{{0o4000, 's', 'S'}, {0o2000, 's', 'S'}, {0o1000, 't', 'T'}} {
		if e.Mode&special.bit == 0 {
			continue
		}
		at := 3 * (i + 1)
		if b[at] == 'x' {
			b[at] = special.on
		} else {
			b[at] = special.over
		}
	}
	if len(e.Xattrs) > 0 {
		b = append(b, '+')
	}
	return string(b)
}

func catCmd(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cat IMAGE PATH",
		Short: "print a file of an image",
		Long:  "Print the content of a regular file of an image, exactly as it is. Symbolic links are followed.",
		Example: `  brickyard cat web:1.0 /etc/nginx/nginx.conf
  brickyard cat web:1.0 /etc/passwd | grep www-data`,
		GroupID:           groupAsk,
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: env.completeImages(1),
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := noEmptyPath(cmd, args); err != nil {
			return err
		}
		c, r, err := env.image(args[0])
		if err != nil {
			return err
		}
		root, err := c.Root(r)
		if err != nil {
			return err
		}
		p, e, err := index.Find(root, args[1], true)
		if err != nil {
			return fmt.Errorf("image %s: %w", args[0], err)
		}
		if e.Type != tree.Regular {
			return fmt.Errorf("image %s: %s is a %s, not a file", args[0], index.Abs(p), typeNames[e.Type])
		}
		contents, err := c.Contents(cmd.Context(), r, tree.Tree{p: e})
		if err != nil {
			return err
		}
		defer contents.Close()
		f, err := contents.Open(e)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(env.Stdout, f)
		return err
	}
	return cmd
}
