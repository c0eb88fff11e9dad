// Package cli is the command line: one file a command. It is the only code that prints, exits, and reads
// flags or the environment.
package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"

	"brickyard/internal/catalog/index"
	"brickyard/internal/store"
	"brickyard/internal/userns"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"
)

// An Env is what a command has of the world around it, so that a test can run one in its own process.
type Env struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Getenv         func(string) string
	UID            int  // of the user who runs the command
	OutTTY, ErrTTY bool // whether Stdout and Stderr are terminals

	// What the flags of all commands say.
	home    string
	json    bool
	quiet   bool
	verbose bool

	open []*index.Catalog // to be closed in the end

	cpuProfile string       // of developers
	profiled   func() error // ends what profile began; may be nil

	bars *progress // made by the first call of progress
}

// OSEnv is the Env of this process.
func OSEnv() *Env {
	uid := os.Getuid()
	if outer, inside := userns.OuterUID(os.Getenv); inside {
		uid = outer
	}
	return &Env{
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		Getenv: os.Getenv,
		UID:    uid,
		OutTTY: term.IsTerminal(int(os.Stdout.Fd())),
		ErrTTY: term.IsTerminal(int(os.Stderr.Fd())),
	}
}

// Main runs the command that args name and returns the exit code: see "brickyard help exit-codes".
func Main(ctx context.Context, env *Env, args []string) int {
	root := rootCmd(env)
	root.SetArgs(longGlobals(args))
	help := &mindful{w: env.Stdout}
	root.SetOut(help)
	err := root.ExecuteContext(ctx)
	if err == nil {
		err = help.err
	}
	if env.bars != nil {
		env.bars.stop()
	}
	for _, c := range env.open {
		err = errors.Join(err, c.Close())
	}
	if env.profiled != nil {
		err = errors.Join(err, env.profiled())
	}
	return env.report(ctx, err)
}

// A mindful writer remembers the first error: cobra forgets those of printing help.
type mindful struct {
	w   io.Writer
	err error
}

func (m *mindful) Write(p []byte) (int, error) {
	n, err := m.w.Write(p)
	if m.err == nil {
		m.err = err
	}
	return n, err
}

// longGlobals writes the global flags before a command out: what -v is to them is a volume to run, and cobra has the
// command read all flags, wherever they stand.
func longGlobals(args []string) []string {
	var long []string
	i := 0
	for ; i < len(args) && strings.HasPrefix(args[i], "-") && args[i] != "--"; i++ {
		switch arg := args[i]; {
		case arg == "--home" && i+1 < len(args):
			i++
			long = append(long, arg, args[i])
		case arg == "-" || strings.Trim(arg[1:], "qv") != "":
			long = append(long, arg)
		default:
			for _, c := range arg[1:] {
				long = append(long, map[rune]string{'q': "--quiet", 'v': "--verbose"}[c])
			}
		}
	}
	return append(long, args[i:]...)
}

// The groups that "brickyard --help" lists commands in.
const (
	groupBake = "bake"
	groupAsk  = "ask"
	groupMove = "move"
)

func rootCmd(env *Env) *cobra.Command {
	root := &cobra.Command{
		Use: "brickyard COMMAND",

		DisableFlagsInUseLine: true,

		Short: "bake images from recipes, the same bits every time, and run them",
		Long: `Brickyard bakes just-enough-OS images from declarative recipes, the same bits every time,
keeps track of what is in them, and delivers them to machines that people own.

What a command was asked for goes to stdout, everything else to stderr.`,
		Example: `  brickyard lock recipe.yaml
  brickyard bake recipe.yaml -t web:1.0
  brickyard run web:1.0`,
		SilenceErrors: true,
		SilenceUsage:  true,

		PersistentPreRunE: func(cmd *cobra.Command, args []string) error {
			if err := noEmptyFlags(cmd, args); err != nil {
				return err
			}
			return env.profile()
		},
	}
	fs := root.PersistentFlags()
	fs.StringVar(&env.home, "home", env.defaultHome(), "`directory` of the catalogue")
	fs.BoolVar(&env.json, "json", false, "print JSON")
	fs.BoolVarP(&env.quiet, "quiet", "q", false, "print no progress and no warnings")
	fs.BoolVarP(&env.verbose, "verbose", "v", false, "print more of what is going on")

	fs.StringVar(&env.cpuProfile, "cpuprofile", "", "write a profile of this process to `file`, for go tool pprof")
	_ = fs.MarkHidden("cpuprofile") // it is there

	root.AddGroup(
		&cobra.Group{ID: groupBake, Title: "Bake and run"},
		&cobra.Group{ID: groupAsk, Title: "Ask the catalogue"},
		&cobra.Group{ID: groupMove, Title: "Name and move images"},
	)
	root.AddCommand(
		lockCmd(env), bakeCmd(env), env.asRoot(runCmd(env)), schemaCmd(env),
		imagesCmd(env), inspectCmd(env), filesCmd(env), catCmd(env), ownerCmd(env), historyCmd(env), diffCmd(env), sprawlCmd(env), verifyCmd(env), catalogCmd(env),
		tagCmd(env), untagCmd(env), exportCmd(env), serveCmd(env), userCmd(env),
		versionCmd(env), manCmd(env), exitCodesTopic(),
	)

	root.AddCommand(runHelperCmds()...)

	root.SetIn(env.Stdin)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	root.SetHelpCommand(helpCmd(root))
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	root.SetUsageTemplate(strings.Replace(root.UsageTemplate(), cobraUsage, ourUsage, 1))
	mindUsage(root)
	return root
}

