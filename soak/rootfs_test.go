package main

import (
	"slices"
	"strings"
	"testing"
)

// The comparison sees what differs, excuses what it has a reason for, and nothing else.
func TestCompareRoots(t *testing.T) {
	file := func(sum string) rootEntry {
		return rootEntry{typ: '0', mode: 0o644, user: "root", group: "root", sum: sum}
	}
	passwd := func(text string) rootEntry { e := file(text); e.text = text; return e }
	same := func() map[string]rootEntry {
		return map[string]rootEntry{"a": file("1"), "etc/passwd": passwd("root:x:0:0::/root:/bin/sh\nx:x:100:101::/:/bin/sh\ny:x:101:102::/:/bin/sh\n")}
	}
	for _, tt := range []struct {
		name   string
		change func(m map[string]rootEntry)
		want   string // what the difference begins with, "" for none
		why    string // part of the excuse
	}{
		{"nothing", func(m map[string]rootEntry) {}, "", ""},
		{"content", func(m map[string]rootEntry) { m["a"] = file("2") }, "/a: ", ""},
		{"mode", func(m map[string]rootEntry) { e := m["a"]; e.mode = 0o600; m["a"] = e }, "/a: ", ""},
		{"owner", func(m map[string]rootEntry) { e := m["a"]; e.user = "x"; m["a"] = e }, "/a: ", ""},
		{"attributes", func(m map[string]rootEntry) { e := m["a"]; e.xattrs = "c=1"; m["a"] = e }, "/a: ", ""},
		{"missing", func(m map[string]rootEntry) { delete(m, "a") }, "only we have /a", ""},
		{"more", func(m map[string]rootEntry) { m["b"] = file("1") }, "only mmdebstrap has /b", ""},
		{"a device", func(m map[string]rootEntry) { m["dev/null"] = file("") }, "", "/dev"},
		{"cleaned", func(m map[string]rootEntry) { m["var/log/x"] = file("") }, "", "a log"},
		{"cleaned, and it should not have been", func(m map[string]rootEntry) { m["etc/shadow"] = file("") }, "only mmdebstrap has /etc/shadow", ""},
		{"another order and other ids", func(m map[string]rootEntry) {
			m["etc/passwd"] = passwd("root:x:0:0::/root:/bin/sh\ny:x:100:101::/:/bin/sh\nx:x:101:102::/:/bin/sh\n")
		}, "", ""},
		{"another shell", func(m map[string]rootEntry) {
			m["etc/passwd"] = passwd("root:x:0:0::/root:/bin/sh\nx:x:100:101::/:/bin/false\ny:x:101:102::/:/bin/sh\n")
		}, "/etc/passwd: ", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			theirs := same()
			tt.change(theirs)
			differences, excused := compareRoots(same(), theirs, map[string]string{"var/log/x": "a log", "etc/shadow": "a mistake"})
			if len(differences) > 1 || (len(differences) == 1) != (tt.want != "") || tt.want != "" && !strings.HasPrefix(differences[0], tt.want) {
				t.Errorf("differences %q, want %q", differences, tt.want)
			}
			if tt.why != "" && !slices.ContainsFunc(excused, func(s string) bool { return strings.Contains(s, tt.why) }) {
				t.Errorf("excused %q, want %q", excused, tt.why)
			}
		})
	}
}
