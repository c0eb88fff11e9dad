package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"

	"brickyard/internal/store"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// An instance is one run of an image, seen from Run.
type instance struct {
	id         string
	home       string
	dir        string
	release    func() error // of dir
	bundle     *bundle
	opts       Options
	stopSignal syscall.Signal
	runtime    string
	published  *publisher

	reaper  *exec.Cmd
	reapCtl *control
}

// newInstance makes the directory of an instance with all that Init and the runtime need. The caller must
// call end, unless there is an error.
func newInstance(ctx context.Context, st *store.Store, root *imageRoot, b *bundle, image Image, opts Options) (*instance, error) {
	stop, err := ParseSignal(image.Config.Config.StopSignal)
	if err != nil {
		return nil, fmt.Errorf("stop signal of image %s: %w", image.Name, err)
	}
	in := &instance{home: st.Dir(), bundle: b, opts: opts, stopSignal: stop}
	if err := in.startReaper(); err != nil {
		return nil, err
	}
	if err := in.makeDir(st); err != nil {
		return nil, errors.Join(err, in.awaitReaper())
	}
	if err := in.prepare(ctx, st, root, image); err != nil {
		return nil, errors.Join(err, in.end())
	}
	return in, nil
}

// startReaper starts Reap, before there is anything to clean up.
func (in *instance) startReaper() error {
	ctl, theirs, err := controlPair()
	if err != nil {
		return err
	}
	defer theirs.Close()
	cmd := selfCommand(ReapCommand, theirs)
	if err := cmd.Start(); err != nil {
		return errors.Join(fmt.Errorf("start %s: %w", ReapCommand, err), ctl.Close())
	}
	in.reaper, in.reapCtl = cmd, ctl
	return nil
}

// makeDir makes the instance's directory and tells Reap of it.
func (in *instance) makeDir(st *store.Store) error {
	dir, release, err := st.TempDir("run")
	if err != nil {
		return err
	}
	in.dir, in.release = dir, release
	in.id = strings.TrimSuffix(filepath.Base(dir), instanceSuffix)
	tmp := filepath.Dir(dir)
	sweepCgroups(tmp)
	in.bundle.cgroup = cgroupPrefix(tmp) + in.id
	if err := in.reapCtl.send(reapOrder{Home: in.home, Dir: dir, Cgroup: in.bundle.cgroup}, nil); err != nil {
		return errors.Join(fmt.Errorf("%s: %w", ReapCommand, err), release())
	}
	return nil
}

func (in *instance) prepare(ctx context.Context, st *store.Store, root *imageRoot, image Image) error {
	if err := in.makeOverlay(image.Root); err != nil {
		return err
	}
	b := in.bundle
	if b.hostname == "" {
		b.hostname = in.id
	}
	state := uncovered(slices.Sorted(maps.Keys(image.Config.Config.Volumes)), in.opts.Volumes)
	if len(state) > 0 && in.opts.OnState != nil {
		in.opts.OnState(state)
	}
	mounts, err := mountVolumes(ctx, st, root, in.dir, in.opts.Volumes, state)
	if err != nil {
		return err
	}
	names, err := in.nameFiles()
	if err != nil {
		return err
	}
	b.mounts = mounts
	for _, m := range names {
		if !slices.ContainsFunc(mounts, func(v specs.Mount) bool { return within(m.Destination, v.Destination) }) {
			b.mounts = append(b.mounts, m)
		}
	}
	if b.process.tty {
		b.process.columns, b.process.rows = terminalSize(in.opts.Stdin)
	}
	data, err := json.Marshal(b.spec())
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(in.dir, specFile), data, 0o600)
}

