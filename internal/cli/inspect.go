package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"brickyard/internal/catalog/index"
	"brickyard/internal/tree"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/cobra"
)

// inspectJSON is what "inspect --json" prints.
type inspectJSON struct {
	Digest   tree.Digest     `json:"digest"`
	Tags     []string        `json:"tags"`
	Size     int64           `json:"size"` // bytes of the layers' blobs
	Expired  bool            `json:"expired"`
	Record   index.Record    `json:"record"`
	Manifest json.RawMessage `json:"manifest"`
	Config   json.RawMessage `json:"config"`
}

func inspectCmd(env *Env) *cobra.Command {
	var sizes bool
	cmd := &cobra.Command{
		Use:   "inspect IMAGE",
		Short: "show everything that is known of an image",
		Long: `Show everything that is known of an image: where it comes from, how it runs, its layers, what was
taken away, and what the lint had to say. With -v its packages, too.

IMAGE is a name:tag, a name for name:latest, a digest, or at least six digits of one.`,
		Example: `  brickyard inspect web:1.0
  brickyard inspect web:1.0 --size
  brickyard inspect web:1.0 --json | jq .record.packages`,
		GroupID:           groupAsk,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: env.completeImages(1),
	}
	cmd.Flags().BoolVar(&sizes, "size", false, "show what takes the space, by package and by directory")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		c, r, err := env.image(args[0])
		if err != nil {
			return err
		}
		if sizes {
			return env.inspectSizes(c, r)
		}
		tags, err := env.tagsOf(c, r.Image)
		if err != nil {
			return err
		}
		if env.json {
			return env.inspectJSON(c, r, tags)
		}
		return env.inspect(c, r, tags)
	}
	return cmd
}

// tagsOf lists the names of an image. One that can't be read may be one of them.
func (env *Env) tagsOf(c *index.Catalog, d tree.Digest) ([]string, error) {
	all, damaged, err := c.Tags()
	for _, bad := range damaged {
		env.warn("%v", bad)
	}
	tags := []string{}
	for _, t := range all {
		if t.Image == d {
			tags = append(tags, t.Ref)
		}
	}
	return tags, err
}

func (env *Env) inspectJSON(c *index.Catalog, r index.Record, tags []string) error {
	manifest, err := c.Document(r.Image)
	if err != nil {
		return err
	}
	config, err := c.Document(r.Config)
	if err != nil {
		return err
	}
	return env.printJSON(inspectJSON{
		Digest: r.Image, Tags: tags, Size: r.Size(), Expired: r.Expired(time.Now()), Record: r, Manifest: manifest, Config: config,
	})
}

func (env *Env) inspect(c *index.Catalog, r index.Record, tags []string) error {
	config, err := c.Config(r.Config)
	if err != nil {
		return err
	}
	parent := ""
	if r.Parent != "" {
		parent = strings.TrimSpace(r.ParentAs + " " + string(r.Parent))
	}
	err = env.pairs(
		pair{"image", string(r.Image)},
		pair{"tags", strings.Join(tags, " ")},
		pair{"recipe", clean(strings.TrimSpace(r.Name + " " + r.File))},
		pair{"base", parent},
		pair{"platform", config.OS + "/" + r.Arch},
		pair{"baked", fmt.Sprintf("%s (%s) by %s", r.Baked.UTC().Format(time.DateTime), ago(r.Baked), r.By)},
		pair{"program", "brickyard " + r.Program},
		pair{"took", span(time.Duration(r.Seconds * float64(time.Second)))},
		pair{"parameters", keyValues(r.Params)},
		pair{"owner", clean(r.Owner)},
		pair{"lifecycle", r.Lifecycle},
		pair{"expires", env.expiry(r.Expires)},
		pair{"state", strings.Join(r.State, " ")},
		pair{"size", fmt.Sprintf("%s in %s", size(r.Size()), count(len(r.Layers), "layer"))},
		pair{"packages", packageCount(r)},
		pair{"recipe blob", string(r.Recipe)},
		pair{"lock blob", string(r.Lock)},
	)
	for _, section := range []func() error{
		func() error { return env.inspectConfig(config.Config) },
		func() error { return env.inspectLayers(r) },
		func() error { return env.inspectGone(r) },
		func() error { return env.inspectPackages(r) },
	} {
		if err != nil {
			return err
		}
		err = section()
	}
	return err
}

func packageCount(r index.Record) string {
	if len(r.Packages) == 0 {
		return ""
	}
	asked := 0
	for _, p := range r.Packages {
		if p.Asked {
			asked++
		}
	}
	return fmt.Sprintf("%d, %d of them asked for", len(r.Packages), asked)
}

