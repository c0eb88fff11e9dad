package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"brickyard/internal/deliver/host"
	"brickyard/internal/store"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"
)

// runFlags are what the user says, before it is read.
type runFlags struct {
	publish, volumes, env []string
	entrypoint, memory    string
	tty, keep             bool
	opts                  host.Options
}

func runCmd(env *Env) *cobra.Command {
	f := &runFlags{}
	cmd := &cobra.Command{
		Use:   "run [FLAGS] IMAGE [COMMAND [ARGUMENT…]]",
		Short: "run an instance of an image here, in the foreground",
		Long: `Run an instance of an image here, in the foreground, with COMMAND in place of the image's own.

The instance sees the image, which it can't change, and what it writes is gone when it ends; state is
kept by volumes. It has a network of its own, where it is reached by the ports that are published, and
from which it reaches nobody; or this machine's, with --net host.

Ports are published on 127.0.0.1 unless another address is given: 0.0.0.0:8080:80 lets everybody in.

Ctrl-C and SIGTERM come to the instance as the image's stop signal; a second one, or the end of
--stop-timeout, kills it. Other signals are passed on. The exit code is the command's, 128 and the number
of the signal that ended it, 126 for a command that can't be run, 127 for one that is not there, and 125 when
brickyard itself could not run it.`,
		Example: `  brickyard run -P web:1.0
  brickyard run -p 8080:80 -v pages:/var/www web:1.0
  brickyard run web:1.0 nginx -t
  brickyard run -t tools:1.0 sh
  brickyard run --read-only -u 1000 -v "$PWD":/work:ro -w /work tools:1.0 make check`,
		GroupID:               groupBake,
		Args:                  cobra.MinimumNArgs(1),
		ValidArgsFunction:     env.completeImages(1),
		DisableFlagsInUseLine: true,
	}
	f.register(cmd, env)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := f.read(env, cmd); err != nil {
			return &usageError{command: cmd.CommandPath(), err: err, hint: volumeHint(cmd)}
		}
		if len(args) > 1 {
			f.opts.Args = args[1:]
		}
		return ownFailure(env.run(cmd.Context(), args[0], f))
	}
	return cmd
}

// ownFailure gives what has no code yet that of brickyard's own: 1 would be taken for the command's.
func ownFailure(err error) error {
	if _, coded := errors.AsType[coder](err); err == nil || coded {
		return err
	}
	return &exitError{exitNotRun, err}
}

func (f *runFlags) register(cmd *cobra.Command, env *Env) {
	o := &f.opts
	fs := cmd.Flags()
	fs.SetInterspersed(false) // what follows IMAGE is the command's
	fs.StringArrayVarP(&f.publish, "publish", "p", nil, "publish a port: `[[IP:]HOST:]PORT[/udp]`; HOST 0 or none is one that is free")
	fs.BoolVarP(&o.PublishAll, "publish-all", "P", false, "publish what the image exposes on ports that are free, and say which")
	fs.StringArrayVarP(&f.volumes, "volume", "v", nil, "put a directory of this machine, or a named volume, at a path: `NAME|DIR:PATH[:ro]`")
	fs.StringArrayVarP(&f.env, "env", "e", nil, "set `NAME=VALUE`, or NAME as it is here")
	fs.StringVarP(&o.User, "user", "u", "", "run as `USER[:GROUP]`, names or numbers")
	fs.StringVarP(&o.Workdir, "workdir", "w", "", "run in this `directory` of the instance")
	fs.StringVar(&f.entrypoint, "entrypoint", "", "run `PROGRAM` in place of the image's entrypoint; none if empty")
	fs.StringVar(&o.Net, "net", host.NetPrivate, "network: `private|host`")
	fs.StringVar(&o.Hostname, "hostname", "", "`name` of the instance's machine")
	fs.BoolVarP(&f.tty, "tty", "t", false, "give the instance a terminal (default: when there is one)")
	fs.BoolVar(&o.ReadOnly, "read-only", false, "let nothing be written outside volumes")
	fs.StringVar(&f.memory, "memory", "", "limit of memory, as `512m` or 2g")
	fs.Float64Var(&o.CPUs, "cpus", 0, "limit of processor time, as `1.5` processors")
	fs.DurationVar(&o.StopTimeout, "stop-timeout", host.DefaultStopTimeout, "`time` from the stop signal to the kill")
	fs.StringVar(&o.Runtime, "runtime", host.DefaultRuntime, "OCI runtime, a `name` in PATH or a path")
	fs.BoolVar(&o.NoSeccomp, "no-seccomp", false, "allow all system calls, for a runtime without seccomp or to look for a fault")
	fs.BoolVar(&f.keep, "keep", false, "keep what the instance has written, and say where")
	fs.BoolVar(&env.verbose, "verbose", false, "print more of what is going on") // -v is taken by volumes here
	cmd.RegisterFlagCompletionFunc("net", cobra.FixedCompletions([]cobra.Completion{host.NetPrivate, host.NetHost}, cobra.ShellCompDirectiveNoFileComp))
}

// volumeHint is for who says -v to run and means --verbose; "" when none of its volumes looks like that.
func volumeHint(cmd *cobra.Command) string {
	volumes, err := cmd.Flags().GetStringArray("volume")
	if err != nil { // not run
		return ""
	}
	for _, v := range volumes {
		if _, err := host.ParseVolume(absolute(v)); err != nil {
			return "-v takes NAME|DIR:PATH[:ro] here; to see more of what is going on, say --verbose, or -v before run"
		}
	}
	return ""
}