// makeOverlay makes the directories of the overlay. The root of an overlay has owner and mode of the upper one.
func (in *instance) makeOverlay(root string) error {
	for _, d := range []string{upperDir, workDir, mergedDir, runtimeDir} {
		if err := os.Mkdir(filepath.Join(in.dir, d), 0o700); err != nil {
			return err
		}
	}
	if err := os.Symlink(root, filepath.Join(in.dir, lowerDir)); err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Stat(root, &st); err != nil {
		return &fs.PathError{Op: "stat", Path: root, Err: err}
	}
	upper := filepath.Join(in.dir, upperDir)
	if err := os.Chown(upper, int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	return os.Chmod(upper, fs.FileMode(st.Mode&0o777))
}

// nameFiles makes the files by which programs find names, and returns their mounts. An instance with a
// network of its own reaches no name server: no entry is the quickest way to say so. (The C library
// then asks 127.0.0.1, where nobody listens.)
func (in *instance) nameFiles() ([]specs.Mount, error) {
	b := in.bundle
	files := map[string]string{
		"/etc/hostname": b.hostname + "\n",
		"/etc/hosts": "127.0.0.1 localhost " + b.hostname + "\n" +
			"::1 localhost ip6-localhost ip6-loopback\n",
		"/etc/resolv.conf": "# no name server: this network is the instance's own\n",
	}
	if b.hostNet {
		for _, p := range []string{"/etc/hosts", "/etc/resolv.conf"} {
			data, err := os.ReadFile(p)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
			files[p] = string(data)
		}
	}
	var mounts []specs.Mount
	for _, p := range slices.Sorted(maps.Keys(files)) {
		f := filepath.Join(in.dir, filepath.Base(p))
		if err := os.WriteFile(f, []byte(files[p]), 0o644); err != nil {
			return nil, err
		}
		if err := os.Chmod(f, 0o644); err != nil { // whatever the umask
			return nil, err
		}
		mounts = append(mounts, bind(f, p, "bind", "rprivate", "rw"))
	}
	return mounts, nil
}

// terminalSize is that of r when it is a terminal.
func terminalSize(r io.Reader) (columns, rows uint) {
	if f, ok := r.(*os.File); ok {
		if c, r, err := term.GetSize(int(f.Fd())); err == nil {
			return uint(c), uint(r)
		}
	}
	return 0, 0
}

// selfCommand is this program with a hidden command, holding one end of a control socket.
func selfCommand(command string, theirs *os.File) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", command)
	cmd.Args[0] = "brickyard"
	cmd.Dir = "/"
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // the terminal's signals are for Run alone
	return cmd
}

// run starts the instance, waits for its end and returns its exit code.
func (in *instance) run(ctx context.Context) (int, error) {
	ctl, theirs, err := controlPair()
	if err != nil {
		return 0, err
	}
	defer ctl.Close()
	proc, err := in.startInit(theirs)
	theirs.Close()
	if err != nil {
		return 0, err
	}
	code, err := in.supervise(ctx, proc, ctl)
	return code, errors.Join(err, proc.restore())
}

// An initHandle is Init, seen from Run.
type initHandle struct {
	cmd     *exec.Cmd
	ended   chan error // what Wait returned
	restore func() error
}

// startInit starts Init, and tells Reap of it. Init dies with the thread that starts it (prctl(2),
// PR_SET_PDEATHSIG), so that thread does nothing else until Init has ended.
func (in *instance) startInit(theirs *os.File) (*initHandle, error) {
	restore, err := in.rawTerminal()
	if err != nil {
		return nil, err
	}
	cmd := selfCommand(InitCommand, theirs)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in.opts.Stdin, in.opts.Stdout, in.opts.Stderr
	var pidfd int
	cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWNS | unix.CLONE_NEWPID
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	cmd.SysProcAttr.PidFD = &pidfd
	h := &initHandle{cmd: cmd, ended: make(chan error, 1), restore: restore}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			h.ended <- cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, errors.Join(explainStart(err), restore())
	}
	f := os.NewFile(uintptr(pidfd), "pidfd")
	defer f.Close()
	if err := in.reapCtl.send(reapOrder{}, f); err != nil {
		err = errors.Join(fmt.Errorf("%s: %w", ReapCommand, err), cmd.Process.Kill())
		<-h.ended
		return nil, errors.Join(err, restore())
	}
	return h, nil
}

func explainStart(err error) error {
	if errors.Is(err, unix.EPERM) {
		return hinted("inside a container, start that one with --privileged or with --cap-add SYS_ADMIN and without its seccomp profile",
			"make namespaces: %w", err)
	}
	return fmt.Errorf("start %s: %w", InitCommand, err)
}

