package cli

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"brickyard/internal/bake/rootfs"
	"brickyard/internal/userns"

	"github.com/spf13/cobra"
)

// Inner runs the parts of the program that it starts itself, told by the first argument. It returns
// when there was none of them.
func Inner(args []string) {
	if len(args) == 0 {
		return
	}
	switch args[0] {
	case rootfs.SandboxCommand:
		rootfs.SandboxMain()
	case userns.InitCommand:
		if err := userns.Init(args[1:]); err != nil {
			os.Stderr.WriteString("brickyard: " + err.Error() + "\n")
			os.Exit(exitFailed)
		}
	}
}

// asRoot makes a command run as root of a user namespace when an ordinary user calls it: images hold files
// of many users.
func (env *Env) asRoot(cmd *cobra.Command) *cobra.Command {
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if done, err := env.enterUserNS(cmd.Context()); done {
			return err
		}
		return run(cmd, args)
	}
	return cmd
}

// enterUserNS runs the whole command again as root of a user namespace when an ordinary user called
// it. done says that this was so, and err is then the command's answer.
func (env *Env) enterUserNS(ctx context.Context) (done bool, err error) {
	if _, inside := userns.OuterUID(env.Getenv); inside {
		err := userns.DieWithParent(env.Getenv)
		return err != nil, err
	}
	if os.Geteuid() == 0 {
		return false, nil
	}
	code, err := userns.Enter(ctx, os.Args[1:])
	if err != nil || code == exitDone {
		return true, err
	}
	return true, exitCode(code)
}

// emptyDir makes sure that dir is there and empty.
func emptyDir(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	des, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if len(des) > 0 {
		return &fs.PathError{Op: "use", Path: dir, Err: errors.New("directory is not empty")}
	}
	return nil
}