// dockerHint is for who knows docker's flags of run, which this one has no need of or calls otherwise; else "".
func dockerHint(cmd *cobra.Command, err error) string {
	unknown, ok := errors.AsType[*pflag.NotExistError](err)
	if !ok || cmd.Flags().Lookup("volume") == nil {
		return ""
	}
	switch unknown.GetSpecifiedName() {
	case "i", "interactive":
		return "leave it out: what comes on stdin goes to the instance"
	case "rm":
		return "leave it out: nothing is left of an instance when it ends"
	case "d", "detach":
		return "leave it out: an instance runs in the foreground, for as long as the command does"
	case "network":
		return "it is called --net, and is private or host"
	}
	return ""
}

// read makes sense of the flags. Errors are the user's.
func (f *runFlags) read(env *Env, cmd *cobra.Command) error {
	o := &f.opts
	var errs []error
	for _, s := range f.publish {
		p, err := host.ParsePort(s)
		o.Publish, errs = append(o.Publish, p), append(errs, err)
	}
	for _, s := range f.volumes {
		v, err := host.ParseVolume(absolute(s))
		o.Volumes, errs = append(o.Volumes, v), append(errs, err)
	}
	for _, s := range f.env {
		name, _, set := strings.Cut(s, "=")
		if name == "" {
			errs = append(errs, fmt.Errorf("environment %q: not NAME=VALUE", s))
		}
		if !set {
			s += "=" + env.Getenv(name)
		}
		o.Env = append(o.Env, s)
	}
	var err error
	if o.Memory, err = parseMemory(f.memory); err != nil {
		errs = append(errs, err)
	}
	if o.CPUs < 0 || o.StopTimeout < 0 {
		errs = append(errs, errors.New("--cpus and --stop-timeout can't be less than nothing"))
	}
	if cmd.Flags().Changed("entrypoint") { // an empty one takes the image's away, as docker has it
		o.Entrypoint = slices.DeleteFunc([]string{f.entrypoint}, func(s string) bool { return s == "" })
	}
	o.TTY = f.tty
	if !cmd.Flags().Changed("tty") {
		o.TTY = env.OutTTY && isTerminal(env.Stdin)
	}
	return errors.Join(errs...)
}

// absolute makes a directory of this machine that is given as ./DIR, ../DIR, . or .. absolute.
func absolute(volume string) string {
	dir, rest, _ := strings.Cut(volume, ":")
	if dir != "." && dir != ".." && !strings.HasPrefix(dir, "./") && !strings.HasPrefix(dir, "../") {
		return volume
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return volume // and so it is refused
	}
	return abs + ":" + rest
}

func isTerminal(v any) bool {
	f, ok := v.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// parseMemory reads a number of bytes, with k, m or g for the units of 1024.
func parseMemory(s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	digits, shift := strings.ToLower(s), 0
	if i := strings.IndexByte("kmg", digits[len(digits)-1]); i >= 0 {
		digits, shift = digits[:len(digits)-1], 10*(i+1)
	}
	n, err := strconv.ParseInt(digits, 10, 64-shift)
	if err != nil || n <= 0 {
		return 0, fmt.Errorf("memory %q: not a number of bytes, as 512m or 2g", s)
	}
	return n << shift, nil
}

func (env *Env) run(ctx context.Context, ref string, f *runFlags) error {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, host.PassedOn()...)
	defer signal.Stop(signals)
	st, err := env.store()
	if err != nil {
		return err
	}
	c := env.catalogOf(st)
	record, err := c.Lookup(ref)
	if err != nil {
		return err
	}
	image := host.Image{Name: ref}
	if image.Config, err = c.Config(record.Config); err != nil {
		return err
	}
	t, err := c.Root(record)
	if err != nil {
		return err
	}
	image.Root, err = st.Root(ctx, t)
	if errors.Is(err, store.ErrNotFound) { // files were lost, or never unpacked here
		if err = c.Unpack(record); err == nil {
			image.Root, err = st.Root(ctx, t)
		}
	}
	if err != nil {
		return err
	}
	code, err := host.Run(ctx, st, image, f.options(env, signals))
	if err == nil && code != exitDone {
		return exitCode(code)
	}
	return err
}

// options adds to what the flags say what comes from the environment.
func (f *runFlags) options(env *Env, signals <-chan os.Signal) host.Options {
	o := f.opts
	o.Path, o.Term = env.Getenv("PATH"), env.Getenv("TERM")
	o.Stdin, o.Stdout, o.Stderr = env.Stdin, env.Stdout, env.Stderr
	o.Signals = signals
	if f.keep {
		o.Keep = filepath.Join(env.home, "kept")
	}
	if env.quiet {
		return o
	}
	o.OnPublish = func(p host.PortMap) {
		if !slices.Contains(o.Publish, p) { // the user does not know the number
			fmt.Fprintf(env.Stderr, "published: %s\n", p)
		}
	}
	o.OnState = func(paths []string) {
		fmt.Fprintf(env.Stderr, "state in %s is gone when this run ends; -v NAME:%s keeps it\n", strings.Join(paths, ", "), paths[0])
	}
	o.OnKeep = func(dir string) { fmt.Fprintf(env.Stderr, "kept: %s\n", dir) }
	return o
}

// runHelperCmds are the processes of brickyard's own that an instance needs.
func runHelperCmds() []*cobra.Command {
	helper := func(name string, main func() int) *cobra.Command {
		return &cobra.Command{
			Use: name, Hidden: true, Args: cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error { return exitCode(main()) },
		}
	}
	return []*cobra.Command{helper(host.InitCommand, host.Init), helper(host.ReapCommand, host.Reap)}
}
