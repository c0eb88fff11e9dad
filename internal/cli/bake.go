package cli

import (
	"fmt"
	"path/filepath"

	"brickyard/internal/bake/recipe"
	"brickyard/internal/catalog/index"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v4"
)

func bakeCmd(env *Env) *cobra.Command {
	var (
		f             recipeFlags
		tags          []string
		move, offline bool
		print         bool
		keep          string
	)
	cmd := &cobra.Command{
		Use:   "bake RECIPE",
		Short: "make the image of a recipe and its lock",
		Long: `Make the image that RECIPE and the lock beside it describe. The same lock gives the same image, bit for
bit, on any machine. The image's digest is the last line on stdout.

Packages come from the store, or from the archive that the lock names; each is verified by the lock's
sha256. Maintainer scripts and the recipe's own commands run in a sandbox without network.

A base recipe is baked first, from its own lock. What is baked already is found, not baked again.`,
		Example: `  brickyard bake recipe.yaml -t web:1.0
  brickyard bake recipe.yaml --set version=1.2 --print
  brickyard bake recipe.yaml --offline
  brickyard bake recipe.yaml --keep /tmp/broken`,
		GroupID: groupBake,
		Args:    cobra.ExactArgs(1),
	}
	f.register(cmd)
	cmd.Flags().StringArrayVarP(&tags, "tag", "t", nil, "give the image a name: `NAME:TAG`")
	cmd.Flags().BoolVar(&move, "move", false, "take the name from the image that has it")
	cmd.Flags().BoolVar(&offline, "offline", false, "use only what is in the store")
	cmd.Flags().BoolVar(&print, "print", false, "print the recipe with its parameters filled in, and stop")
	cmd.Flags().StringVar(&keep, "keep", "", "when a program of the image fails, leave the root file system as it was in `directory`")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		for _, t := range tags {
			if _, err := index.ParseRef(t); err != nil {
				return &usageError{command: cmd.CommandPath(), err: err}
			}
		}
		r, err := f.load(cmd, args[0])
		if err != nil {
			return err
		}
		if print {
			return env.printRecipe(r)
		}
		if done, err := env.enterUserNS(cmd.Context()); done {
			return err
		}
		return env.bake(cmd, r, tags, move, offline, keep)
	}
	return cmd
}

// printRecipe prints a recipe with its parameters filled in, as YAML or, with --json, as the same in JSON.
func (env *Env) printRecipe(r *recipe.Recipe) error {
	text := r.Render()
	if !env.json {
		_, err := env.Stdout.Write(text)
		return err
	}
	var v any
	if err := yaml.Unmarshal(text, &v); err != nil {
		return fmt.Errorf("%s: %w", r.Path, err)
	}
	return env.printJSON(v)
}

func (env *Env) bake(cmd *cobra.Command, r *recipe.Recipe, tags []string, move, offline bool, keep string) error {
	b, err := env.baking()
	if err != nil {
		return err
	}
	defer b.client.Close()
	b.offline = offline
	if keep != "" {
		if b.keep, err = filepath.Abs(keep); err != nil {
			return err
		}
		if err := emptyDir(b.keep); err != nil {
			return fmt.Errorf("--keep: %w", err)
		}
	}
	var bt []bakeTag
	for _, t := range tags {
		bt = append(bt, bakeTag{t, move})
	}
	img, err := b.bake(cmd.Context(), r, bt)
	if err != nil {
		return err
	}
	if env.json {
		rec, err := b.catalog.Record(img.Manifest)
		if err != nil {
			return err
		}
		return env.printJSON(rec)
	}
	_, err = fmt.Fprintln(env.Stdout, img.Manifest)
	return err
}
