package rootfs

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// SandboxMain is the first process inside the sandbox. It reads its job from standard input, tells
// how it went on file descriptor 3, and does not return.
func SandboxMain() {
	runtime.LockOSThread() // root directory, capabilities and file mode mask belong to a thread
	if unix.Gettid() != unix.Getpid() {
		// What others see as this process's root and capabilities are those of its first thread.
		err := unix.Exec("/proc/self/exe", os.Args, os.Environ())
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	tell := os.NewFile(3, "tell")
	unix.CloseOnExec(3)
	res := result{Done: true}
	err := sandbox(&res)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	json.NewEncoder(tell).Encode(res)
	os.Exit(0)
}

func sandbox(res *result) error {
	var j job
	if err := json.NewDecoder(os.Stdin).Decode(&j); err != nil {
		return err
	}
	if err := j.mount(); err != nil {
		return err
	}
	if err := unix.Sethostname([]byte("localhost")); err != nil {
		return fmt.Errorf("hostname: %w", err)
	}
	if err := loopback(); err != nil {
		return err
	}
	unix.Umask(0o022)
	ready, begin, done := make(chan struct{}), make(chan error), make(chan error)
	go func() {
		runtime.LockOSThread() // for ever: the thread ends with the goroutine
		close(ready)           // the thread is there, with all capabilities
		if err := <-begin; err != nil {
			done <- err
		} else {
			done <- j.steps(res)
		}
	}()
	<-ready
	begin <- limitCapabilities()
	return <-done
}

// loopback sets up the network that every machine has: some programs don't start without an address (postfix's newaliases,
// which its postinst runs). It leads nowhere else.
func loopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	return nil
}

// steps makes the image's root that of the calling thread, and runs the steps. The root of the process stays another: so
// programs find themselves in a chroot, as with debootstrap and mmdebstrap, and leave alone what only a running system
// has. libc6, for one, would tell an init to start again, and wait (ischroot(1)).
func (j *job) steps(res *result) error {
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	if err := errors.Join(unix.Chroot(imageRoot), unix.Chdir("/")); err != nil {
		return fmt.Errorf("chroot: %w", err)
	}
	if err := dropCapabilities(); err != nil {
		return err
	}
	for _, s := range j.Steps {
		if exit := j.run(s); exit != "" {
			*res = result{Step: s.Name, Exit: exit}
			return nil
		}
	}
	return nil
}

// imageRoot is where the overlay is mounted, in a file system that has nothing else.
const imageRoot = "/root"

// mount makes the overlay the image's root, with /proc, a small /dev, and nothing else.
func (j *job) mount() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("mounts private: %w", err)
	}
	dir := filepath.Dir(j.Upper)
	if err := unix.Chdir(dir); err != nil {
		return err
	}
	var lowers []string
	for _, l := range j.Lowers {
		rel, err := filepath.Rel(dir, l)
		if err != nil {
			return err
		}
		lowers = append(lowers, rel)
	}
	// Paths in options are relative, since those of a home may hold what means something there: commas and colons.
	// volatile: an upper directory that a crash leaves behind is thrown away, so nothing in it need be synced.
	opts := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s,volatile,index=off,metacopy=off,redirect_dir=nofollow",
		strings.Join(lowers, ":"), filepath.Base(j.Upper), filepath.Base(j.Work))
	if j.UserNS {
		opts += ",userxattr"
	}
	if err := unix.Mount("tmpfs", j.Mount, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=755,size=64k"); err != nil {
		return fmt.Errorf("mount tmpfs: %w", err)
	}
	root := filepath.Join(j.Mount, imageRoot)
	if err := os.Mkdir(root, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("overlay", root, "overlay", unix.MS_NODEV|unix.MS_NOATIME, opts); err != nil {
		return fmt.Errorf("mount overlay: %w", err)
	}
	if err := j.makeDev(filepath.Join(root, "dev")); err != nil {
		return err
	}
	if err := mountAt("proc", filepath.Join(root, "proc"), "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return err
	}
	for i := range j.Steps {
		if err := j.Steps[i].openBinds(); err != nil {
			return err
		}
	}
	if err := unix.Chdir(j.Mount); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leave the old root: %w", err)
	}
	return unix.Chdir("/")
}

// mountAt mounts on dir when the image has it; an image without /proc or /dev goes without.
func mountAt(what, dir, fstype string, flags uintptr, data string) error {
	if fi, err := os.Lstat(dir); err != nil || !fi.IsDir() {
		return nil
	}
	if err := unix.Mount(what, dir, fstype, flags, data); err != nil {
		return fmt.Errorf("mount %s: %w", fstype, err)
	}
	return nil
}