func keyValues(m map[string]string) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, clean(k+"="+m[k]))
	}
	return strings.Join(parts, " ")
}

// title prints the head of a section.
func (env *Env) title(text string) {
	fmt.Fprintf(env.Stdout, "\n%s\n", env.paint(env.OutTTY, bold, text))
}

func (env *Env) inspectConfig(c ocispec.ImageConfig) error {
	env.title("How it runs")
	return env.pairs(
		pair{"entrypoint", argv(c.Entrypoint)},
		pair{"command", argv(c.Cmd)},
		pair{"user", clean(c.User)},
		pair{"directory", clean(c.WorkingDir)},
		pair{"environment", argv(c.Env)},
		pair{"ports", strings.Join(slices.Sorted(maps.Keys(c.ExposedPorts)), " ")},
		pair{"volumes", argv(slices.Sorted(maps.Keys(c.Volumes)))},
		pair{"stop signal", clean(c.StopSignal)},
		pair{"labels", keyValues(c.Labels)},
	)
}

// argv prints words so that one sees where each ends.
func argv(words []string) string {
	var out []string
	for _, w := range words {
		if w == "" || strings.ContainsAny(w, " \t\"'\\") {
			w = fmt.Sprintf("%q", w)
		}
		out = append(out, clean(w))
	}
	return strings.Join(out, " ")
}

// maxNames is how many packages of a joined layer are named in a table.
const maxNames = 4

func (env *Env) inspectLayers(r index.Record) error {
	env.title("Layers, lowest first")
	g := env.grid(">#", "diffID", ">size", "kind", "packages")
	for i, l := range r.Layers {
		names := slices.Clone(l.Packages)
		if more := len(names) - maxNames; more > 0 && !env.verbose {
			names = append(names[:maxNames], fmt.Sprintf("and %d more", more))
		}
		g.row(i, short(l.DiffID), size(l.Size), l.Kind, strings.Join(names, ", "))
	}
	return g.print()
}

// inspectGone shows what was taken away, and what the lint said.
func (env *Env) inspectGone(r index.Record) error {
	if len(r.Removed) > 0 {
		env.title("Taken away by slim")
		g := env.grid("kind", ">files", ">size")
		for _, x := range r.Removed {
			g.row(x.Kind, x.Files, size(x.Bytes))
		}
		if err := g.print(); err != nil {
			return err
		}
	}
	if len(r.Cleaned) > 0 {
		env.title("Differs from run to run, and was taken away")
		g := env.grid("path", "how", "why")
		for _, x := range r.Cleaned {
			g.row(clean(x.Path), x.How, x.Why)
		}
		if err := g.print(); err != nil {
			return err
		}
	}
	if len(r.Unconfigured) > 0 {
		env.title("Packages whose maintainer scripts did not run")
		fmt.Fprintln(env.Stdout, clean(strings.Join(r.Unconfigured, ", ")))
	}
	if len(r.Lint) > 0 {
		env.title("Warnings")
		_, err := io.WriteString(env.Stdout, strings.Join(r.Lint, "\n")+"\n")
		return err
	}
	return nil
}

func (env *Env) inspectPackages(r index.Record) error {
	if !env.verbose || len(r.Packages) == 0 {
		return nil
	}
	env.title("Packages")
	g := env.grid("name", "version", "arch", "from", "asked")
	for _, p := range r.Packages {
		asked := ""
		if p.Asked {
			asked = "asked"
		}
		g.row(p.Name, p.Version, p.Arch, p.From, asked)
	}
	return g.print()
}

// maxRows is how many lines a table of sizes has; -v shows all.
const maxRows = 20

func (env *Env) inspectSizes(c *index.Catalog, r index.Record) error {
	s, err := c.Sizes(r)
	if err != nil {
		return err
	}
	if env.json {
		return env.printJSON(s)
	}
	for _, part := range []struct {
		name string
		list []index.Share
	}{{"package", s.Packages}, {"directory", s.Directories}} {
		g := env.grid(part.name, ">size", ">files", ">part")
		for i, x := range part.list {
			if i == maxRows && !env.verbose {
				break
			}
			g.row(clean(x.Name), size(x.Bytes), x.Files, fmt.Sprintf("%.1f %%", 100*float64(x.Bytes)/float64(max(1, s.Bytes))))
		}
		if err := g.print(); err != nil {
			return err
		}
		fmt.Fprintln(env.Stdout)
	}
	_, err = fmt.Fprintf(env.Stdout, "%s in %s, unpacked\n", size(s.Bytes), count(s.Files, "file"))
	return err
}
