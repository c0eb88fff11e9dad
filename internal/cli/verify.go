package cli

import (
	"fmt"
	"io"
	"strings"

	"brickyard/internal/catalog/index"
	"brickyard/internal/tree"

	"github.com/spf13/cobra"
)

// verifyJSON is what "verify --json" prints.
type verifyJSON struct {
	Digest    tree.Digest     `json:"digest"`
	OK        bool            `json:"ok"`
	Layers    int             `json:"layers"`
	Files     int             `json:"files"`
	Bytes     int64           `json:"bytes"`     // of the files
	Signature string          `json:"signature"` // "none"
	Removed   []index.Removed `json:"removed"`
	Problems  []index.Problem `json:"problems"`
}

func verifyCmd(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify IMAGE",
		Short: "check that an image is what its digests promise",
		Long: `Read all that an image is made of and check it: the manifest, the configuration, each layer as it is
stored and as it is unpacked, and each file of each layer against the listing that was made when it was
baked. What slim took away while baking is recorded, and is not taken for tampering.

Signatures are not checked. Exits with 13 when anything is not as it should be.`,
		Example: `  brickyard verify web:1.0
  brickyard verify web:1.0 --json | jq .problems`,
		GroupID:           groupAsk,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: env.completeImages(1),
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, r, err := env.image(args[0])
		if err != nil {
			return err
		}
		bar := env.progress().Stage("verify", r.Size(), unitBytes)
		v, err := c.Verify(cmd.Context(), r, bar.Add)
		if err != nil {
			return fmt.Errorf("verify %s: %w", args[0], err)
		}
		bar.Done()
		if env.json {
			err = env.printJSON(verifyJSON{
				Digest: r.Image, OK: len(v.Problems) == 0, Layers: v.Layers, Files: v.Files, Bytes: v.Bytes, Signature: "none",
				Removed: append([]index.Removed{}, r.Removed...), Problems: append([]index.Problem{}, v.Problems...),
			})
		} else {
			err = env.printVerdict(r, v)
		}
		if err == nil && len(v.Problems) > 0 {
			err = exitCode(exitUntrusted)
		}
		return err
	}
	return cmd
}

func (env *Env) printVerdict(r index.Record, v *index.Verdict) error {
	var b strings.Builder
	fmt.Fprintf(&b, "image      %s\n", r.Image)
	content := env.paint(env.OutTTY, green, "as its digests promise")
	if n := len(v.Problems); n > 0 {
		content = env.paint(env.OutTTY, red, "NOT as its digests promise: "+count(n, "problem"))
	}
	fmt.Fprintf(&b, "content    %s (%s, %s, %s read)\n", content, count(v.Layers, "layer"), count(v.Files, "file"), size(v.Bytes))
	fmt.Fprintf(&b, "signature  none (not checked)\n")
	for _, x := range r.Removed {
		fmt.Fprintf(&b, "slim       %s: %s, %s; taken away while baking\n", x.Kind, count(x.Files, "file"), size(x.Bytes))
	}
	for _, p := range v.Problems {
		fmt.Fprintf(&b, "%s  %s: %s\n", env.paint(env.OutTTY, red, "problem  "), clean(p.What), clean(p.Why))
	}
	_, err := io.WriteString(env.Stdout, b.String())
	return err
}
