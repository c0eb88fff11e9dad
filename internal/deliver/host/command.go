package host

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io"
	"os"
	"path"
	"runtime"
	"strings"

	"brickyard/internal/binfmt"

	"golang.org/x/sys/unix"
)

// defaultPath is PATH for images that set none.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// checkCommand says what keeps name from being run in the image, before anything is started: a
// runtime's own words for it seldom help. dirs is the PATH of the instance, cwd its directory; what is
// at or below one of covered will be hidden by a volume, and can't be judged here.
//
// Errors: *CommandError.
func checkCommand(root *imageRoot, name, dirs, cwd string, covered []string) error {
	paths := []string{path.Join(cwd, name)}
	switch {
	case path.IsAbs(name):
		paths = []string{path.Clean(name)}
	case !strings.Contains(name, "/"):
		paths = nil
		for dir := range strings.SplitSeq(dirs, ":") {
			paths = append(paths, path.Join(cwd, dir, name))
			if path.IsAbs(dir) {
				paths[len(paths)-1] = path.Join(dir, name)
			}
		}
	}
	var found error
	for _, p := range paths {
		for _, c := range covered {
			if within(p, c) {
				return nil
			}
		}
		err := checkProgram(root, name, p)
		if err == nil {
			return nil
		}
		if found == nil && err.Code != 127 {
			found = err
		}
	}
	if found != nil {
		return found
	}
	e := &CommandError{Command: name, Reason: "not in the image", Code: 127}
	if len(paths) != 1 {
		e.hint = "looked for in " + dirs
	}
	return e
}

func checkProgram(root *imageRoot, name, p string) *CommandError {
	f, err := root.open(p, unix.O_RDONLY|unix.O_NONBLOCK)
	if missing(err) {
		return &CommandError{Command: name, Reason: p + " is not in the image", Code: 127}
	}
	cannot := func(format string, a ...any) *CommandError {
		return &CommandError{Command: name, Reason: p + " " + fmt.Sprintf(format, a...), Code: 126}
	}
	if err != nil {
		return cannot("can't be read: %v", err)
	}
	defer f.Close()
	fi, err := f.Stat()
	switch {
	case err != nil:
		return cannot("can't be read: %v", err)
	case fi.IsDir():
		return cannot("is a directory")
	case !fi.Mode().IsRegular():
		return cannot("is not a file")
	case fi.Mode()&0o111 == 0:
		return cannot("is not executable (mode %04o)", fi.Mode().Perm())
	}
	interpreter, reason := loaderOf(f)
	if reason != "" {
		return cannot("%s", reason)
	}
	if interpreter != "" {
		if _, err := root.stat(interpreter); missing(err) {
			return cannot("needs %s, which is not in the image", interpreter)
		}
	}
	return nil
}

// loaderOf returns the program that the kernel starts to run f, "" for none, or why it starts nothing.
func loaderOf(f *os.File) (loader, reason string) {
	head := make([]byte, 256) // BINPRM_BUF_SIZE
	n, err := f.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return "", err.Error()
	}
	head = head[:n]
	if line, ok := bytes.CutPrefix(head, []byte("#!")); ok {
		line, _, _ = bytes.Cut(line, []byte("\n"))
		if words := strings.Fields(string(line)); len(words) > 0 && path.IsAbs(words[0]) {
			return words[0], ""
		}
		return "", "names no program after #!"
	}
	if !bytes.HasPrefix(head, []byte(elf.ELFMAG)) {
		return "", "is neither a program nor a script that starts with #!"
	}
	return elfLoader(f)
}

func elfLoader(f *os.File) (loader, reason string) {
	e, err := elf.NewFile(f)
	if err != nil {
		return "", "is a damaged program: " + err.Error()
	}
	if arch, known := elfArch[e.Machine]; known && !binfmt.Runs(arch) {
		return "", "is a program for " + arch + ", and this machine is " + runtime.GOARCH
	}
	for _, p := range e.Progs {
		if p.Type == elf.PT_INTERP && p.Filesz < unix.PathMax {
			name, err := io.ReadAll(p.Open())
			if err != nil {
				return "", "is a damaged program: " + err.Error()
			}
			return string(bytes.TrimRight(name, "\x00")), ""
		}
	}
	return "", ""
}

// elfArch names machines as Go and OCI do.
var elfArch = map[elf.Machine]string{
	elf.EM_X86_64:    "amd64",
	elf.EM_386:       "386",
	elf.EM_AARCH64:   "arm64",
	elf.EM_ARM:       "arm",
	elf.EM_RISCV:     "riscv64",
	elf.EM_S390:      "s390x",
	elf.EM_PPC64:     "ppc64le",
	elf.EM_LOONGARCH: "loong64",
	elf.EM_SPARCV9:   "sparc64",
	elf.EM_IA_64:     "ia64",
}

// checkArch refuses an image for a machine that this is not.
func checkArch(image, arch string) error {
	if arch == "" || binfmt.Runs(arch) {
		return nil
	}
	return hinted("bake it for "+runtime.GOARCH+", or install qemu-user-static, which lets "+arch+" programs run here",
		"image %s is for %s, and this machine is %s", image, arch, runtime.GOARCH)
}
