// Package host runs instances of images on this machine.
//
// An instance is an overlay on the image's root, which is only read, in namespaces of its own that an OCI
// runtime makes. Nothing of it may be left behind when it ends, whoever is killed on the way. So there are
// three processes of ours to an instance:
//
//	Run    what the user started. Holds the published ports and passes signals on.
//	Init   the first process of an outer PID and mount namespace, in which the runtime and the instance
//	       are. It dies with Run, and all that is in the namespaces dies with it.
//	Reap   waits until Run is done or dead, then takes away the directory and the control groups.
//
// If Reap is killed too, the next store.Open finds the directory, and the next Run the control groups.
package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"brickyard/internal/store"

	"github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"
)

// An Image is what Run makes an instance of.
type Image struct {
	Name   string // as the user knows it, for messages
	Root   string // its root directory, see store.Root; it is never written to
	Config v1.Image
}

// Networks.
const (
	NetPrivate = "private" // one of its own, with a loopback device and the published ports
	NetHost    = "host"    // this machine's
)

// DefaultRuntime is the OCI runtime that is used unless another is named.
const DefaultRuntime = "runc"

// Options say how an instance differs from what its image says. The zero value of each is the image's
// way, or the usual one.
type Options struct {
	Entrypoint []string // not nil: in place of the image's, and the image's Cmd is not used
	Args       []string // in place of the image's Cmd
	Env        []string // NAME=VALUE, added to the image's
	User       string   // USER[:GROUP], names or numbers
	Workdir    string   // absolute
	Hostname   string   // "": the instance's name
	Publish    []PortMap
	PublishAll bool // what the image exposes and Publish does not, each on a port that is free
	Volumes    []VolumeMap
	Net        string // "": NetPrivate
	TTY        bool   // give the instance a terminal
	Term       string // TERM for it
	ReadOnly   bool   // the root can't be written to
	NoSeccomp  bool   // allow all system calls
	Runtime    string // name or path; "": DefaultRuntime
	Path       string // PATH to look for the runtime in
	Memory     int64  // bytes; 0: no limit
	CPUs       float64
	Keep       string // a directory, made if need be, that gets what the instance wrote to its root

	StopTimeout time.Duration    // from the stop signal to SIGKILL; 0: DefaultStopTimeout
	Signals     <-chan os.Signal // to pass on, see PassedOn

	// Standard streams. Files are handed to the instance as they are.
	Stdin          io.Reader
	Stdout, Stderr io.Writer

	OnPublish func(PortMap)  // called before the start for each published port; may be nil
	OnState   func([]string) // called before the start when what is written to these paths will be lost; may be nil
	OnKeep    func(string)   // called with the directory in Keep when the instance has ended; may be nil
}

// DefaultStopTimeout is how long an instance has to end after the stop signal.
const DefaultStopTimeout = 10 * time.Second

// instanceSuffix ends the name of an instance's directory, as store.TempDir has it; the rest is the
// instance's name.
const instanceSuffix = ".dir"

// Run runs an instance until its main process ends, and returns that one's exit code, or 128 and the
// signal that ended it. When ctx is done, the instance gets its stop signal.
//
// Errors: *CommandError when the image's command can't be run; others when the instance could not be
// started. Many have a Hint.
func Run(ctx context.Context, st *store.Store, image Image, opts Options) (code int, err error) {
	m, err := thisMachine()
	if err != nil {
		return 0, err
	}
	runtime, err := findRuntime(opts.Runtime, opts.Path)
	if err != nil {
		return 0, err
	}
	root, err := openImageRoot(image.Root)
	if err != nil {
		return 0, err
	}
	defer root.Close()
	b, err := newBundle(m, root, image, opts)
	if err != nil {
		return 0, err
	}
	ports, err := portsOf(image.Config.Config, opts)
	if err != nil {
		return 0, err
	}
	published, err := publish(ctx, ports)
	if err != nil {
		return 0, err
	}
	defer published.close()
	if opts.OnPublish != nil {
		for _, p := range published.ports() {
			opts.OnPublish(p)
		}
	}
	in, err := newInstance(ctx, st, root, b, image, opts)
	if err != nil {
		return 0, err
	}
	in.runtime, in.published = runtime, published
	code, err = in.run(ctx)
	return code, errors.Join(err, in.keep(), in.end())
}

