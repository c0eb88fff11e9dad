package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"brickyard/internal/bake"
	"brickyard/internal/bake/apt/control"
	"brickyard/internal/bake/recipe"
	"brickyard/internal/store"

	"github.com/spf13/cobra"
)

func lockCmd(env *Env) *cobra.Command {
	var (
		f      recipeFlags
		update bool
		why    string
	)
	cmd := &cobra.Command{
		Use:   "lock RECIPE [--update [PACKAGE…]]",
		Short: "resolve a recipe to exact packages",
		Long: `Resolve what RECIPE asks for to exact packages, the ones that apt would take, and write them to the lock
beside it: recipe.lock for recipe.yaml. Releases are verified with the keys that this machine's apt names
for the archive, or those of the recipe.

What is locked stays as it is. --update looks for newer versions: of the packages named, and what must
move with them, or of all. What changed is printed. An update may also name a url of the recipe.`,
		Example: `  brickyard lock recipe.yaml
  brickyard lock recipe.yaml --update
  brickyard lock recipe.yaml --update openssl libssl3
  brickyard lock recipe.yaml --why libssl3`,
		GroupID: groupBake,
		Args:    cobra.MinimumNArgs(1),
	}
	f.register(cmd)
	cmd.Flags().BoolVar(&update, "update", false, "move to newer versions: of all, or of the packages named")
	cmd.Flags().StringVar(&why, "why", "", "say why `package` is there, and change nothing")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 1 && !update {
			return &usageError{cmd.CommandPath(), errors.New("packages are named only with --update")}
		}
		r, err := f.load(args[0])
		if err != nil {
			return err
		}
		if r.From.IsRecipe() { // which is baked first
			if done, err := env.enterUserNS(cmd.Context()); done {
				return err
			}
		}
		upd := bake.Update{All: update && len(args) == 1, Packages: args[1:]}
		return env.lock(cmd, r, upd, why)
	}
	return cmd
}

func (env *Env) lock(cmd *cobra.Command, r *recipe.Recipe, upd bake.Update, why string) error {
	b, err := env.baking()
	if err != nil {
		return err
	}
	defer b.client.Close()
	if _, err := b.lint(r); err != nil {
		return err
	}
	path := lockPath(r.Path)
	old, err := recipe.ReadLock(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	pinned := old
	if upd.All {
		pinned = nil
	}
	base, err := b.base(cmd.Context(), r, pinned)
	if err != nil {
		return err
	}
	for _, name := range upd.Packages {
		if !locked(old, name) {
			return fmt.Errorf("%s: %s is not in it, so it can't be updated", path, name)
		}
	}
	locker := &bake.Locker{Store: b.store, Client: b.client, HostRoot: "/", Now: time.Now, Progress: b.progress}
	got, err := locker.Lock(cmd.Context(), r, base, old, upd, why != "")
	if err != nil {
		return err
	}
	if why != "" {
		return env.why(got, why)
	}
	if old == nil || !bytes.Equal(old.Encode(), got.Lock.Encode()) {
		if err := store.WriteFile(path, got.Lock.Encode(), 0o644); err != nil {
			return err
		}
	}
	return env.printLock(path, old, got.Lock)
}

func locked(old *recipe.Lock, name string) bool {
	if old == nil {
		return false
	}
	for _, p := range old.Packages {
		if p.Name == name {
			return true
		}
	}
	for _, u := range old.URLs {
		if u.URL == name {
			return true
		}
	}
	return false
}

// lockAnswer is what lock prints with --json.
type lockAnswer struct {
	Lock     string              `json:"lock"` // path
	Packages int                 `json:"packages"`
	Bytes    int64               `json:"bytes"` // of all .debs
	Changes  []recipe.LockChange `json:"changes"`
}

// printLock says what changed; of a new lock only how much there is.
func (env *Env) printLock(path string, old, lock *recipe.Lock) error {
	a := lockAnswer{Lock: path, Packages: len(lock.Packages), Changes: []recipe.LockChange{}}
	for _, p := range lock.Packages {
		a.Bytes += p.Size
	}
	if old != nil {
		a.Changes = append(a.Changes, recipe.DiffLocks(old, lock, control.Compare)...)
	}
	if env.json {
		return json.NewEncoder(env.Stdout).Encode(a)
	}
	for _, c := range a.Changes {
		if _, err := fmt.Fprintln(env.Stdout, c); err != nil {
			return err
		}
	}
	switch {
	case old == nil:
		env.say("%s: %s, %s to fetch", path, count(a.Packages, "package"), size(a.Bytes))
	case len(a.Changes) == 0:
		env.say("%s: nothing changed", path)
	}
	return nil
}

// why prints the chain of requirements that a package is there for.
func (env *Env) why(got *bake.Locked, name string) error {
	if got.Result == nil {
		return fmt.Errorf("%s: this recipe has no packages", name)
	}
	chain := got.Result.Why(name)
	if chain == nil {
		return fmt.Errorf("%s: not among the packages of this recipe", name)
	}
	if env.json {
		return env.printJSON(chain)
	}
	for i, l := range chain {
		line := strings.Repeat("  ", i) + l.Package
		if l.Reason != "" {
			line += " (" + l.Reason + ")"
		}
		if l.Field != "" {
			line += " " + strings.ToLower(l.Field) + " " + l.Clause
		}
		if _, err := fmt.Fprintln(env.Stdout, line); err != nil {
			return err
		}
	}
	return nil
}
