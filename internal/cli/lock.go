package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"brickyard/internal/bake"
	"brickyard/internal/bake/apt/control"
	"brickyard/internal/bake/apt/resolve"
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
move with them, or of all. What changed is printed. An update may also name a url of the recipe.

--why reads what was noted when the recipe was locked. In a home that has no such note, as for a lock that
another machine made, it asks the archives.`,
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
		asksWhy := cmd.Flags().Changed("why")
		switch {
		case len(args) > 1 && !update:
			return &usageError{command: cmd.CommandPath(), err: errors.New("packages are named only with --update")}
		case slices.Contains(args[1:], ""):
			return &usageError{command: cmd.CommandPath(), err: errors.New("no package has an empty name")}
		}
		r, err := f.load(cmd, args[0])
		if err != nil {
			return err
		}
		upd := bake.Update{All: update && len(args) == 1, Packages: args[1:]}
		if asksWhy && !update {
			if done, err := env.whyNoted(r, why); done {
				return err
			}
		}
		if r.From.IsRecipe() { // which is baked first
			if done, err := env.enterUserNS(cmd.Context()); done {
				return err
			}
		}
		return env.lock(cmd, r, upd, why)
	}
	return cmd
}

// lock locks the recipe r or, when why names a package, only says why that is there.
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
	old, err := readLock(path)
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
	if why != "" {
		chain, err := locker.Why(cmd.Context(), r, base, old, upd, why)
		if err != nil {
			return err
		}
		return env.printWhy(chain)
	}
	lock, err := locker.Lock(cmd.Context(), r, base, old, upd)
	if err != nil {
		return err
	}
	if old == nil || !bytes.Equal(old.Encode(), lock.Encode()) {
		if err := store.WriteFile(path, lock.Encode(), 0o644); err != nil {
			return err
		}
	}
	return env.printLock(path, old, lock, bake.NeedOf(b.store, lock, base))
}

// whyNoted answers from what was noted when the recipe was locked, if it was locked in this home. done says whether
// that was so, or whether an error keeps it from being asked otherwise.
func (env *Env) whyNoted(r *recipe.Recipe, name string) (done bool, err error) {
	path := lockPath(r.Path)
	lock, err := readLock(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return true, err
	}
	s, err := env.store()
	if err != nil {
		return true, err
	}
	chain, err := bake.Why(s, lock, name)
	if errors.Is(err, store.ErrNotFound) {
		env.say("%s was not made in this home: asking the archives again", path)
		return false, nil
	}
	if err != nil {
		return true, err
	}
	if lock.Request != r.Request() {
		env.warn("%s asks for something else since it was locked; this is why it is in %s", r.Path, path)
	}
	return true, env.printWhy(chain)
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
	Bytes    int64               `json:"bytes"`   // of all .debs
	InBase   int                 `json:"in_base"` // packages that the base has
	Fetch    int64               `json:"fetch"`   // bytes of .debs that a bake here will fetch
	Changes  []recipe.LockChange `json:"changes"`
}

// words say how much a new lock is.
func (a lockAnswer) words() []string {
	words := []string{count(a.Packages, "package")}
	if a.InBase > 0 {
		words = append(words, fmt.Sprintf("%d of them in the base", a.InBase))
	}
	if a.Fetch == 0 {
		return append(words, "nothing to fetch")
	}
	return append(words, size(a.Fetch)+" to fetch")
}

// printLock says what changed; of a new lock only how much there is.
func (env *Env) printLock(path string, old, lock *recipe.Lock, need bake.Need) error {
	a := lockAnswer{Lock: path, Packages: len(lock.Packages), InBase: need.InBase, Fetch: need.Bytes, Changes: []recipe.LockChange{}}
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
		env.say("%s: %s", path, strings.Join(a.words(), ", "))
	case len(a.Changes) == 0:
		env.say("%s: nothing changed", path)
	}
	return nil
}

// printWhy prints the chain of needs that a package is there for.
func (env *Env) printWhy(chain []resolve.Link) error {
	if env.json {
		return env.printJSON(chain)
	}
	var b strings.Builder
	for i, l := range chain {
		b.WriteString(strings.Repeat("  ", i) + l.Package)
		if l.Reason != "" {
			b.WriteString(" (" + l.Reason + ")")
		}
		if l.Field != "" {
			b.WriteString(" " + strings.ToLower(l.Field) + " " + l.Clause)
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(env.Stdout, b.String())
	return err
}
