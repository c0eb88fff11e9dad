package binfmt

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

func TestHandled(t *testing.T) {
	const rest = "offset 0\nmagic 7f454c460201010000000000000000000200b700\nmask ffffffffffffff00fffffffffffffffffeffffff\n"
	for _, tt := range []struct {
		name, file, text, arch string
		want                   bool
	}{
		{"as Debian registers it", "qemu-aarch64", "enabled\ninterpreter /usr/libexec/qemu-binfmt/aarch64-binfmt-P\nflags: POCF\n" + rest, "arm64", true},
		{"by Go's name", "qemu-s390x", "enabled\ninterpreter /usr/bin/qemu-s390x-static\nflags: F\n" + rest, "s390x", true},
		{"another one's", "qemu-s390x", "enabled\ninterpreter /usr/bin/qemu-s390x-static\nflags: F\n" + rest, "arm64", false},
		{"switched off", "qemu-aarch64", "disabled\ninterpreter /x\nflags: F\n" + rest, "arm64", false},
		{"looked for in each root", "qemu-aarch64", "enabled\ninterpreter /F\nflags: OC\n" + rest, "arm64", false},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, tt.file), []byte(tt.text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := handled(dir, tt.arch); got != tt.want {
			t.Errorf("%s: %t", tt.name, got)
		}
	}
}

func TestRuns(t *testing.T) {
	if !Runs(runtime.GOARCH) {
		t.Error("not its own programs")
	}
	if Runs("") || Runs("nonsense") {
		t.Error("programs of no architecture")
	}
}
