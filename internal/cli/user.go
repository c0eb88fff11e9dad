package cli

import (
	"errors"
	"fmt"
	"time"

	"brickyard/internal/catalog/registry"
	"brickyard/internal/store"

	"github.com/spf13/cobra"
)

func userCmd(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "user",
		Short: "say who may use the registry",
		Long: `Say who may use the registry that "brickyard serve" serves.

Roles: pull reads; push also adds images and moves tags; admin also takes away.`,
		Example: "  brickyard user add ci --role push",
		GroupID: groupMove,
	}
	cmd.AddCommand(userAddCmd(env), userListCmd(env), userRemoveCmd(env))
	return cmd
}

func userAddCmd(env *Env) *cobra.Command {
	role := string(registry.Pull)
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "make a user and print the token to log in with",
		Long: `Make a user of the registry, or give the one there is another role and token, and print the token.
It is not kept: who has lost it gets another.

Roles: pull reads; push also adds images and moves tags; admin also takes away.`,
		Example: `  brickyard user add ci --role push
  brickyard user add ci --role push | docker login -u ci --password-stdin localhost:5000`,
		Args: cobra.ExactArgs(1),
	}
	cmd.Flags().StringVar(&role, "role", role, "`pull|push|admin`")
	cmd.RegisterFlagCompletionFunc("role", cobra.FixedCompletions([]cobra.Completion{"pull", "push", "admin"}, cobra.ShellCompDirectiveNoFileComp))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		r, err := registry.ParseRole(role)
		if err != nil {
			return &usageError{command: cmd.CommandPath(), err: err}
		}
		s, err := env.store()
		if err != nil {
			return err
		}
		token, err := registry.AddUser(s, args[0], r, env.who(), time.Now())
		if err != nil {
			return err
		}
		if env.json {
			return env.printJSON(map[string]string{"name": args[0], "role": role, "token": token})
		}
		_, err = fmt.Fprintln(env.Stdout, token)
		return err
	}
	return cmd
}

// userJSON is an element of what "user list --json" prints.
type userJSON struct {
	Name string        `json:"name"`
	Role registry.Role `json:"role"`
	Made time.Time     `json:"made"`
	By   string        `json:"by"`
}

func userListCmd(env *Env) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "list the users of the registry",
		Long: `List the users of the registry: their roles, and since when and by whom they are there.
Tokens are not listed, for nobody knows them.`,
		Example: "  brickyard user list --json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			s, err := env.store()
			if err != nil {
				return err
			}
			users, err := registry.Users(s)
			if err != nil {
				return err
			}
			g, list := env.grid("name", "role", "made", "by"), []userJSON{}
			for _, u := range users {
				g.row(u.Name, string(u.Role), ago(u.Made), u.By)
				list = append(list, userJSON{u.Name, u.Role, u.Made, u.By})
			}
			if env.json {
				return env.printJSON(list)
			}
			return g.print()
		},
	}
}

func userRemoveCmd(env *Env) *cobra.Command {
	return &cobra.Command{
		Use:   "remove NAME",
		Short: "take a user of the registry away",
		Long: `Take a user of the registry away. The token is worth nothing from then on; what the user has pushed
stays.`,
		Example: "  brickyard user remove ci",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			s, err := env.store()
			if err != nil {
				return err
			}
			err = registry.RemoveUser(s, args[0])
			if errors.Is(err, store.ErrNotFound) {
				return &hintedError{fmt.Errorf("no user %q", args[0]), "see: brickyard user list"}
			}
			return err
		},
	}
}
