package rootfs

import (
	"bytes"
	"testing"
)

// Lines are counted by how they start, however they are cut.
func TestLineWriter(t *testing.T) {
	const text = "Setting up a (1) ...\nno Setting up b\nSetting upwards\n\nSetting up c\nSetting"
	for size := 1; size <= len(text); size++ {
		n := 0
		var out bytes.Buffer
		w := &lineWriter{w: &out, prefix: "Setting up ", found: func() { n++ }}
		for i := 0; i < len(text); i += size {
			if _, err := w.Write([]byte(text[i:min(len(text), i+size)])); err != nil {
				t.Fatal(err)
			}
		}
		if n != 2 || out.String() != text {
			t.Errorf("in pieces of %d: %d lines, want 2; passed on %q", size, n, out.String())
		}
	}
}