// cobra shows a command that has commands with two lines of usage, since it can be run: to say which there are.
const (
	cobraUsage = `{{if .Runnable}}
  {{.UseLine}}{{end}}{{if .HasAvailableSubCommands}}
  {{.CommandPath}} [command]{{end}}`
	ourUsage = `{{if .HasAvailableSubCommands}}
  {{.CommandPath}} COMMAND{{else}}
  {{.UseLine}}{{end}}`
)

// defaultHome is /var/lib/brickyard for root, else a directory of the user's own (XDG Base Directory Specification:
// what is relative is invalid and ignored). It is "" for a user who has none.
func (env *Env) defaultHome() string {
	if env.UID == 0 {
		return "/var/lib/brickyard"
	}
	if data := env.Getenv("XDG_DATA_HOME"); filepath.IsAbs(data) {
		return filepath.Join(data, "brickyard")
	}
	if home := env.Getenv("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, ".local/share/brickyard")
	}
	return ""
}

// Home is the catalogue's directory.
func (env *Env) Home() string { return env.home }

func (env *Env) store() (*store.Store, error) {
	if env.home == "" {
		return nil, &hintedError{
			fmt.Errorf("nowhere to keep the catalogue: HOME is %q, not an absolute path", env.Getenv("HOME")),
			"name a directory with --home, or set HOME or XDG_DATA_HOME",
		}
	}
	s, err := store.Open(env.home)
	if errors.Is(err, syscall.ENOTDIR) || errors.Is(err, fs.ErrExist) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENAMETOOLONG) {
		return nil, &hintedError{err, "--home names another directory"}
	}
	return s, err
}

func (env *Env) catalog() (*index.Catalog, error) {
	s, err := env.store()
	if err != nil {
		return nil, err
	}
	return env.catalogOf(s), nil
}

// catalogOf is the catalogue of a store. It is closed when the command has ended.
func (env *Env) catalogOf(s *store.Store) *index.Catalog {
	c := index.New(s)
	env.open = append(env.open, c)
	return c
}

// who is user@host, for records.
func (env *Env) who() string {
	name := env.Getenv("USER")
	if u, err := user.LookupId(fmt.Sprint(env.UID)); err == nil {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	return cmp.Or(name, fmt.Sprint(env.UID)) + "@" + host
}

// warn prints a line on stderr unless the user asked for silence.
func (env *Env) warn(format string, a ...any) {
	if env.quiet {
		return
	}
	line := printable(fmt.Sprintf("warning: "+format+"\n", a...))
	if env.bars != nil {
		env.bars.print(line)
		return
	}
	io.WriteString(env.Stderr, line)
}

// say prints a line on stderr unless the user asked for silence.
func (env *Env) say(format string, a ...any) { env.progress().print(fmt.Sprintf(format+"\n", a...)) }

func helpCmd(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "explain a command or a topic",
		Long:  "Explain a command or a topic, as --help does.",
		Example: `  brickyard help bake
  brickyard help exit-codes`,
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, rest, err := root.Find(args)
			if err == nil && len(rest) > 0 {
				err = fmt.Errorf("no help on %q", strings.Join(args, " "))
			}
			if err != nil {
				return &usageError{command: root.CommandPath(), err: err}
			}
			return cmd.Help()
		},
	}
}

// mindUsage makes everything that is wrong with how a command was called a usageError. The Args of a
// command only count: RunE judges what they say.
func mindUsage(cmd *cobra.Command) {
	cmd.SetFlagErrorFunc(flagError)
	for _, c := range cmd.Commands() {
		mindUsage(c)
	}
	if cmd.HasSubCommands() {
		cmd.SuggestionsMinimumDistance = 2 // cobra's own default, which it sets too late for noSuchCommand
		cmd.Args = cobra.ArbitraryArgs
		cmd.RunE = noSuchCommand
		return
	}
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if check(cmd, args) == nil {
				return nil
			}
			return &usageError{command: cmd.CommandPath(), hint: volumeHint(cmd),
				err: fmt.Errorf("got %s; usage: %s", count(len(args), "argument"), cmd.UseLine())}
		}
	}
}

// flagError says what is wrong with a flag in our own words, where pflag's are those of Go.
func flagError(cmd *cobra.Command, err error) error {
	e := &usageError{command: cmd.CommandPath(), err: err, hint: dockerHint(cmd, err)}
	if bad, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		e.err = fmt.Errorf("--%s can't be %q", bad.GetFlag().Name, bad.GetValue())
	}
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok && unknown.GetSpecifiedName() == "version" {
		e.hint = "brickyard version"
	}
	return e
}

// noEmptyFlags refuses flags that are given without a word, as "$unset" gives them: none but --entrypoint has a use
// for that, and a limit that is not there must not be taken for none.
func noEmptyFlags(cmd *cobra.Command, _ []string) error {
	var err error
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if f.Value.Type() == "string" && f.Value.String() == "" && f.Name != "entrypoint" && err == nil {
			err = &usageError{command: cmd.CommandPath(), err: fmt.Errorf("--%s is empty", f.Name)}
		}
	})
	return err
}

// noSuchCommand runs when what follows the name of a command that has commands is none of them.
func noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		cmd.SetOut(cmd.ErrOrStderr())
		return errors.Join(cmd.Help(), exitCode(2))
	}
	err := fmt.Errorf("%s has no command %q", cmd.CommandPath(), args[0])
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 && args[0] != "" {
		err = fmt.Errorf("%w; did you mean %s?", err, strings.Join(near, " or "))
	}
	return &usageError{command: cmd.CommandPath(), err: err}
}
