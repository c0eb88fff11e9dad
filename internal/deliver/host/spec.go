package host

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// capabilities are those that an instance's root may have: enough for what packages do, nothing that
// reaches beyond the instance.
var capabilities = map[string]int{
	"CAP_AUDIT_WRITE":      unix.CAP_AUDIT_WRITE,
	"CAP_CHOWN":            unix.CAP_CHOWN,
	"CAP_DAC_OVERRIDE":     unix.CAP_DAC_OVERRIDE,
	"CAP_FOWNER":           unix.CAP_FOWNER,
	"CAP_FSETID":           unix.CAP_FSETID,
	"CAP_KILL":             unix.CAP_KILL,
	"CAP_MKNOD":            unix.CAP_MKNOD,
	"CAP_NET_BIND_SERVICE": unix.CAP_NET_BIND_SERVICE,
	"CAP_NET_RAW":          unix.CAP_NET_RAW,
	"CAP_SETFCAP":          unix.CAP_SETFCAP,
	"CAP_SETGID":           unix.CAP_SETGID,
	"CAP_SETPCAP":          unix.CAP_SETPCAP,
	"CAP_SETUID":           unix.CAP_SETUID,
	"CAP_SYS_CHROOT":       unix.CAP_SYS_CHROOT,
}

// maskedPaths are hidden: they tell of the machine or its other users.
var maskedPaths = []string{
	"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
	"/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats",
	"/sys/devices/virtual/powercap", "/sys/firmware",
}

// readonlyPaths may be read only: they set the machine.
var readonlyPaths = []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}

// A machine is what of this machine shapes the instances on it.
type machine struct {
	userNS  bool
	ttyGID  bool   // whether group 5, which owns terminals, exists in the user namespace
	caps    uint64 // permitted to this process, a bit each
	cgroups cgroupKind
	seccomp bool
}

// thisMachine looks.
func thisMachine() (machine, error) {
	uids, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return machine{}, err
	}
	gids, err := os.ReadFile("/proc/self/gid_map")
	if err != nil {
		return machine{}, err
	}
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return machine{}, fmt.Errorf("capget: %w", err)
	}
	m := machine{
		userNS:  !mapsAll(string(uids)),
		ttyGID:  mapsID(string(gids), 5),
		caps:    uint64(data[0].Permitted) | uint64(data[1].Permitted)<<32,
		seccomp: haveSeccomp(),
	}
	m.cgroups = cgroups(m.userNS)
	return m, nil
}

// mapsAll says whether a uid_map is that of the first user namespace (user_namespaces(7)).
func mapsAll(idMap string) bool {
	return strings.Join(strings.Fields(idMap), " ") == "0 0 4294967295"
}

// mapsID says whether an id exists in the namespace that an uid_map or gid_map is of.
func mapsID(idMap string, id uint64) bool {
	for line := range strings.Lines(idMap) {
		var inside, outside, n uint64
		if _, err := fmt.Sscan(line, &inside, &outside, &n); err == nil && id >= inside && id-inside < n {
			return true
		}
	}
	return false
}

// mayMount refuses to go on where mounting can't work.
func (m machine) mayMount() error {
	if m.caps&(1<<unix.CAP_SYS_ADMIN) != 0 {
		return nil
	}
	if os.Geteuid() == 0 {
		return hinted("inside a container, start that one with --privileged or with --cap-add SYS_ADMIN",
			"run needs to mount file systems, and this root may not: CAP_SYS_ADMIN is missing")
	}
	return hinted("run it as root, or allow user namespaces: sysctl kernel.unprivileged_userns_clone=1 (Debian), "+
		"kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu), user.max_user_namespaces=10000; and apt install uidmap",
		"run needs root or a user namespace")
}

// A process is what runs in an instance.
type process struct {
	args    []string
	env     []string
	who     identity
	cwd     string
	tty     bool
	columns uint
	rows    uint
}

// A bundle is what the runtime is told of an instance.
type bundle struct {
	machine   machine
	process   process
	hostname  string
	hostNet   bool
	readOnly  bool
	noSeccomp bool
	memory    int64   // bytes; 0: no limit
	cpus      float64 // 0: no limit
	cgroup    string  // name
	mounts    []specs.Mount
}

