package xz

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"
)

func TestOurs(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join(os.Getenv("BRICKYARD_XZ"), "*.xz"))
	z := NewReader(64 << 20)
	var data [][]byte
	for _, f := range files {
		d, _ := os.ReadFile(f)
		data = append(data, d)
	}
	var ts []time.Duration
	var size int64
	for range 3 {
		b := userTime(t, syscall.RUSAGE_SELF)
		size = 0
		for _, d := range data {
			z.Reset(bytes.NewReader(d))
			n, err := z.WriteTo(io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			size += n
		}
		ts = append(ts, userTime(t, syscall.RUSAGE_SELF)-b)
	}
	slices.Sort(ts)
	t.Logf("%.1f MB/s max %.1f  median %v", float64(size)/1e6/ts[0].Seconds(), float64(size)/1e6/ts[1].Seconds(), ts)
}
