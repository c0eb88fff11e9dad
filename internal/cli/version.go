package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set when the program is built: -ldflags "-X brickyard/internal/cli.version=1.2".
var version string

// programVersion is the version that goes into records.
func programVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

func versionCmd(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "print the version of this program",
		Long:    "Print the version of this program, of the Go that it was built with, and the platform.",
		Example: "  brickyard version\n  brickyard version --json",
		Args:    cobra.NoArgs,
	}
	cmd.RunE = func(*cobra.Command, []string) error {
		platform := runtime.GOOS + "/" + runtime.GOARCH
		if env.json {
			return env.printJSON(struct {
				Version  string `json:"version"`
				Go       string `json:"go"`
				Platform string `json:"platform"`
			}{programVersion(), runtime.Version(), platform})
		}
		_, err := fmt.Fprintf(env.Stdout, "brickyard %s (%s, %s)\n", programVersion(), runtime.Version(), platform)
		return err
	}
	return cmd
}
