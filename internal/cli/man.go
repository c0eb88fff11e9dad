package cli

import (
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func manCmd(env *Env) *cobra.Command {
	return &cobra.Command{
		Use:     "gen-man DIR",
		Short:   "write the manual pages into a directory",
		Long:    "Write a manual page for each command into DIR, which is made if it is not there. The build calls this.",
		Example: "  brickyard gen-man share/man/man1",
		Hidden:  true,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return err
			}
			// Flags' defaults and the date depend on who builds: pages are the same bits for all.
			root := rootCmd(&Env{Getenv: func(string) string { return "" }, Stdout: env.Stdout, Stderr: env.Stderr})
			root.DisableAutoGenTag = true
			epoch := time.Unix(0, 0).UTC()
			return doc.GenManTree(root, &doc.GenManHeader{Section: "1", Source: "Brickyard", Manual: "Brickyard", Date: &epoch}, args[0])
		},
	}
}