// rawTerminal hands the user's terminal over to the instance's: keys go through as they are.
func (in *instance) rawTerminal() (restore func() error, err error) {
	f, ok := in.opts.Stdin.(*os.File)
	if !in.opts.TTY || !ok || !term.IsTerminal(int(f.Fd())) {
		return func() error { return nil }, nil
	}
	old, err := term.MakeRaw(int(f.Fd()))
	if err != nil {
		return nil, fmt.Errorf("terminal: %w", err)
	}
	return func() error { return term.Restore(int(f.Fd()), old) }, nil
}

// A message is what came from Init.
type message struct {
	report initReport
	netns  *os.File // nil for none
}

// listen passes on what Init reports until it is gone.
func listen(ctl *control, messages chan<- message) {
	defer close(messages)
	for {
		var m message
		var err error
		if m.netns, err = ctl.receive(&m.report); err != nil {
			return
		}
		messages <- m
	}
}

// supervise gives Init its order and waits for its end, passing on signals and connections meanwhile.
func (in *instance) supervise(ctx context.Context, h *initHandle, ctl *control) (int, error) {
	var running sync.WaitGroup
	defer running.Wait()
	serving, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServing()
	messages := make(chan message)
	running.Go(func() { listen(ctl, messages) })
	s := &stopper{stopSignal: in.stopSignal, patience: in.opts.StopTimeout, init: h.cmd.Process}
	if err := ctl.send(in.order(), nil); err != nil {
		s.kill() // it is dead already, or will never do anything
	}
	var last initReport
	ended := h.ended
	for ended != nil || messages != nil {
		select {
		case m, ok := <-messages:
			if !ok {
				messages = nil
				continue
			}
			last = m.report
			s.start()
			if m.netns != nil {
				running.Go(func() { in.serve(serving, m.netns) })
			}
		case <-ctx.Done():
			ctx = serving
			s.stop()
		case sig := <-in.opts.Signals:
			s.signal(sig.(syscall.Signal))
		case <-s.timeout():
			s.kill()
		case err := <-ended:
			ended = nil
			s.ended(err)
		}
	}
	return s.outcome(last)
}

func (in *instance) order() initOrder {
	m := in.bundle.machine
	return initOrder{
		Dir: in.dir, ID: in.bundle.cgroup, Runtime: in.runtime, Args: runtimeArgs(in.runtime, m),
		Terminal: in.bundle.process.tty, UID: in.bundle.process.who.uid, UserNS: m.userNS,
		Network: len(in.published.ports()) > 0,
	}
}

// runtimeArgs are options that a runtime needs so as to do without control groups. In a user namespace
// they find out for themselves.
func runtimeArgs(runtime string, m machine) []string {
	if m.cgroups != noCgroups || m.userNS {
		return nil
	}
	if filepath.Base(runtime) == "crun" {
		return []string{"--cgroup-manager=disabled"}
	}
	return []string{"--rootless=true"}
}

// serve passes connections on to the instance until ctx is done.
func (in *instance) serve(ctx context.Context, file *os.File) {
	ns, err := enterNetns(file)
	if err != nil {
		in.published.close() // clients are refused rather than left to wait
		return
	}
	defer ns.leave()
	in.published.serve(ctx, ns)
}

// end takes away all that the instance has left. It is dead.
func (in *instance) end() error {
	return errors.Join(in.awaitReaper(), cleanUp(in.dir, in.bundle.cgroup), in.release())
}

// awaitReaper lets Reap do its work. That it was killed is no harm: end cleans up too.
func (in *instance) awaitReaper() error {
	defer in.reapCtl.Close()
	var report reapReport
	err := in.reapCtl.CloseWrite()
	if err == nil {
		_, err = in.reapCtl.receive(&report)
	}
	if err == nil && report.Err != "" {
		err = errors.New(report.Err)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, unix.EPIPE) {
		err = nil
	}
	_ = in.reaper.Wait()
	if err != nil {
		return fmt.Errorf("clean up after %s: %w", in.id, err)
	}
	return nil
}

// keep moves what the instance wrote to where the user wants it.
func (in *instance) keep() error {
	if in.opts.Keep == "" {
		return nil
	}
	to := filepath.Join(in.opts.Keep, in.id)
	if err := os.MkdirAll(in.opts.Keep, 0o700); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(in.dir, upperDir), to); err != nil {
		return err
	}
	if in.opts.OnKeep != nil {
		in.opts.OnKeep(to)
	}
	return nil
}
