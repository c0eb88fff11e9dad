// Package binfmt says which programs this machine can run.
package binfmt

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
)

// qemuArch has the names that qemu's handlers are registered by where they are not Go's.
var qemuArch = map[string]string{"amd64": "x86_64", "386": "i386", "arm64": "aarch64", "loong64": "loongarch64", "mips64le": "mips64el"}

// Runs says whether programs for an architecture, Go's name, run on this machine: natively, as the 32-bit half of the
// processor, or by a handler of binfmt_misc, in a root that has none of the handler's files, too.
func Runs(arch string) bool {
	native := runtime.GOARCH
	if arch == native || native == "amd64" && arch == "386" || native == "arm64" && arch == "arm" {
		return true
	}
	return arch != "" && handled("/proc/sys/fs/binfmt_misc", arch)
}

// handled says whether a handler is registered, switched on, and opened already (flag F): otherwise it would be looked for
// in each root. See Documentation/admin-guide/binfmt-misc.rst of the kernel.
func handled(dir, arch string) bool {
	name, ok := qemuArch[arch]
	if !ok {
		name = arch
	}
	data, err := os.ReadFile(filepath.Join(dir, "qemu-"+name))
	_, flags, _ := bytes.Cut(data, []byte("\nflags: "))
	flags, _, _ = bytes.Cut(flags, []byte("\n"))
	return err == nil && bytes.HasPrefix(data, []byte("enabled\n")) && bytes.ContainsRune(flags, 'F')
}