// openBinds takes hold of what the step needs from outside, before there is no way there any more.
func (s *Step) openBinds() error {
	for from, to := range s.Binds {
		fd, err := unix.OpenTree(unix.AT_FDCWD, from, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
		if err != nil {
			return fmt.Errorf("open %s for %s: %w", from, to, err)
		}
		s.binds = append(s.binds, boundTree{fd, to})
	}
	return nil
}

// A boundTree is a mount that is nowhere yet.
type boundTree struct {
	fd int
	to string
}

// mount puts the tree in its place, read only.
func (b boundTree) mount() error {
	if err := unix.MoveMount(b.fd, "", unix.AT_FDCWD, b.to, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("bind on %s: %w", b.to, err)
	}
	if err := unix.Mount("", b.to, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("bind on %s read only: %w", b.to, err)
	}
	return nil
}

// devices are the nodes that every program may count on (Linux allocated devices, major 1 and 5).
var devices = []struct {
	name         string
	major, minor uint32
}{{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}}

// makeDev mounts a small /dev: what a program writes there never reaches the image.
func (j *job) makeDev(dir string) error {
	if fi, err := os.Lstat(dir); err != nil || !fi.IsDir() {
		return nil
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NOEXEC, "mode=755,size=1m"); err != nil {
		return fmt.Errorf("mount /dev: %w", err)
	}
	for _, d := range devices {
		if err := j.makeNode(filepath.Join(dir, d.name), d.name, d.major, d.minor); err != nil {
			return err
		}
	}
	for name, to := range map[string]string{"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2", "ptmx": "pts/ptmx"} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	for _, d := range []string{"pts", "shm"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			return err
		}
	}
	if err := unix.Mount("tmpfs", filepath.Join(dir, "shm"), "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=1777,size=64m"); err != nil {
		return fmt.Errorf("mount /dev/shm: %w", err)
	}
	if err := unix.Mount("devpts", filepath.Join(dir, "pts"), "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620"); err != nil {
		return fmt.Errorf("mount /dev/pts: %w", err)
	}
	return nil
}

// makeNode makes a device node or, in a user namespace, which may not, binds the machine's own.
func (j *job) makeNode(p, name string, major, minor uint32) error {
	if !j.UserNS {
		if err := unix.Mknod(p, unix.S_IFCHR|0o666, int(unix.Mkdev(major, minor))); err != nil {
			return fmt.Errorf("make /dev/%s: %w", name, err)
		}
		return os.Chmod(p, 0o666) // mknod's mode is masked
	}
	if err := os.WriteFile(p, nil, 0o666); err != nil {
		return err
	}
	if err := unix.Mount("/dev/"+name, p, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind /dev/%s: %w", name, err)
	}
	return nil
}

// capabilities are those that maintainer scripts use: files of any owner, users, chroot, low ports.
// Mounting, loading modules, reading other processes or the disk are not among them, nor is making devices: an
// ordinary user could not bake the same.
var capabilities = []uintptr{
	unix.CAP_CHOWN, unix.CAP_DAC_OVERRIDE, unix.CAP_DAC_READ_SEARCH, unix.CAP_FOWNER, unix.CAP_FSETID, unix.CAP_KILL,
	unix.CAP_SETGID, unix.CAP_SETUID, unix.CAP_SETPCAP, unix.CAP_NET_BIND_SERVICE, unix.CAP_SYS_CHROOT,
	unix.CAP_AUDIT_WRITE, unix.CAP_SETFCAP,
}

// limitCapabilities leaves this thread no more capabilities than programs have: the kernel lets a process look at another, and
// be it at its root directory, when that one can do no more.
func limitCapabilities() error {
	var set [2]unix.CapUserData
	for _, c := range capabilities {
		set[c/32].Permitted |= 1 << (c % 32)
		set[c/32].Effective |= 1 << (c % 32)
	}
	if err := unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &set[0]); err != nil {
		return fmt.Errorf("capabilities: %w", err)
	}
	return nil
}

// dropCapabilities takes all others from what programs that this thread starts can have.
func dropCapabilities() error {
	for c := uintptr(0); ; c++ {
		if _, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, c, 0, 0, 0); err != nil {
			return nil // past the last one that this kernel has
		}
		if slices.Contains(capabilities, c) {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil {
			return fmt.Errorf("drop capability %d: %w", c, err)
		}
	}
}

// run runs one step and returns "" or why it failed.
func (j *job) run(s Step) string {
	env := append(environment(j.Epoch), s.Env...)
	for _, b := range s.binds {
		if err := b.mount(); err != nil {
			return err.Error()
		}
		defer unix.Unmount(b.to, unix.MNT_DETACH)
	}
	if s.Creates != "" {
		if _, err := os.Lstat(s.Creates); err == nil {
			fmt.Printf("%s: %s is there, skipped\n", s.Name, s.Creates)
			return ""
		}
	}
	if s.Unless != "" {
		if start(env, "/bin/sh", "-c", s.Unless) == nil {
			fmt.Printf("%s: skipped, since this succeeds: %s\n", s.Name, s.Unless)
			return ""
		}
	}
	if err := start(env, s.Argv...); err != nil {
		return err.Error()
	}
	return ""
}

func start(env []string, argv ...string) error {
	for _, kv := range env {
		if len(kv) > 5 && kv[:5] == "PATH=" {
			os.Setenv("PATH", kv[5:]) // exec.Command looks argv[0] up in ours
		}
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env, cmd.Dir = env, "/"
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err := cmd.Run()
	reap()
	return err
}

// reap collects processes that lost their parent: this one is PID 1 to them.
func reap() {
	for {
		pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
		if err != nil || pid <= 0 {
			return
		}
	}
}