// runtimes are the OCI runtimes that a hint looks for.
var runtimes = []string{"runc", "crun", "youki", "runsc"}

// findRuntime looks for an OCI runtime in dirs, a PATH; a name with a slash is a path.
func findRuntime(name, dirs string) (string, error) {
	if name == "" {
		name = DefaultRuntime
	}
	if p := findProgram(name, dirs); p != "" {
		return filepath.Abs(p)
	}
	hint := "apt install " + DefaultRuntime + ", or name another with --runtime"
	here := slices.DeleteFunc(slices.Clone(runtimes), func(r string) bool { return findProgram(r, dirs) == "" })
	if len(here) > 0 {
		hint = "this machine has " + strings.Join(here, ", ") + ": --runtime " + here[0]
	}
	if strings.Contains(name, "/") {
		if _, err := os.Stat(name); err == nil {
			return "", hinted(hint, "OCI runtime %s: not a program that may be run", name)
		}
		return "", hinted(hint, "there is no OCI runtime %s", name)
	}
	return "", hinted(hint, "no OCI runtime %q in PATH", name)
}

// findProgram returns the path of a program, "" when there is none. Debian has runtimes in sbin, which is not on the
// PATH of ordinary users, so the sbin beside each bin is looked in too.
func findProgram(name, dirs string) string {
	candidates := []string{name}
	if !strings.Contains(name, "/") {
		candidates = nil
		for _, dir := range filepath.SplitList(dirs) {
			candidates = append(candidates, filepath.Join(dir, name))
			if parent, ok := strings.CutSuffix(dir, "/bin"); ok {
				candidates = append(candidates, filepath.Join(parent, "sbin", name))
			}
		}
	}
	for _, p := range candidates {
		if fi, err := os.Stat(p); err == nil && fi.Mode().IsRegular() && unix.Access(p, unix.X_OK) == nil {
			return p
		}
	}
	return ""
}

// newBundle judges all that can be judged before anything is made.
func newBundle(m machine, root *imageRoot, image Image, opts Options) (*bundle, error) {
	if err := checkArch(image.Name, image.Config.Architecture); err != nil {
		return nil, err
	}
	if err := m.mayMount(); err != nil {
		return nil, err
	}
	if err := checkLimits(opts); err != nil {
		return nil, err
	}
	if opts.Hostname != "" && !hostnameForm.MatchString(opts.Hostname) {
		return nil, fmt.Errorf("host name %q: not 1 to 64 letters, digits, dots and dashes", opts.Hostname)
	}
	if (opts.Memory > 0 || opts.CPUs > 0) && m.cgroups == noCgroups {
		return nil, hinted("run it as root on a machine whose /sys/fs/cgroup can be written to", "limits need control groups, and there are none to use here")
	}
	if err := checkVolumes(opts.Volumes); err != nil {
		return nil, err
	}
	if opts.Net != "" && opts.Net != NetPrivate && opts.Net != NetHost {
		return nil, fmt.Errorf("network %q: neither %s nor %s", opts.Net, NetPrivate, NetHost)
	}
	p, err := newProcess(root, image, opts)
	if err != nil {
		return nil, err
	}
	return &bundle{
		machine: m, process: p, hostname: opts.Hostname, hostNet: opts.Net == NetHost,
		readOnly: opts.ReadOnly, noSeccomp: opts.NoSeccomp, memory: opts.Memory, cpus: opts.CPUs,
	}, nil
}

// What limits may be. A runtime takes some MB itself before the instance's program begins, and the kernel gives a
// control group at least a hundredth of a processor (cpu.max: 1 ms of 100).
const (
	minMemory        = 6 << 20
	minCPUs, maxCPUs = 0.01, 1 << 16
)

