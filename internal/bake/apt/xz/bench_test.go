package xz

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	other "github.com/mikelolasagasti/xz"
)

// TestSpeed compares with the library and the xz program, on the .xz files of the directory that BRICKYARD_XZ names.
// The figures are user CPU time; the machine is others' too, so they take turns, and the median counts.
func TestSpeed(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(os.Getenv("BRICKYARD_XZ"), "*.xz"))
	if err != nil || os.Getenv("BRICKYARD_XZ") == "" {
		t.Skip("BRICKYARD_XZ names no directory")
	}
	var data [][]byte
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		data = append(data, b)
	}
	var size int64
	z := NewReader(64 << 20)
	l, err := other.NewReader(nil, 64<<20)
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 128<<10)
	ways := []struct {
		name string
		who  int
		run  func() error
	}{
		{"ours", syscall.RUSAGE_SELF, func() error {
			size = 0
			for _, d := range data {
				z.Reset(bytes.NewReader(d))
				n, err := io.CopyBuffer(io.Discard, struct{ io.Reader }{z}, buf)
				if err != nil {
					return err
				}
				size += n
			}
			return nil
		}},
		{"library", syscall.RUSAGE_SELF, func() error {
			for _, d := range data {
				if err := l.Reset(bytes.NewReader(d)); err != nil {
					return err
				}
				if _, err := io.CopyBuffer(io.Discard, struct{ io.Reader }{l}, buf); err != nil {
					return err
				}
			}
			return nil
		}},
		{"xz", syscall.RUSAGE_CHILDREN, func() error {
			return exec.Command("xz", append([]string{"-dc", "--"}, files...)...).Run()
		}},
	}
	times := make([][]time.Duration, len(ways))
	for range 5 {
		for i, w := range ways {
			before := userTime(t, w.who)
			if err := w.run(); err != nil {
				t.Fatal(w.name, err)
			}
			times[i] = append(times[i], userTime(t, w.who)-before)
		}
	}
	for i, w := range ways {
		slices.Sort(times[i])
		m := times[i][2]
		t.Logf("%-8s %5.2f s %6.1f MB/s, %.2f × ours %v", w.name, m.Seconds(), float64(size)/1e6/m.Seconds(), float64(m)/float64(times[0][2]), times[i])
	}
}

func userTime(t *testing.T, who int) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(who, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano())
}
