package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"brickyard/internal/catalog/sprawl"

	"github.com/spf13/cobra"
)

func sprawlCmd(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sprawl",
		Short: "show what there is too much of",
		Long: `Show how many images there are, whose they are, what they are built on, how old they are, what they
take on disk, and what of it leaves with whom: images without an owner, expired ones, those with the very
same packages as others.

Bytes are those of compressed layers. "own" are the bytes that nobody else has: what leaves with them.`,
		Example: `  brickyard sprawl
  brickyard sprawl --json | jq .findings`,
		GroupID: groupAsk,
		Args:    cobra.NoArgs,
	}
	cmd.RunE = func(*cobra.Command, []string) error {
		c, err := env.catalog()
		if err != nil {
			return err
		}
		r, damaged, err := sprawl.Look(c, time.Now())
		if err != nil {
			return err
		}
		if env.json {
			err = env.printJSON(r)
		} else {
			err = env.printSprawl(r)
		}
		if err == nil && len(damaged) > 0 {
			err = notesError(damaged)
		}
		return err
	}
	return cmd
}

// mostRows is how many rows of a part people read.
const mostRows = 10

func (env *Env) printSprawl(r *sprawl.Report) error {
	if r.Images == 0 {
		_, err := fmt.Fprintln(env.Stdout, "no images")
		return err
	}
	saved := ""
	if r.Each > r.Stored {
		saved = fmt.Sprintf("; %s were each stored by itself, %.0f %% saved by sharing", size(r.Each), 100*(1-float64(r.Stored)/float64(r.Each)))
	}
	_, err := fmt.Fprintf(env.Stdout, "%s of %s, %s in %s%s\n", count(r.Images, "image"), count(r.Names, "name"),
		size(r.Stored), count(r.Layers, "layer"), saved)
	for _, part := range []struct {
		title string
		print func() error
	}{
		{"To be looked at", func() error { return env.printFindings(r.Findings) }},
		{"By owner", func() error { return env.printGroups("owner", r.Owners) }},
		{"By base", func() error { return env.printGroups("base", r.Bases) }},
		{"By age", func() error {
			return env.printBars("up to", r.Ages, func(g sprawl.Group) int64 { return int64(g.Images) })
		}},
		{"Growth", func() error { return env.printGrowth(r.Months) }},
		{"The very same packages", func() error { return env.printAlike(r.Alike) }},
		{"Most bytes of their own", func() error { return env.printLargest(r.Largest) }},
	} {
		if err != nil {
			return err
		}
		if _, err = fmt.Fprintf(env.Stdout, "\n%s\n", env.paint(env.OutTTY, bold, part.title)); err == nil {
			err = part.print()
		}
	}
	return err
}

// none says that a part has nothing.
func (env *Env) none() error {
	_, err := io.WriteString(env.Stdout, "  nothing\n")
	return err
}

// more says how many rows a part has left out.
func (env *Env) more(n int) error {
	if n <= mostRows {
		return nil
	}
	_, err := fmt.Fprintf(env.Stdout, "and %d more: --json lists them\n", n-mostRows)
	return err
}

func (env *Env) printFindings(findings []sprawl.Finding) error {
	if len(findings) == 0 {
		return env.none()
	}
	g := env.grid("what", ">images", ">own", "as")
	for _, f := range findings {
		some := make([]string, len(f.Some))
		for i, s := range f.Some {
			some[i] = clean(s)
		}
		if f.Images > len(some) {
			some = append(some, "…")
		}
		g.row(env.paint(env.OutTTY, yellow, f.Kind), f.Images, size(f.Own), strings.Join(some, " "))
	}
	return g.print()
}

func (env *Env) printGroups(what string, groups []sprawl.Group) error {
	g := env.grid(what, ">images", ">own", ">each by itself")
	for _, gr := range groups[:min(mostRows, len(groups))] {
		name := clean(gr.Name)
		if name == "" {
			name = "(none)"
		}
		g.row(name, gr.Images, size(gr.Own), size(gr.Each))
	}
	if err := g.print(); err != nil {
		return err
	}
	return env.more(len(groups))
}

// printBars draws a group as a bar of what of counts, as long as its share of the most.
func (env *Env) printBars(what string, groups []sprawl.Group, of func(sprawl.Group) int64) error {
	var most int64 = 1
	for _, gr := range groups {
		most = max(most, of(gr))
	}
	g := env.grid(what, ">images", ">own", "")
	for _, gr := range groups {
		g.row(clean(gr.Name), gr.Images, size(gr.Own), bar(of(gr), most))
	}
	return g.print()
}

// bar is as long as its share of the most: thirty characters at the most, eighths of one at the least.
func bar(n, most int64) string {
	const width = 30
	eighths := int(n * width * 8 / most)
	if n > 0 && eighths == 0 {
		eighths = 1
	}
	part := []string{"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"}[eighths%8]
	return strings.Repeat("█", eighths/8) + part
}

// printGrowth draws what the last months added.
func (env *Env) printGrowth(months []sprawl.Group) error {
	const most = 18
	return env.printBars("month", months[max(0, len(months)-most):], func(g sprawl.Group) int64 { return g.Own })
}

func (env *Env) printAlike(alike []sprawl.Alike) error {
	if len(alike) == 0 {
		return env.none()
	}
	g := env.grid(">images", ">packages", ">own of the older", "newest first")
	for _, a := range alike[:min(mostRows, len(alike))] {
		const some = 4
		var names []string
		for _, n := range a.Names[:min(some, len(a.Names))] {
			names = append(names, clean(n))
		}
		if len(a.Names) > some {
			names = append(names, "…")
		}
		g.row(len(a.Images), a.Packages, size(a.Own), strings.Join(names, " "))
	}
	if err := g.print(); err != nil {
		return err
	}
	return env.more(len(alike))
}

func (env *Env) printLargest(largest []sprawl.ImageBytes) error {
	g := env.grid("name", "tags", "digest", ">own", ">size")
	for _, im := range largest {
		g.row(clean(im.Name), strings.Join(im.Tags, " "), short(im.Image), size(im.Own), size(im.Size))
	}
	return g.print()
}