// hostnameForm is what sethostname(2) takes, without what would be more than a name in /etc/hosts.
var hostnameForm = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]{0,62}[A-Za-z0-9])?$`)

// checkLimits refuses limits that nothing can run in, or that would be none.
func checkLimits(o Options) error {
	if o.Memory != 0 && o.Memory < minMemory {
		return fmt.Errorf("a limit of memory of %d bytes: nothing starts in less than %d", o.Memory, int64(minMemory))
	}
	if o.CPUs != 0 && !(o.CPUs >= minCPUs && o.CPUs <= maxCPUs) { // so that NaN is none
		return fmt.Errorf("a limit of %v processors: it can be from %v to %v", o.CPUs, minCPUs, maxCPUs)
	}
	return nil
}

// newProcess puts together the main process and looks whether it can be run.
func newProcess(root *imageRoot, image Image, opts Options) (process, error) {
	c := image.Config.Config
	p := process{tty: opts.TTY, cwd: c.WorkingDir}
	p.args = append(slices.Clone(c.Entrypoint), c.Cmd...)
	switch {
	case opts.Entrypoint != nil:
		p.args = append(slices.Clone(opts.Entrypoint), opts.Args...)
	case opts.Args != nil:
		p.args = append(slices.Clone(c.Entrypoint), opts.Args...)
	}
	if len(p.args) == 0 {
		return p, hinted("give one after the image, or set command: in the recipe", "image %s has no command", image.Name)
	}
	user := c.User
	if opts.User != "" {
		user = opts.User
	}
	var err error
	if p.who, err = resolveUser(root, user); err != nil {
		return p, err
	}
	if opts.Workdir != "" {
		p.cwd = opts.Workdir
	}
	if p.cwd == "" {
		p.cwd = "/"
	}
	var covered []string
	for _, v := range opts.Volumes {
		covered = append(covered, v.Path)
	}
	if err := checkWorkdir(root, p.cwd, covered); err != nil {
		return p, err
	}
	p.env = environment(c.Env, opts, p.who)
	return p, checkCommand(root, p.args[0], valueOf(p.env, "PATH"), p.cwd, covered)
}

func checkWorkdir(root *imageRoot, dir string, covered []string) error {
	if !path.IsAbs(dir) {
		return fmt.Errorf("working directory %q: not an absolute path", dir)
	}
	if slices.ContainsFunc(covered, func(c string) bool { return within(dir, c) }) {
		return nil
	}
	fi, err := root.stat(dir)
	switch {
	case missing(err):
		return hinted("make it in the recipe, or name another with --workdir", "working directory %s is not in the image", dir)
	case err != nil:
		return err
	case !fi.IsDir():
		return fmt.Errorf("working directory %s is not a directory in the image", dir)
	}
	return nil
}

// environment is the image's with what was asked for, and what programs expect to be there.
func environment(image []string, opts Options, who identity) []string {
	env := []string{"PATH=" + defaultPath, "HOME=" + who.home}
	if opts.TTY && opts.Term != "" {
		env = append(env, "TERM="+opts.Term)
	}
	for _, e := range append(slices.Clone(image), opts.Env...) {
		name, _, _ := strings.Cut(e, "=")
		env = slices.DeleteFunc(env, func(old string) bool { return strings.HasPrefix(old, name+"=") })
		env = append(env, e)
	}
	return env
}

func valueOf(env []string, name string) string {
	for _, e := range env {
		if value, ok := strings.CutPrefix(e, name+"="); ok {
			return value
		}
	}
	return ""
}

// portsOf are the ports to publish.
func portsOf(c v1.ImageConfig, opts Options) ([]PortMap, error) {
	ports := slices.Clone(opts.Publish)
	if opts.PublishAll {
		for exposed := range c.ExposedPorts {
			p, err := ParseExposed(exposed)
			if err != nil {
				return nil, err
			}
			if !slices.ContainsFunc(ports, func(q PortMap) bool { return q.Container == p.Container && q.Proto == p.Proto }) {
				ports = append(ports, p)
			}
		}
		slices.SortStableFunc(ports, func(x, y PortMap) int { return int(x.Container) - int(y.Container) })
	}
	for i, p := range ports {
		for _, q := range ports[:i] {
			if p.Host != 0 && p.Host == q.Host && p.Proto == q.Proto && p.address() == q.address() {
				return nil, fmt.Errorf("publish %s: port %d is given to %s already", p, p.Host, q)
			}
		}
	}
	if len(ports) > 0 && opts.Net == NetHost {
		return nil, hinted("leave one of them out", "ports can't be published with network host: the instance's ports are this machine's already")
	}
	return ports, nil
}
