package userns

import (
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
