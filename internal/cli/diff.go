package cli

import (
	"bufio"
	"fmt"
	"strings"

	"brickyard/internal/catalog/index"
	"brickyard/internal/tree"

	"github.com/spf13/cobra"
)

// diffJSON is what "diff --json" prints.
type diffJSON struct {
	A        sideJSON              `json:"a"`
	B        sideJSON              `json:"b"`
	Packages []index.PackageChange `json:"packages"`
	Config   []index.ConfigChange  `json:"config"`
	Files    []changeJSON          `json:"files"`
}

type sideJSON struct {
	Digest tree.Digest `json:"digest"`
	Size   int64       `json:"size"` // bytes of the layers' blobs
}

type changeJSON struct {
	Path string     `json:"path"`
	Kind tree.Kind  `json:"kind"`
	Old  *entryJSON `json:"old,omitempty"`
	New  *entryJSON `json:"new,omitempty"`
	Text string     `json:"text,omitempty"` // unified diff
}

func diffCmd(env *Env) *cobra.Command {
	var stat, names bool
	cmd := &cobra.Command{
		Use:   "diff A B",
		Short: "show how two images differ",
		Long: `Show what must change to make image B out of image A: packages, configuration, files and size, and for
changed text files of at most 256 KiB the lines. Times of files are not compared.

Signs: + only in B, - only in A, ~ other content, m only mode, owner or attributes.`,
		Example: `  brickyard diff web:1.0 web:1.1
  brickyard diff web:1.0 web:1.1 --stat
  brickyard diff web:1.0 web:1.1 --json | jq .packages`,
		GroupID:           groupAsk,
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: env.completeImages(2),
	}
	cmd.Flags().BoolVar(&stat, "stat", false, "only how many files changed")
	cmd.Flags().BoolVar(&names, "names", false, "only the names of files, not their lines")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, a, err := env.image(args[0])
		if err != nil {
			return err
		}
		b, err := c.Lookup(args[1])
		if err != nil {
			return err
		}
		d, err := c.Diff(a, b)
		if err != nil {
			return err
		}
		var texts map[string]string
		if !stat && !names {
			if texts, err = c.Text(cmd.Context(), d); err != nil {
				return err
			}
		}
		if env.json {
			return env.printJSON(toDiffJSON(d, texts))
		}
		return env.printDiff(d, texts, !stat)
	}
	return cmd
}

func toDiffJSON(d *index.Diff, texts map[string]string) diffJSON {
	j := diffJSON{
		A: sideJSON{d.A.Image, d.A.Size()}, B: sideJSON{d.B.Image, d.B.Size()},
		Packages: append([]index.PackageChange{}, d.Packages...),
		Config:   append([]index.ConfigChange{}, d.Config...),
		Files:    make([]changeJSON, 0, len(d.Files)),
	}
	for _, ch := range d.Files {
		f := changeJSON{Path: index.Abs(ch.Path), Kind: ch.Kind, Text: texts[ch.Path]}
		if ch.Kind != tree.Added {
			e := toEntryJSON("", ch.Old)
			f.Old = &e
		}
		if ch.Kind != tree.Removed {
			e := toEntryJSON("", ch.New)
			f.New = &e
		}
		j.Files = append(j.Files, f)
	}
	return j
}

func (env *Env) printDiff(d *index.Diff, texts map[string]string, files bool) error {
	w := bufio.NewWriter(env.Stdout)
	head := func(text string) { fmt.Fprintln(w, env.paint(env.OutTTY, bold, text)) }
	if len(d.Packages) > 0 {
		head("Packages")
		for _, p := range d.Packages {
			fmt.Fprintln(w, env.packageChange(p))
		}
		fmt.Fprintln(w)
	}
	if len(d.Config) > 0 {
		head("Configuration")
		for _, ch := range d.Config {
			fmt.Fprintln(w, env.configChange(ch))
		}
		fmt.Fprintln(w)
	}
	if files && len(d.Files) > 0 {
		head("Files")
		for _, ch := range d.Files {
			fmt.Fprintln(w, env.fileChange(ch))
		}
		fmt.Fprintln(w)
	}
	for _, ch := range d.Files {
		if text := texts[ch.Path]; text != "" {
			env.printText(w, text)
		}
	}
	fmt.Fprintln(w, diffSummary(d))
	return w.Flush()
}

func (env *Env) configChange(ch index.ConfigChange) string {
	switch {
	case ch.Old == nil:
		return env.paint(env.OutTTY, green, fmt.Sprintf("+ %s %s", clean(ch.Key), ch.New))
	case ch.New == nil:
		return env.paint(env.OutTTY, red, fmt.Sprintf("- %s %s", clean(ch.Key), ch.Old))
	}
	return env.paint(env.OutTTY, yellow, fmt.Sprintf("~ %s %s → %s", clean(ch.Key), ch.Old, ch.New))
}

func (env *Env) fileChange(ch tree.Change) string {
	path := clean(index.Abs(ch.Path))
	switch ch.Kind {
	case tree.Added:
		return env.paint(env.OutTTY, green, "+ "+path)
	case tree.Removed:
		return env.paint(env.OutTTY, red, "- "+path)
	case tree.Meta:
		return env.paint(env.OutTTY, yellow, fmt.Sprintf("m %s  %s → %s", path, metaText(ch.Old), metaText(ch.New)))
	}
	return env.paint(env.OutTTY, yellow, fmt.Sprintf("~ %s  %s → %s", path, contentText(ch.Old), contentText(ch.New)))
}

func metaText(e tree.Entry) string { return modeText(e) + " " + ownership(e) }

// contentText says in a few words what an entry holds.
func contentText(e tree.Entry) string {
	switch e.Type {
	case tree.Regular:
		return size(e.Size)
	case tree.Symlink:
		return "link to " + clean(e.Link)
	}
	return typeNames[e.Type]
}

func (env *Env) printText(w *bufio.Writer, text string) {
	for line := range strings.Lines(text) {
		line = clean(strings.TrimSuffix(strings.ReplaceAll(line, "\t", "        "), "\n"))
		switch {
		case strings.HasPrefix(line, "+"):
			line = env.paint(env.OutTTY, green, line)
		case strings.HasPrefix(line, "-"):
			line = env.paint(env.OutTTY, red, line)
		}
		fmt.Fprintln(w, line)
	}
	fmt.Fprintln(w)
}

func diffSummary(d *index.Diff) string {
	if d.A.Image == d.B.Image {
		return "the same image"
	}
	counts := map[tree.Kind]int{}
	for _, ch := range d.Files {
		counts[ch.Kind]++
	}
	return fmt.Sprintf("packages: %d changed; files: %d added, %d removed, %d changed, %d in mode or owner only; size: %s → %s (%s)",
		len(d.Packages), counts[tree.Added], counts[tree.Removed], counts[tree.Changed], counts[tree.Meta],
		size(d.A.Size()), size(d.B.Size()), signedSize(d.B.Size()-d.A.Size()))
}
