package cli

import (
	"brickyard/internal/catalog/index"

	"github.com/spf13/cobra"
)

// image finds the image that a person named.
func (env *Env) image(ref string) (*index.Catalog, index.Record, error) {
	c, err := env.catalog()
	if err != nil {
		return nil, index.Record{}, err
	}
	r, err := c.Lookup(ref)
	return c, r, err
}

// completeImages completes the first n arguments as names of images.
func (env *Env) completeImages(n int) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) >= n {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		c, err := env.catalog()
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		images, _, err := c.Images(index.Filter{})
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		var names []cobra.Completion
		for _, im := range images {
			what := "baked " + ago(im.Baked)
			for _, t := range im.Tags {
				names = append(names, cobra.CompletionWithDesc(t, what))
			}
			if len(im.Tags) == 0 {
				names = append(names, cobra.CompletionWithDesc(short(im.Digest), im.Name+", "+what))
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}