// spec puts it in the runtime's words (runtime-spec 1.3.0; config.go of the module has the shapes).
// The version is the oldest that has all of it, so that older runtimes take it.
func (b *bundle) spec() *specs.Spec {
	p := b.process
	s := &specs.Spec{
		Version:  "1.0.2",
		Root:     &specs.Root{Path: mergedDir, Readonly: b.readOnly},
		Hostname: b.hostname,
		Process: &specs.Process{
			Terminal:        p.tty,
			User:            specs.User{UID: p.who.uid, GID: p.who.gid, AdditionalGids: p.who.groups},
			Args:            p.args,
			Env:             p.env,
			Cwd:             p.cwd,
			Capabilities:    b.capabilities(),
			NoNewPrivileges: true,
		},
		Mounts: b.allMounts(),
		Linux: &specs.Linux{
			Namespaces:    b.namespaces(),
			MaskedPaths:   maskedPaths,
			ReadonlyPaths: readonlyPaths,
		},
	}
	if p.tty && p.columns > 0 {
		s.Process.ConsoleSize = &specs.Box{Height: p.rows, Width: p.columns}
	}
	if b.machine.seccomp && !b.noSeccomp {
		s.Linux.Seccomp = seccompProfile()
	}
	if !b.hostNet { // so that a service that is not root listens on port 80: it is its own network
		s.Linux.Sysctl = map[string]string{"net.ipv4.ip_unprivileged_port_start": "0"}
	}
	if b.machine.cgroups != noCgroups {
		s.Linux.CgroupsPath = "/" + b.cgroup
		s.Linux.Resources = b.resources()
	}
	return s
}

// capabilities are those of root, as far as this process has them itself; other users have none.
func (b *bundle) capabilities() *specs.LinuxCapabilities {
	var names []string
	for name, bit := range capabilities {
		if b.machine.caps&(1<<bit) == 0 {
			continue
		}
		if bit == unix.CAP_MKNOD && b.machine.cgroups == noCgroups {
			continue // nothing would keep the instance from the machine's disks
		}
		names = append(names, name)
	}
	slices.Sort(names)
	caps := &specs.LinuxCapabilities{Bounding: names}
	if b.process.who.uid == 0 {
		caps.Effective, caps.Permitted = names, names
	}
	return caps
}

func (b *bundle) namespaces() []specs.LinuxNamespace {
	ns := []specs.LinuxNamespace{
		{Type: specs.PIDNamespace}, {Type: specs.IPCNamespace}, {Type: specs.UTSNamespace}, {Type: specs.MountNamespace},
	}
	if !b.hostNet {
		ns = append(ns, specs.LinuxNamespace{Type: specs.NetworkNamespace})
	}
	if b.machine.cgroups == cgroupsV2 {
		ns = append(ns, specs.LinuxNamespace{Type: specs.CgroupNamespace})
	}
	return ns
}

// cpuPeriod is that of the kernel's default, in microseconds.
const cpuPeriod = 100_000

func (b *bundle) resources() *specs.LinuxResources {
	r := &specs.LinuxResources{
		Devices: []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}}, // but for those that the runtime adds
	}
	if b.memory > 0 {
		r.Memory = &specs.LinuxMemory{Limit: &b.memory, Swap: &b.memory}
	}
	if b.cpus > 0 {
		period, quota := uint64(cpuPeriod), int64(b.cpus*cpuPeriod)
		r.CPU = &specs.LinuxCPU{Period: &period, Quota: &quota}
	}
	return r
}

// allMounts has a directory before what is in it. A volume at the place of one of ours replaces it.
func (b *bundle) allMounts() []specs.Mount {
	mounts := slices.DeleteFunc(b.kernelMounts(), func(m specs.Mount) bool {
		return slices.ContainsFunc(b.mounts, func(v specs.Mount) bool { return v.Destination == m.Destination })
	})
	mounts = append(mounts, b.mounts...)
	slices.SortStableFunc(mounts, func(x, y specs.Mount) int {
		return cmp.Compare(strings.Count(x.Destination, "/"), strings.Count(y.Destination, "/"))
	})
	return mounts
}

func (b *bundle) kernelMounts() []specs.Mount {
	pts := []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"}
	if b.machine.ttyGID {
		pts = append(pts, "gid=5")
	}
	sys := specs.Mount{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}}
	if b.machine.userNS && b.hostNet { // sysfs shows a network, and may be mounted only by its owner
		sys = bind("/sys", "/sys", "rbind", "rprivate", "nosuid", "noexec", "nodev", "ro")
	}
	mounts := []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
		sys,
		{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: pts},
		{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}},
		{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
	}
	if b.machine.cgroups != noCgroups {
		mounts = append(mounts, specs.Mount{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup",
			Options: []string{"nosuid", "noexec", "nodev", "relatime", "ro"}})
	}
	return mounts
}
