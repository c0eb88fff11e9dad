package cli

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"brickyard/internal/catalog/export"
	"brickyard/internal/catalog/index"
	"brickyard/internal/store"
	"brickyard/internal/tree"

	"github.com/spf13/cobra"
)

// exportJSON is what "export --json" prints.
type exportJSON struct {
	Digest  tree.Digest   `json:"digest"` // of the image
	Format  export.Format `json:"format"`
	File    string        `json:"file"`
	Size    int64         `json:"size"`    // bytes of the file
	Archive tree.Digest   `json:"archive"` // digest of the file
}

func exportCmd(env *Env) *cobra.Command {
	var to, format, name string
	cmd := &cobra.Command{
		Use:   "export IMAGE",
		Short: "write an image to a file that other programs read",
		Long: `Write an image to a file that other programs read. The same image under the same name gives the same
bytes. The formats:

  oci-archive     a tar of an OCI image layout, for skopeo, podman, containerd
  docker-archive  for docker load
  rootfs          a tar of the root file system alone

The archive gives the image the name that it was asked for by, or that of --name.`,
		Example: `  brickyard export web:1.0 --to web.tar
  brickyard export web:1.0 --format docker-archive --to - | docker load
  brickyard export web:1.0 --format rootfs --to root.tar`,
		GroupID:           groupMove,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: env.completeImages(1),
	}
	cmd.Flags().StringVar(&to, "to", "", "`FILE` to write, - for stdout")
	cmd.Flags().StringVar(&format, "format", string(export.OCIArchive), "`FORMAT`: oci-archive, docker-archive or rootfs")
	cmd.Flags().StringVar(&name, "name", "", "`NAME:TAG` of the image in the archive")
	cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]cobra.Completion{
		string(export.OCIArchive), string(export.DockerArchive), string(export.Rootfs),
	}, cobra.ShellCompDirectiveNoFileComp))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		x := &export.Exporter{}
		if err := env.checkExport(to, name, export.Format(format)); err != nil {
			return &usageError{command: cmd.CommandPath(), err: err}
		}
		var err error
		if x.Store, err = env.store(); err != nil {
			return err
		}
		x.Catalog = env.catalogOf(x.Store)
		if x.Record, err = x.Catalog.Lookup(args[0]); err != nil {
			return err
		}
		if x.Ref, err = env.exportName(x.Catalog, x.Record, args[0], name); err != nil {
			return err
		}
		return env.export(cmd.Context(), x, export.Format(format), to)
	}
	return cmd
}

// exportName is the name that an archive gives the image r: the one asked for, else that by which it was
// found, none when that was a digest.
func (env *Env) exportName(c *index.Catalog, r index.Record, image, name string) (index.Ref, error) {
	if name != "" {
		return index.ParseRef(name)
	}
	tags, err := env.tagsOf(c, r.Image)
	if err != nil {
		return index.Ref{}, err
	}
	if ref, err := index.ParseRef(image); err == nil && slices.Contains(tags, ref.String()) {
		return ref, nil
	}
	return index.Ref{}, nil
}

func (env *Env) checkExport(to, name string, f export.Format) error {
	if name != "" {
		if _, err := index.ParseRef(name); err != nil {
			return err
		}
	}
	switch {
	case to == "":
		return errors.New("--to FILE is missing; - is stdout")
	case !slices.Contains(export.Formats(), f):
		return fmt.Errorf("no format %q: there are %s", f, formatNames())
	case to == "-" && env.OutTTY:
		return errors.New("an archive is nothing for a terminal: redirect stdout, or name a file")
	}
	return nil
}

func formatNames() string {
	var names []string
	for _, f := range export.Formats() {
		names = append(names, string(f))
	}
	return strings.Join(names, ", ")
}

func (env *Env) export(ctx context.Context, x *export.Exporter, f export.Format, to string) error {
	bar := env.progress().Stage("export", x.Size(f), unitBytes)
	x.Each = bar.Add
	if to == "-" {
		w := bufio.NewWriterSize(env.Stdout, 1<<20)
		if err := x.Write(ctx, f, w); err != nil {
			return err
		}
		bar.Done()
		return w.Flush()
	}
	h := sha256.New()
	var n int64
	err := writeFile(to, func(w io.Writer) error {
		buf := bufio.NewWriterSize(io.MultiWriter(w, h), 1<<20)
		if err := x.Write(ctx, f, buf); err != nil {
			return err
		}
		return buf.Flush()
	}, &n)
	if err != nil {
		return err
	}
	bar.Done()
	if !env.json {
		return nil
	}
	return env.printJSON(exportJSON{x.Record.Image, f, to, n, tree.Digest(fmt.Sprintf("sha256:%x", h.Sum(nil)))})
}

// writeFile writes a file so that path has the old content or the whole new one. What is no regular file,
// as a pipe or a device, is written to as it is. size is set to the bytes that were written.
func writeFile(path string, write func(io.Writer) error, size *int64) error {
	if fi, err := os.Stat(path); err == nil && !fi.Mode().IsRegular() {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		return errors.Join(write(f), f.Close())
	}
	tmp := filepath.Join(filepath.Dir(path), ".export-"+rand.Text())
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return store.WriteError(path, err)
	}
	err = write(tempFile{f, path})
	if err == nil {
		*size, err = f.Seek(0, io.SeekCurrent)
		if err = errors.Join(err, f.Sync()); err == nil {
			err = os.Rename(tmp, path)
		}
		if err != nil {
			err = store.WriteError(path, err)
		}
	}
	if err = errors.Join(err, f.Close()); err != nil {
		os.Remove(tmp)
	}
	return err
}

// A tempFile will be the file at path.
type tempFile struct {
	io.Writer
	path string
}

func (t tempFile) Write(p []byte) (int, error) {
	n, err := t.Writer.Write(p)
	if err != nil {
		err = store.WriteError(t.path, err)
	}
	return n, err
}
