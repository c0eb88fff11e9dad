package deb

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// realPackages are those that the machine happens to have (set BRICKYARD_DEBS to a directory for more), so
// that figures are about what is really unpacked.
func realPackages(tb testing.TB) []string {
	tb.Helper()
	var out []string
	for _, dir := range []string{"/var/cache/apt/archives", os.Getenv("BRICKYARD_DEBS")} {
		found, err := filepath.Glob(filepath.Join(dir, "*.deb"))
		if err != nil {
			tb.Fatal(err)
		}
		out = append(out, found...)
	}
	return out
}

// BenchmarkData unpacks to nowhere: MB/s are of the uncompressed archive.
func BenchmarkData(b *testing.B) {
	files := realPackages(b)
	if len(files) == 0 {
		b.Skip("no packages on this machine: set BRICKYARD_DEBS")
	}
	buf := make([]byte, 64<<10)
	b.ReportAllocs()
	for b.Loop() {
		var total int64
		for _, f := range files {
			total += drain(b, f, buf)
		}
		b.SetBytes(total)
	}
}

func drain(tb testing.TB, name string, buf []byte) int64 {
	f, err := os.Open(name)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		tb.Fatal(err)
	}
	p, err := Open(f, fi.Size())
	if err != nil {
		tb.Fatal(name, err)
	}
	if _, err := p.Control(); err != nil {
		tb.Fatal(name, err)
	}
	d, err := p.Data(context.Background())
	if err != nil {
		tb.Fatal(name, err)
	}
	defer d.Close()
	for {
		_, err := d.Next()
		if err == io.EOF {
			return defaultSize - d.s.left
		}
		if err != nil {
			tb.Fatal(name, err)
		}
		if _, err := io.CopyBuffer(io.Discard, struct{ io.Reader }{d}, buf); err != nil {
			tb.Fatal(name, err)
		}
	}
}

// BenchmarkFsysTarfile is the same by dpkg-deb.
func BenchmarkFsysTarfile(b *testing.B) {
	files := realPackages(b)
	if len(files) == 0 {
		b.Skip("no packages on this machine: set BRICKYARD_DEBS")
	}
	for b.Loop() {
		var total int64
		for _, f := range files {
			cmd := exec.Command("dpkg-deb", "--fsys-tarfile", f)
			var n count
			cmd.Stdout = &n
			if err := cmd.Run(); err != nil {
				b.Fatal(err)
			}
			total += int64(n)
		}
		b.SetBytes(total)
	}
}

type count int64

func (c *count) Write(p []byte) (int, error) {
	*c += count(len(p))
	return len(p), nil
}
