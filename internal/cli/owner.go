package cli

import (
	"fmt"
	"strings"
	"time"

	"brickyard/internal/catalog/index"

	"github.com/spf13/cobra"
)

func ownerCmd(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "owner IMAGE PATH",
		Short: "say where a file of an image comes from",
		Long: `Say which package and version, or which line of the recipe, put a path into an image, when that was
baked, and from which archive. Symbolic links on the way are followed: /bin/ls is what is at /usr/bin/ls.`,
		Example: `  brickyard owner web:1.0 /usr/sbin/nginx
  brickyard owner web:1.0 /etc/nginx/conf.d/site.conf --json`,
		GroupID:           groupAsk,
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: env.completeImages(1),
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := noEmptyPath(cmd, args); err != nil {
			return err
		}
		c, r, err := env.image(args[0])
		if err != nil {
			return err
		}
		o, err := c.Owner(r, args[1])
		if err != nil {
			return fmt.Errorf("image %s: %w", args[0], err)
		}
		if env.json {
			return env.printJSON(o)
		}
		return env.printOwner(o)
	}
	return cmd
}

func (env *Env) printOwner(o index.Owner) error {
	path := clean(o.Path)
	if o.Real != o.Path {
		path += " is " + clean(o.Real)
	}
	ps := []pair{{"path", path}}
	switch o.Kind {
	case index.OwnerScript:
		what := "made by a maintainer script"
		if len(o.Packages) > 0 {
			what = "brought by the package, changed by a maintainer script"
		}
		ps = append(ps, pair{"from", what})
	case index.OwnerRecipe:
		what := "the recipe"
		if o.Place != nil {
			what = fmt.Sprintf("%s:%d", o.File, o.Place.Line)
		}
		ps = append(ps, pair{"from", clean(what)})
		if o.Place != nil {
			ps = append(ps, pair{"entry", strings.TrimSpace(o.Place.What + "  " + clean(o.Text))})
		}
		if len(o.Packages) > 0 {
			ps = append(ps, pair{"instead of", "what the package brought"})
		}
	case index.OwnerRootfs:
		ps = append(ps, pair{"from", "the root file system's tarball"})
	case index.OwnerOther:
		ps = append(ps, pair{"from", "an image that was not baked here"})
	}
	packages := o.Packages
	switch {
	case o.OneOf:
		ps = append(ps, pair{"package", "one of " + env.packageNames(packages)})
		packages = nil
	case len(packages) > maxNames:
		ps = append(ps, pair{"packages", fmt.Sprintf("%d have something there: %s", len(packages), env.packageNames(packages))})
		packages = nil
	}
	for _, p := range packages {
		ps = append(ps, pair{"package", fmt.Sprintf("%s %s %s", p.Name, p.Version, p.Arch)})
		if p.Source != p.Name || p.SourceVersion != p.Version {
			ps = append(ps, pair{"source", strings.TrimSpace(p.Source + " " + p.SourceVersion)})
		}
		ps = append(ps, pair{"archive", strings.TrimSpace(p.From + " " + p.Path)})
	}
	return env.pairs(append(ps,
		pair{"layer", fmt.Sprint(o.Layer)},
		pair{"image", string(o.Image)},
		pair{"baked", fmt.Sprintf("%s (%s) by %s", o.Baked.UTC().Format(time.DateTime), ago(o.Baked), o.By)},
	)...)
}

// packageNames lists packages, with -v all of them.
func (env *Env) packageNames(packages []index.Package) string {
	var names []string
	for i, p := range packages {
		if i == maxRows && !env.verbose {
			names = append(names, fmt.Sprintf("and %d more", len(packages)-i))
			break
		}
		names = append(names, p.Name)
	}
	return strings.Join(names, " ")
}
