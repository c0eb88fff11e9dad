package resolve

import (
	"bufio"
	"bytes"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// What belongs to essential and minbase is read from what apt has, by other code than ours: mmdebstrap(1), VARIANTS. The
// comparisons with apt ask it for what we say belongs to them.
func TestBaseLikeAptCache(t *testing.T) {
	u, err := hostUniverse()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("apt-cache", "dumpavail").Output()
	if err != nil {
		t.Fatal(err)
	}
	want := map[Variant][]string{}
	var name, priority string
	var essential bool
	lines := bufio.NewScanner(bytes.NewReader(append(out, "\n\n"...)))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), ": ")
		switch key {
		case "Package":
			name = value
		case "Priority":
			priority = value
		case "Essential":
			essential = value == "yes"
		case "":
			if name != "" && essential {
				want[Essential] = append(want[Essential], name)
			}
			if name != "" && (essential || priority == "required" || name == "apt") {
				want[Minbase] = append(want[Minbase], name)
			}
			name, priority, essential = "", "", false
		}
	}
	if lines.Err() != nil || len(want[Essential]) < 10 {
		t.Fatalf("apt-cache dumpavail: %v, %d essential packages", lines.Err(), len(want[Essential]))
	}
	for v, names := range want {
		slices.Sort(names)
		names = slices.Compact(names)
		var got []string
		for _, n := range newSolver(u, Request{}, nil).variant(v) {
			got = append(got, n.Name)
		}
		if !slices.Equal(got, names) {
			t.Errorf("%v: got %q, want %q", v, got, names)
		}
	}
}
