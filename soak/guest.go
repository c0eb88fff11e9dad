package main

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// A guest is a machine that QEMU emulates, instruction by instruction: with Debian's kernel, one core, its own clock, and
// no file system but memory.
type guest struct {
	CPU  string `json:"cpu"`  // as QEMU names it
	Date string `json:"date"` // what its clock says when it is switched on, UTC, as 2028-02-29T23:59:00
	Host string `json:"host"` // name
}

// guestMemory is in MB: a guest's disk is in it too, with what is unpacked of an image twice.
const guestMemory = "3500"

// guestTime is how long a guest may run: emulated, what takes half a minute can take ten.
const guestTime = time.Hour

// guestInit is the first program of a guest. It makes a file system in memory of root.tar and goes on with /sbin/init
// in it, as a machine does that has a disk: in the kernel's own first file system there is no pivot_root(2).
const guestInit = `#!/bin/busybox sh
export PATH=/bin
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev
insmod /overlay.ko &&
mount -t tmpfs -o mode=755,size=90% root /new &&
tar -x -f /root.tar -C /new &&
mount --move /dev /new/dev &&
exec switch_root -c /dev/console /new /sbin/init
poweroff -f
`

// boot runs the root file system in dir/root.tar until it switches itself off, and returns what it wrote to /dev/ttyS1.
// What it said on its console stays in dir/console. Errors: errGuest, when it ended otherwise.
func (s *soak) boot(g guest, dir string) (answer string, err error) {
	kernel, err := s.kernel()
	if err != nil {
		return "", err
	}
	if err := makeInitramfs(s.ctx, kernel, dir); err != nil {
		return "", err
	}
	return g.run(s.ctx, filepath.Join(kernel, "vmlinuz"), dir)
}

// run boots this kernel with dir/initramfs.
func (g guest) run(ctx context.Context, kernel, dir string) (answer string, err error) {
	limited, cancel := context.WithTimeout(ctx, guestTime)
	defer cancel()
	cmd := exec.CommandContext(limited, "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-accel", "tcg",
		"-cpu", g.CPU, "-smp", "1", "-m", guestMemory, "-rtc", "base="+g.Date+",clock=vm",
		"-kernel", kernel, "-initrd", "initramfs",
		// tsc: a machine with much else to do makes the guest doubt its clock, and take a slow one. getty_auto: a login
		// on a serial line would wait for udev, which not every image has.
		"-append", "console=ttyS0 panic=-1 tsc=reliable systemd.hostname="+g.Host+" systemd.getty_auto=no systemd.wants=soak.service",
		"-serial", "file:console", "-serial", "file:answer")
	cmd.Dir = dir
	// No guest outlives us, whoever kills us. The signal comes when the thread that started it ends.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	out, err := cmd.CombinedOutput() // of QEMU itself
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case limited.Err() != nil:
		return "", fmt.Errorf("%w is still on after %s\n%s", errGuest, guestTime, tail(filepath.Join(dir, "console")))
	case err != nil:
		return "", fmt.Errorf("qemu-system-x86_64: %w\n%s", err, out)
	}
	said, err := os.ReadFile(filepath.Join(dir, "answer"))
	if console := tail(filepath.Join(dir, "console")); err == nil && !strings.Contains(console, "reboot: Power down") {
		err = fmt.Errorf("%w did not switch itself off\n%s", errGuest, console)
	}
	return strings.ReplaceAll(string(said), "\r\n", "\n"), err
}

// errGuest marks what went wrong in a guest, not with it.
var errGuest = errors.New("the guest")

// makeInitramfs writes dir/initramfs, from which a guest with this kernel starts dir/root.tar, and takes the latter away.
func makeInitramfs(ctx context.Context, kernel, dir string) error {
	stage := filepath.Join(dir, "initramfs.d")
	err := remove(stage)
	for _, d := range []string{"bin", "dev", "new"} {
		err = errors.Join(err, os.MkdirAll(filepath.Join(stage, d), 0o755))
	}
	if err := errors.Join(err,
		copyBusybox(filepath.Join(stage, "bin")),
		os.WriteFile(filepath.Join(stage, "init"), []byte(guestInit), 0o755),
		os.Link(filepath.Join(kernel, "overlay.ko"), filepath.Join(stage, "overlay.ko")),
		os.Rename(filepath.Join(dir, "root.tar"), filepath.Join(stage, "root.tar")),
	); err != nil {
		return err
	}
	cpio := exec.CommandContext(ctx, "cpio", "--quiet", "-o", "-H", "newc", "-O", filepath.Join(dir, "initramfs"))
	cpio.Dir = stage
	cpio.Stdin = strings.NewReader("bin\nbin/busybox\ndev\nnew\ninit\noverlay.ko\nroot.tar\n")
	if out, err := cpio.CombinedOutput(); err != nil {
		return fmt.Errorf("cpio: %w\n%s", err, out)
	}
	return remove(stage)
}

// copyBusybox puts this machine's static busybox into a directory.
func copyBusybox(dir string) error {
	program, err := exec.LookPath("busybox")
	if err != nil {
		return err
	}
	data, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("%s: %w", program, err)
	}
	if slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		return fmt.Errorf("%s is not static: install busybox-static", program)
	}
	return os.WriteFile(filepath.Join(dir, "busybox"), data, 0o755)
}

// kernelPackage is a metapackage that depends on the newest kernel for machines that are emulated.
const kernelPackage = "linux-image-cloud-amd64"

// kernel returns a directory with the kernel of guests, vmlinuz, and its overlay.ko, from a package that apt verifies.
func (s *soak) kernel() (dir string, err error) {
	if runtime.GOARCH != "amd64" {
		return "", fmt.Errorf("guests are amd64 machines, with the kernel of %s: this machine's apt has none", kernelPackage)
	}
	out, err := exec.CommandContext(s.ctx, "apt-cache", "show", "--no-all-versions", kernelPackage).Output()
	if err != nil {
		return "", fmt.Errorf("apt-cache show %s: %w", kernelPackage, err)
	}
	name, err := match(`linux-image-[0-9][a-z0-9.+-]*`, string(out))
	if err != nil {
		return "", fmt.Errorf("apt-cache show %s: %w", kernelPackage, err)
	}
	dir = filepath.Join(s.dir, "machine", name)
	if _, err := os.Stat(filepath.Join(dir, "vmlinuz")); err == nil {
		return dir, nil
	}
	return dir, s.fetchKernel(name, dir)
}

// fetchKernel has apt bring a package, and takes the kernel out.
func (s *soak) fetchKernel(name, dir string) error {
	if err := errors.Join(remove(dir), os.MkdirAll(dir, 0o755)); err != nil {
		return err
	}
	// The last line makes what is there whole: a kernel that is there has its module.
	script := exec.CommandContext(s.ctx, "sh", "-euc", `
		apt-get -q -o APT::Sandbox::User=root download "$1"
		dpkg-deb --fsys-tarfile ./*.deb | tar -x --wildcards './boot/vmlinuz-*' './lib/modules/*/overlay.ko'
		mv lib/modules/*/kernel/fs/overlayfs/overlay.ko overlay.ko
		mv boot/vmlinuz-* vmlinuz`, "sh", name)
	script.Dir = dir
	var said bytes.Buffer
	script.Stdout, script.Stderr = &said, &said
	if err := script.Run(); err != nil {
		return fmt.Errorf("take the kernel out of %s: %w\n%s", name, err, &said)
	}
	return nil
}
