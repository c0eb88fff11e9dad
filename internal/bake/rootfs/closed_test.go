package rootfs

import (
	"errors"
	"testing"
)

func TestClosed(t *testing.T) {
	for _, tt := range []struct {
		name  string
		needs string // of the package that is looked at
		want  string // what is missing
	}{
		{"nothing", "", ""},
		{"there", "Depends: b\n", ""},
		{"version fits", "Pre-Depends: b (>= 1)\n", ""},
		{"version does not", "Depends: b (>= 2)\n", "b (>= 2)"},
		{"second alternative", "Depends: x | b\n", ""},
		{"provided", "Depends: virtual\n", ""},
		{"provided without a version", "Depends: virtual (>= 1)\n", "virtual (>= 1)"},
		{"provided with a version", "Depends: versioned (= 3)\n", ""},
		{"any architecture", "Depends: b:any\n", ""},
		{"installed", "Depends: old\n", ""},
		{"gone", "Depends: gone\n", "gone"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := pkg("b", "Provides: virtual, versioned (= 3)\n")
			err := closed([]*Package{pkg("a", tt.needs), b}, have{"old": {"1"}})
			open, ok := errors.AsType[*OpenError](err)
			if ok != (tt.want != "") || ok && open.Needs != tt.want {
				t.Errorf("got %v, want %q missing", err, tt.want)
			}
		})
	}
}
