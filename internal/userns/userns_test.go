package userns

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReadRange(t *testing.T) {
	const file = "# comment\nalice:100000:65536\nbob:200000:10\n1001:300000:65536\nalice:400000:100000\nbad:x:y\n"
	for _, tt := range []struct {
		name, uid    string
		start, count int
	}{
		{"alice", "1000", 400000, 100000},
		{"bob", "1002", 200000, 10},
		{"carol", "1001", 300000, 65536},
		{"bad", "1003", 0, 0},
		{"nobody", "65534", 0, 0},
	} {
		start, count := readRange(strings.NewReader(file), tt.name, tt.uid)
		if start != tt.start || count != tt.count {
			t.Errorf("readRange(%s) = %d, %d, want %d, %d", tt.name, start, count, tt.start, tt.count)
		}
	}
}

// The ids that a hint proposes are nobody's.
func TestFreeIDs(t *testing.T) {
	file := func(text string) string {
		name := filepath.Join(t.TempDir(), "ids")
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return name
	}
	for _, tt := range []struct {
		uids, gids string
		want       int
	}{
		{"", "", 100000},
		{"a:100000:65536\n", "", 165536},
		{"a:100000:65536\nb:165536:65536\n", "a:300000:10\n# no line\nx:y:z\n", 300010},
		{"a:1000:5\n", "", 100000},
	} {
		if got := freeIDs(file(tt.uids), file(tt.gids), "/nonexistent"); got != tt.want {
			t.Errorf("%q, %q: %d, want %d", tt.uids, tt.gids, got, tt.want)
		}
	}
}
