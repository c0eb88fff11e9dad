package host

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
)

func TestLookupUser(t *testing.T) {
	users := parsePasswd("root:x:0:0:root:/root:/bin/sh\n\nweb:x:900:901:::\nbig:x:4294967295:1::/:\nshort:x:1\n7:x:70:70::/seven:\n")
	groups := parseGroup("root:x:0:\nweb:x:901:web\nlog:x:902:other,web\nbad:x:y:web\nstaff:x:50:\n")
	for _, tt := range []struct {
		in   string
		want identity
		err  string
	}{
		{"", identity{0, 0, []uint32{0}, "/root"}, ""},
		{"web", identity{900, 901, []uint32{901, 902}, "/"}, ""},
		{"900", identity{900, 901, []uint32{901, 902}, "/"}, ""},
		{"web:staff", identity{900, 50, []uint32{50}, "/"}, ""},
		{"1000:1001", identity{1000, 1001, []uint32{1001}, "/"}, ""},
		{"1000", identity{1000, 0, []uint32{0}, "/"}, ""},
		{":50", identity{0, 50, []uint32{50}, "/root"}, ""},
		{"7", identity{70, 70, []uint32{70}, "/seven"}, ""},
		{"big", identity{}, `no user "big"`},
		{"4294967295", identity{}, `no user "4294967295"`},
		{"-1", identity{}, `no user "-1"`},
		{"web:nope", identity{}, `no group "nope"`},
		{"web:", identity{}, `no group ""`},
	} {
		got, err := lookupUser(tt.in, users, groups)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%q: got %v, want %q", tt.in, err, tt.err)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%q: got %+v, %v; want %+v", tt.in, got, err, tt.want)
		}
	}
}

func FuzzLookupUser(f *testing.F) {
	f.Add("web:log", "web:x:900:901::/:\n", "log:x:902:web\n")
	f.Add("1", "a:b:1:2:3:4:5", "::::")
	f.Fuzz(func(t *testing.T, spec, passwd, group string) {
		who, err := lookupUser(spec, parsePasswd(passwd), parseGroup(group))
		if err == nil && (who.uid == 1<<32-1 || who.gid == 1<<32-1 || who.home == "" || len(who.groups) == 0) {
			t.Errorf("%+v", who)
		}
	})
}

// Links of an image lead around in it and never out of it, absolute ones too.
func TestImageRoot(t *testing.T) {
	dir := t.TempDir()
	must(t, os.MkdirAll(dir+"/etc/alternatives", 0o755))
	must(t, os.WriteFile(dir+"/etc/passwd", []byte("inside"), 0o644))
	must(t, os.Symlink("/etc/passwd", dir+"/etc/alternatives/a"))
	must(t, os.Symlink("../../../../../../../etc/passwd", dir+"/etc/alternatives/b"))
	must(t, os.Symlink("loop", dir+"/loop"))
	must(t, os.Symlink("/proc/self/exe", dir+"/magic"))
	root, err := openImageRoot(dir)
	must(t, err)
	defer root.Close()
	for p, want := range map[string]string{
		"/etc/passwd": "inside", "etc/alternatives/a": "inside", "/etc/alternatives/b": "inside", "../../etc/passwd": "inside",
		"/magic": "", "/missing": "", "/etc/passwd/x": "",
	} {
		if got, err := root.read(p, 100); got != want || err != nil {
			t.Errorf("%s: got %q, %v; want %q", p, got, err, want)
		}
	}
	for _, p := range []string{"/etc", "/loop"} {
		if got, err := root.read(p, 100); err == nil {
			t.Errorf("%s: got %q, want an error", p, got)
		}
	}
	if _, err := root.read("/etc/passwd", 3); err == nil {
		t.Error("a file that is too large was read")
	}
	if got, err := root.place("/etc/alternatives/a"); got != filepath.Join(dir, "etc/passwd") || err != nil {
		t.Errorf("place: got %s, %v", got, err)
	}
}

func TestParseSignal(t *testing.T) {
	for in, want := range map[string]syscall.Signal{
		"": 15, "TERM": 15, "SIGTERM": 15, "sigquit": 3, "9": 9, "64": 64, "SIGRTMIN": 34, "SIGRTMIN+3": 37, "RTMAX-1": 63,
		"0": 0, "65": 0, "SIGX": 0, "SIGRTMIN-1": 0, "SIGRTMAX+1": 0, "RTMIN+x": 0, "-9": 0,
	} {
		got, err := ParseSignal(in)
		if got != want || (err == nil) != (want != 0) {
			t.Errorf("%q: got %d, %v; want %d", in, got, err, want)
		}
	}
}

func FuzzParseSignal(f *testing.F) {
	f.Add("SIGRTMIN+3")
	f.Add("9")
	f.Fuzz(func(t *testing.T, s string) {
		if sig, err := ParseSignal(s); err == nil && (sig < 1 || sig > sigRTMax) {
			t.Errorf("%q is %d", s, sig)
		}
	})
}
