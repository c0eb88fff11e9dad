package xz

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestSameFiles(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join(os.Getenv("BRICKYARD_XZ"), "*.xz"))
	z := NewReader(64 << 20)
	for _, f := range files {
		d, _ := os.ReadFile(f)
		z.Reset(bytes.NewReader(d))
		got, err := io.ReadAll(z)
		want, _ := exec.Command("xz", "-dc", f).Output()
		if err != nil || !bytes.Equal(got, want) {
			t.Error(f, err, len(got), len(want))
		}
	}
}
