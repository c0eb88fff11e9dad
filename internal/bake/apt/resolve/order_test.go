package resolve

import (
	"fmt"
	"strings"
	"testing"

	"brickyard/internal/bake/apt"
)

// TestOrderLikeApt holds the order of all names against the one that apt-cache dump shows.
func TestOrderLikeApt(t *testing.T) {
	small := newOracle(t)
	small.serve(t, index(shop+"\nPackage: linux-image-6.1.0-9-amd64\nVersion: 1\nProvides: kernel:i386, modules:any, more:amd64\n\n"+
		"Package: qualified\nVersion: 1\nDepends: a:i386, later:i386, b:any, lib:native, x:amd64\nSuggests: s:foo\n"))
	u, err := aptUniverse(small)
	if err != nil {
		t.Fatal(err)
	}
	compareOrder(t, u.InAptsOrder(), dumped(t, small))
	if testing.Short() {
		return
	}
	if u, err = hostUniverse(); err != nil {
		t.Fatal(err)
	}
	compareOrder(t, u.InAptsOrder(), dumped(t, newOracle(t)))
}

// dumped is the names of all that apt knows, in its order.
func dumped(t *testing.T, o oracle) []string {
	t.Helper()
	out, err := o.command("apt-cache", "dump", "-o", "Dir::State::status="+o.dir+"/status", "-o", "Dir::Cache="+o.dir+"/cache").Output()
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for line := range strings.Lines(string(out)) {
		if name, ok := strings.CutPrefix(line, "Package: "); ok {
			list = append(list, strings.TrimSpace(name))
		}
	}
	return list
}

func compareOrder(t *testing.T, got []*apt.Name, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%d names, want %d", len(got), len(want))
	}
	for i, n := range got[:min(len(got), len(want))] {
		if n == nil && !strings.Contains(want[i], ":") && want[i] != "$kernel" || n != nil && n.Name != want[i] {
			t.Fatalf("%d: got %v, want %s", i, n, want[i])
		}
	}
}

// TestTiesLikeApt has two broken packages of one score, of which the one that apt looks at first goes: if that is "second", which
// can't stand the third, "first", which can't stand the second, may stay.
func TestTiesLikeApt(t *testing.T) {
	stayed := map[bool]int{}
	for _, fill := range []int{0, 60} {
		for i := range 5 {
			name := func(which string) string { return fmt.Sprintf("%c-%s", 'a'+5*i, which) }
			var text strings.Builder
			text.WriteString(strings.NewReplacer("FIRST", name("first"), "SECOND", name("second"), "THIRD", name("third")).Replace(`Package: all
Version: 1
Depends: FIRST | other1, SECOND | other2, THIRD | other3

Package: FIRST
Version: 1
Priority: extra
Conflicts: SECOND

Package: SECOND
Version: 1
Priority: optional
Conflicts: THIRD

Package: THIRD
Version: 1
Priority: optional

Package: other1
Version: 1

Package: other2
Version: 1

Package: other3
Version: 1
`))
			for j := range fill {
				fmt.Fprintf(&text, "\nPackage: filler-%d\nVersion: 1\n", j*7)
			}
			o := newOracle(t)
			o.serve(t, index(text.String()))
			u := universe(t, text.String())
			r := Request{Ask: asks("all")}
			compare(t, u, o, r)
			stayed[strings.Contains(outcome(Resolve(u, r)), "-first")]++
		}
	}
	if len(stayed) != 2 {
		t.Errorf("the order never matters: %v", stayed)
	}
}
