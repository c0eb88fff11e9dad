package cli

import (
	"fmt"

	"brickyard/schema"

	"github.com/spf13/cobra"
)

func schemaCmd(env *Env) *cobra.Command {
	return &cobra.Command{
		Use:   "schema recipe",
		Short: "print the JSON Schema of recipe.yaml",
		Long: `Print the JSON Schema of recipe.yaml, which lets an editor complete and check recipes: save it, and begin
a recipe with a comment that names it.`,
		Example: `  brickyard schema recipe > recipe.schema.json
  sed -i '1i # yaml-language-server: $schema=recipe.schema.json' recipe.yaml`,
		GroupID:   groupBake,
		Args:      cobra.ExactArgs(1),
		ValidArgs: []cobra.Completion{"recipe"},
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[0] != "recipe" {
				return &usageError{command: cmd.CommandPath(), err: fmt.Errorf("no schema of %q", args[0])}
			}
			_, err := env.Stdout.Write(schema.Recipe())
			return err
		},
	}
}
