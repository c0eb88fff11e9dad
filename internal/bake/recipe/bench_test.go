package recipe

import (
	"fmt"
	"testing"
)

// A lock of the size of a web server's.
func BenchmarkParseLock(b *testing.B) {
	l := testLock()
	p := l.Packages[0]
	l.Packages = nil
	for i := range 129 {
		p.Name = fmt.Sprintf("p%03d", i)
		l.Packages = append(l.Packages, p)
	}
	text := l.Encode()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseLock(text, "recipe.lock"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	for b.Loop() {
		if _, err := Load("testdata/valid/web.yaml", Options{}); err != nil {
			b.Fatal(err)
		}
	}
}
