package resolve

import "testing"

func BenchmarkResolve(b *testing.B) {
	u, err := hostUniverse()
	if err != nil {
		b.Skip("no lists of apt: ", err)
	}
	r := Request{Variant: Minbase, Ask: asks("apache2")}
	for b.Loop() {
		if _, err := Resolve(u, r); err != nil {
			b.Fatal(err)
		}
	}
}
