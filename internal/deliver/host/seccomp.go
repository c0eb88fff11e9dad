package host

import (
	"os"
	"runtime"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// denied are the system calls that an instance may not make: they change the machine rather than the
// instance, or have let programs out of containers before. Everything else is allowed.
var denied = []string{
	// the kernel and its modules
	"bpf", "create_module", "delete_module", "finit_module", "get_kernel_syms", "init_module",
	"kexec_file_load", "kexec_load", "nfsservctl", "perf_event_open", "query_module", "reboot", "sysfs", "_sysctl",
	"uselib", "userfaultfd", "ustat", "vm86", "vm86old", "lookup_dcookie",
	"io_uring_setup", "io_uring_enter", "io_uring_register",
	// keys are not separated by namespaces
	"add_key", "keyctl", "request_key",
	// mounts and namespaces
	"fsconfig", "fsmount", "fsopen", "fspick", "mount", "mount_setattr", "move_mount", "open_tree",
	"pivot_root", "setns", "umount", "umount2", "unshare", "open_by_handle_at",
	// clocks, swap, quotas, accounting, input and output ports
	"acct", "clock_adjtime", "clock_adjtime64", "clock_settime", "clock_settime64", "settimeofday", "stime",
	"ioperm", "iopl", "quotactl", "quotactl_fd", "swapoff", "swapon", "syslog", "vhangup",
	// other processes and their memory
	"kcmp", "process_vm_readv", "process_vm_writev", "get_mempolicy", "mbind", "move_pages", "migrate_pages",
	"set_mempolicy", "set_mempolicy_home_node",
}

// namespaceFlags are those of clone(2) that make a namespace.
var namespaceFlags = []uint64{
	unix.CLONE_NEWCGROUP, unix.CLONE_NEWIPC, unix.CLONE_NEWNET, unix.CLONE_NEWNS, unix.CLONE_NEWPID,
	unix.CLONE_NEWUSER, unix.CLONE_NEWUTS,
}

// seccompArch has the architectures whose system calls a kernel for a GOARCH takes.
var seccompArch = map[string][]specs.Arch{
	"amd64": {specs.ArchX86_64, specs.ArchX86, specs.ArchX32},
	"arm64": {specs.ArchAARCH64, specs.ArchARM},
}

// seccompProfile is the filter for instances.
func seccompProfile() *specs.LinuxSeccomp {
	eperm, enosys := uint(unix.EPERM), uint(unix.ENOSYS)
	calls := []specs.LinuxSyscall{
		{Names: denied, Action: specs.ActErrno, ErrnoRet: &eperm},
		// clone3 has its flags where no filter can look; the C library falls back to clone.
		{Names: []string{"clone3"}, Action: specs.ActErrno, ErrnoRet: &enosys},
	}
	for _, flag := range namespaceFlags {
		calls = append(calls, specs.LinuxSyscall{
			Names: []string{"clone"}, Action: specs.ActErrno, ErrnoRet: &eperm,
			Args: []specs.LinuxSeccompArg{{Index: 0, Value: flag, ValueTwo: flag, Op: specs.OpMaskedEqual}},
		})
	}
	return &specs.LinuxSeccomp{
		DefaultAction: specs.ActAllow,
		Architectures: seccompArch[runtime.GOARCH],
		Syscalls:      calls,
	}
}

// haveSeccomp says whether the kernel has seccomp filters (seccomp(2), /proc interfaces).
func haveSeccomp() bool {
	_, err := os.Stat("/proc/sys/kernel/seccomp/actions_avail")
	return err == nil
}
