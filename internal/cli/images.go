package cli

import (
	"fmt"
	"strings"
	"time"

	"brickyard/internal/catalog/index"
	"brickyard/internal/tree"

	"github.com/spf13/cobra"
)

// imageJSON is an element of what "images --json" prints.
type imageJSON struct {
	Digest    tree.Digest `json:"digest"`
	Name      string      `json:"name"`
	Tags      []string    `json:"tags"`
	Arch      string      `json:"arch"`
	Size      int64       `json:"size"` // bytes of the layers' blobs
	Layers    int         `json:"layers"`
	Packages  int         `json:"packages"`
	Baked     time.Time   `json:"baked"`
	By        string      `json:"by"`
	Owner     string      `json:"owner,omitempty"`
	Lifecycle string      `json:"lifecycle,omitempty"`
	Expires   time.Time   `json:"expires,omitzero"`
	Expired   bool        `json:"expired"`
	Parent    tree.Digest `json:"parent,omitzero"`
}

func imagesCmd(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "images [FILTER…]",
		Short: "list images",
		Long: `List the images in the catalogue, the newest of a recipe first.

A FILTER is a name, a name:tag, a pattern of one (web-*), the start of a digest, or one of
owner=NAME, lifecycle=WORD, package=NAME[=VERSION], expired=yes|no, tagged=yes|no.
Of several names one must fit; everything else must hold.`,
		Example: `  brickyard images
  brickyard images 'web:1.*'
  brickyard images package=openssl expired=no --json`,
		GroupID:           groupAsk,
		ValidArgsFunction: env.completeImages(1 << 10),
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		filter, err := index.ParseFilter(args, time.Now())
		if err != nil {
			return &usageError{command: cmd.CommandPath(), err: err}
		}
		c, err := env.catalog()
		if err != nil {
			return err
		}
		images, damaged, err := c.Images(filter)
		if err != nil {
			return err
		}
		if env.json {
			err = env.printJSON(imagesJSON(images))
		} else {
			err = env.printImages(images)
		}
		if err == nil && len(damaged) > 0 {
			err = notesError(damaged)
		}
		return err
	}
	return cmd
}

// notesError is what is wrong with notes that could not be listed.
type notesError []*index.NoteError

func (e notesError) Error() string {
	if len(e) == 1 {
		return e[0].Error()
	}
	lines := []string{fmt.Sprintf("%d notes can't be read", len(e))}
	for _, n := range e {
		lines = append(lines, "  "+n.Error())
	}
	return strings.Join(lines, "\n")
}

// Hint says for each what to do, but no more than a person reads.
func (e notesError) Hint() string {
	const enough = 3
	var hints []string
	for _, n := range e {
		if h := n.Hint(); h != "" {
			hints = append(hints, h)
		}
	}
	return strings.Join(hints[:min(enough, len(hints))], "\n")
}

func imagesJSON(images []index.Image) []imageJSON {
	list := make([]imageJSON, 0, len(images))
	for _, im := range images {
		list = append(list, imageJSON{
			Digest: im.Digest, Name: im.Name, Tags: append([]string{}, im.Tags...), Arch: im.Arch,
			Size: im.Size, Layers: im.Layers, Packages: im.Packages,
			Baked: im.Baked, By: im.By, Owner: im.Owner, Lifecycle: im.Lifecycle,
			Expires: im.Expires, Expired: im.Expired(time.Now()), Parent: im.Parent,
		})
	}
	return list
}

func (env *Env) printImages(images []index.Image) error {
	g := env.grid("name", "tag", "digest", ">size", ">packages", "baked", "owner", "expires")
	for _, im := range images {
		names := im.Tags
		if len(names) == 0 {
			names = []string{im.Name + ":-"}
		}
		for _, ref := range names {
			name, tag, _ := strings.Cut(ref, ":")
			g.row(name, tag, short(im.Digest), size(im.Size), im.Packages, ago(im.Baked), clean(im.Owner), env.expiry(im.Expires))
		}
	}
	return g.print()
}

// expiry says when an image's time is over.
func (env *Env) expiry(at time.Time) string {
	switch {
	case at.IsZero():
		return ""
	case time.Now().After(at):
		return env.paint(env.OutTTY, red, "expired "+ago(at))
	}
	return "in " + span(time.Until(at))
}
