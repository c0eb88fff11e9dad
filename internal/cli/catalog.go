package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"brickyard/internal/store"

	"github.com/spf13/cobra"
)

// catalogCheckJSON is what "catalog verify --json" prints.
type catalogCheckJSON struct {
	OK       bool          `json:"ok"`
	Blobs    int           `json:"blobs"`
	Files    int           `json:"files"`
	Notes    int           `json:"notes"`
	Bytes    int64         `json:"bytes"` // of blobs and files
	Problems []store.Fault `json:"problems"`
	Litter   []string      `json:"litter"` // paths below the home
	Repaired bool          `json:"repaired"`
}

func catalogCmd(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "catalog COMMAND",

		DisableFlagsInUseLine: true,

		Short: "look after the catalogue as a whole",
		Long:  "Look after the catalogue as a whole.",
		Example: `  brickyard catalog verify
  brickyard catalog verify --repair
  brickyard catalog reindex`,
		GroupID: groupAsk,
	}
	cmd.AddCommand(env.asRoot(catalogVerifyCmd(env)), catalogReindexCmd(env))
	return cmd
}

// reindexJSON is what "catalog reindex --json" prints.
type reindexJSON struct {
	Images  int     `json:"images"`
	Seconds float64 `json:"seconds"`
}

func catalogReindexCmd(env *Env) *cobra.Command {
	return &cobra.Command{
		Use:   "reindex",
		Short: "make the index of the catalogue anew",
		Long: `Make the index, by which images are listed and looked for, anew from the records of the images.

It is kept up to date by itself, and made anew when it is missing or damaged. This is for who doubts it.`,
		Example: "  brickyard catalog reindex",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			s, err := env.store()
			if err != nil {
				return err
			}
			start := time.Now()
			bar := env.progress().Stage("reindex", 0, unitItems)
			n, err := env.catalogOf(s).Reindex(func() { bar.Add(1) })
			if err != nil {
				return err
			}
			bar.Done()
			took := time.Since(start)
			if env.json {
				return env.printJSON(reindexJSON{n, took.Seconds()})
			}
			_, err = fmt.Fprintf(env.Stdout, "%s in %s\n", count(n, "image"), span(took))
			return err
		},
	}
}

func catalogVerifyCmd(env *Env) *cobra.Command {
	var repair bool
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "check everything on disk against its digest",
		Long: `Read everything that the catalogue has on disk: each blob against its digest, each unpacked file
against its name, which stands for content, owner, mode, time and attributes, each assembled root
against its listing, each note, and that all images have what their records name. Files that a process
which was killed left half-written are counted as litter: nothing uses them.

With --repair, what is damaged goes to the trash, and litter too: baking again makes or fetches it anew.
Exits with 13 when anything is damaged or missing.`,
		Example: `  brickyard catalog verify
  brickyard catalog verify --repair
  brickyard catalog verify --json | jq .problems`,
		Args: cobra.NoArgs,
	}
	cmd.Flags().BoolVar(&repair, "repair", false, "put aside what is damaged")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := env.store()
		if err != nil {
			return err
		}
		bar := env.progress().Stage("verify", 0, unitBytes)
		c, err := s.Verify(cmd.Context(), []string{"record", "tag", "image", "manifest"}, bar.Add)
		if err != nil {
			return err
		}
		bar.Done()
		if repair {
			if err := putAside(s, c); err != nil {
				return err
			}
		}
		unread, err := env.catalogOf(s).Damaged()
		if err != nil {
			return err
		}
		for _, e := range unread {
			c.Faults = append(c.Faults, store.Fault{Path: e.What, Why: e.Err.Error(), Missing: true})
		}
		if env.json {
			err = env.printJSON(catalogCheckJSON{
				OK: len(c.Faults) == 0, Blobs: c.Blobs, Files: c.Files, Notes: c.Notes, Bytes: c.Bytes,
				Problems: append([]store.Fault{}, c.Faults...), Litter: append([]string{}, c.Litter...), Repaired: repair,
			})
		} else {
			err = env.printCheck(s, c, repair)
		}
		if err == nil && len(c.Faults) > 0 {
			err = exitCode(exitUntrusted)
		}
		return err
	}
	return cmd
}

// putAside moves what is there and damaged, and litter, to the trash.
func putAside(s *store.Store, c *store.Check) error {
	paths := c.Litter
	for _, f := range c.Faults {
		if !f.Missing {
			paths = append(paths, f.Path)
		}
	}
	for _, p := range paths {
		if err := s.PutAside(p); err != nil {
			return err
		}
	}
	return nil
}

func (env *Env) printCheck(s *store.Store, c *store.Check, repaired bool) error {
	var b strings.Builder
	fmt.Fprintf(&b, "home     %s\n", clean(s.Dir()))
	content := env.paint(env.OutTTY, green, "as its digests promise")
	if n := len(c.Faults); n > 0 {
		content = env.paint(env.OutTTY, red, "NOT as its digests promise: "+count(n, "problem"))
	}
	fmt.Fprintf(&b, "content  %s (%s, %s, %s, %s read)\n", content, count(c.Blobs, "blob"), count(c.Files, "file"), count(c.Notes, "note"), size(c.Bytes))
	aside := ""
	if repaired {
		aside = "; put aside"
	}
	if n := len(c.Litter); n > 0 {
		fmt.Fprintf(&b, "litter   %s half-written by a process that was killed; nothing uses them%s\n", count(n, "file"), aside)
	}
	for _, f := range c.Faults {
		what := aside
		if f.Missing {
			what = ""
		}
		fmt.Fprintf(&b, "%s  %s: %s%s\n", env.paint(env.OutTTY, red, "problem"), clean(f.Path), clean(f.Why), what)
	}
	_, err := io.WriteString(env.Stdout, b.String())
	return err
}
