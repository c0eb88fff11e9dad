package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"brickyard/internal/catalog/index"
	"brickyard/internal/tree"

	"github.com/spf13/cobra"
)

// stepJSON is an element of what "history --json" prints.
type stepJSON struct {
	Digest   tree.Digest           `json:"digest"`
	Tags     []string              `json:"tags"`
	Missing  bool                  `json:"missing,omitempty"` // not in the catalogue
	Name     string                `json:"name,omitempty"`
	File     string                `json:"file,omitempty"`
	Recipe   tree.Digest           `json:"recipe,omitzero"`
	Lock     tree.Digest           `json:"lock,omitzero"`
	Baked    time.Time             `json:"baked,omitzero"`
	By       string                `json:"by,omitempty"`
	Layers   int                   `json:"layers"`
	Packages []index.PackageChange `json:"packages"`
}

func historyCmd(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "history IMAGE",
		Short: "show the images that an image is based on",
		Long: `Show the line of images that an image is based on, the first one first: when each was baked, by whom,
from which recipe, and which packages changed on the way.`,
		Example: `  brickyard history web:1.0
  brickyard history web:1.0 --json`,
		GroupID:           groupAsk,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: env.completeImages(1),
	}
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		c, r, err := env.image(args[0])
		if err != nil {
			return err
		}
		steps, err := c.History(r)
		if err != nil {
			return err
		}
		if env.json {
			list := make([]stepJSON, 0, len(steps))
			for _, s := range steps {
				r := s.Record
				list = append(list, stepJSON{
					Digest: s.Image, Tags: append([]string{}, s.Tags...), Missing: s.Missing, Name: r.Name, File: r.File,
					Recipe: r.Recipe, Lock: r.Lock, Baked: r.Baked, By: r.By, Layers: len(r.Layers),
					Packages: append([]index.PackageChange{}, s.Packages...),
				})
			}
			return env.printJSON(list)
		}
		var b strings.Builder
		for i, s := range steps {
			env.step(&b, s, i == 0)
		}
		_, err = io.WriteString(env.Stdout, b.String())
		return err
	}
	return cmd
}

func (env *Env) step(b *strings.Builder, s index.Step, first bool) {
	fmt.Fprintf(b, "%s", env.paint(env.OutTTY, bold, string(s.Image)))
	for _, t := range s.Tags {
		fmt.Fprintf(b, " %s", env.paint(env.OutTTY, green, t))
	}
	b.WriteByte('\n')
	r := s.Record
	if s.Missing {
		b.WriteString("    not in the catalogue\n")
		return
	}
	fmt.Fprintf(b, "    baked %s (%s) by %s\n", r.Baked.UTC().Format(time.DateTime), ago(r.Baked), r.By)
	fmt.Fprintf(b, "    recipe %s %s, %s, %s\n", r.Name, clean(r.File), count(len(r.Layers), "layer"), size(r.Size()))
	if first && !env.verbose {
		if n := len(s.Packages); n > 0 {
			fmt.Fprintf(b, "    + %s\n", count(n, "package"))
		}
		return
	}
	for _, p := range s.Packages {
		fmt.Fprintf(b, "    %s\n", env.packageChange(p))
	}
}

// packageChange prints a package with a sign for what happened to it.
func (env *Env) packageChange(p index.PackageChange) string {
	switch {
	case p.Old == "":
		return env.paint(env.OutTTY, green, fmt.Sprintf("+ %s %s", p.Name, p.New))
	case p.New == "":
		return env.paint(env.OutTTY, red, fmt.Sprintf("- %s %s", p.Name, p.Old))
	}
	return env.paint(env.OutTTY, yellow, fmt.Sprintf("~ %s %s → %s", p.Name, p.Old, p.New))
}
