package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"brickyard/internal/catalog/index"

	"github.com/spf13/cobra"
)

func tagCmd(env *Env) *cobra.Command {
	var move bool
	cmd := &cobra.Command{
		Use:   "tag IMAGE NAME:TAG",
		Short: "give an image a name",
		Long: `Make NAME:TAG point at an image. A name that points at another image already is refused unless --move
is given. NAME alone is NAME:latest.`,
		Example: `  brickyard tag 3f2a9c1b web:1.0
  brickyard tag web:1.0 web:stable --move`,
		GroupID:           groupMove,
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: env.completeImages(2),
	}
	cmd.Flags().BoolVar(&move, "move", false, "take the name from the image that has it")
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		if _, err := index.ParseRef(args[1]); err != nil {
			return &usageError{command: cmd.CommandPath(), err: err}
		}
		s, err := env.store()
		if err != nil {
			return err
		}
		c := env.catalogOf(s)
		unlock, err := c.Lock(cmd.Context(), func() { env.warn("waiting for another process that changes names") })
		if err != nil {
			return err
		}
		defer unlock()
		r, err := c.Lookup(args[0])
		if err != nil {
			return err
		}
		b := s.Batch()
		if err := c.Tag(b, args[1], r.Image, move, env.who(), time.Now()); err != nil {
			return err
		}
		if err := b.Commit(); err != nil || !env.json {
			return err
		}
		t, err := c.Tagged(args[1])
		if err != nil {
			return err
		}
		return env.printJSON(t)
	}
	return cmd
}

func untagCmd(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "untag NAME:TAG…",
		Short: "take names away",
		Long:  "Take names away. The images stay; the digest of each that lost a name is printed.",
		Example: `  brickyard untag web:1.0
  brickyard untag web:1.0 web:stable`,
		GroupID:           groupMove,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: env.completeImages(1 << 10),
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		for _, arg := range args {
			if _, err := index.ParseRef(arg); err != nil {
				return &usageError{command: cmd.CommandPath(), err: err}
			}
		}
		c, err := env.catalog()
		if err != nil {
			return err
		}
		unlock, err := c.Lock(cmd.Context(), func() { env.warn("waiting for another process that changes names") })
		if err != nil {
			return err
		}
		defer unlock()
		gone, err := c.Untag(args...)
		if err != nil {
			return err
		}
		return env.printUntagged(gone)
	}
	return cmd
}

func (env *Env) printUntagged(gone []index.Tag) error {
	var b strings.Builder
	for _, t := range gone {
		if t.Image == "" {
			env.warn("%s: its note was damaged: nobody knows which image had the name", t.Ref)
			continue
		}
		fmt.Fprintln(&b, t.Image)
	}
	if env.json {
		return env.printJSON(gone)
	}
	_, err := io.WriteString(env.Stdout, b.String())
	return err
}
