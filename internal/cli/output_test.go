package cli

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"brickyard/internal/tree"
)

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 999: "999 B", 1000: "1 kB", 1234: "1.23 kB", 56_123_456: "56.1 MB", 999_600: "1 MB",
		999_499: "999 kB", 12_000_000_000: "12 GB", 1_500_000_000_000: "1.5 TB", -2000: "-2 kB",
	} {
		if got := size(n); got != want {
			t.Errorf("size(%d) = %q, want %q", n, got, want)
		}
	}
	if got := signedSize(1000); got != "+1 kB" {
		t.Errorf("signedSize(1000) = %q", got)
	}
}

func TestSpan(t *testing.T) {
	const day = 24 * time.Hour
	for d, want := range map[time.Duration]string{
		0: "0.0 s", 1500 * time.Millisecond: "1.5 s", 100 * time.Second: "100 s", 3 * time.Minute: "3 min", 5 * time.Hour: "5 h",
		3 * day: "3 days", 90*day - time.Second: "90 days", 200 * day: "6 months", 800 * day: "2 years",
	} {
		if got := span(d); got != want {
			t.Errorf("span(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"/etc/nginx": "/etc/nginx", "/srv/ä b": "/srv/ä b", "a\x1b[2Jb": `"a\x1b[2Jb"`, "a\nb": `"a\nb"`, "\x9b": `"\x9b"`,
	} {
		if got := clean(in); got != want {
			t.Errorf("clean(%q) = %s, want %s", in, got, want)
		}
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"a: ä\n\tb → c\n": "a: ä\n\tb → c\n", "\x1b[2Jx\r\x00\a": `\x1b[2Jx\r\x00\a`, "\xff\x9b\u009b\u202e": `\xff\x9b\u009b\u202e`,
	} {
		if got := printable(in); got != want {
			t.Errorf("printable(%q) = %s, want %s", in, got, want)
		}
	}
}

func TestModeText(t *testing.T) {
	for _, tt := range []struct {
		e    tree.Entry
		want string
	}{
		{tree.Entry{Type: tree.Regular, Mode: 0o644}, "-rw-r--r--"},
		{tree.Entry{Type: tree.Regular, Mode: 0o4755}, "-rwsr-xr-x"},
		{tree.Entry{Type: tree.Regular, Mode: 0o2640}, "-rw-r-S---"},
		{tree.Entry{Type: tree.Dir, Mode: 0o1777}, "drwxrwxrwt"},
		{tree.Entry{Type: tree.Dir, Mode: 0o1770}, "drwxrwx--T"},
		{tree.Entry{Type: tree.Symlink, Mode: 0o777}, "lrwxrwxrwx"},
		{tree.Entry{Type: tree.Char, Mode: 0o666}, "crw-rw-rw-"},
		{tree.Entry{Type: tree.Regular, Mode: 0o755, Xattrs: map[string]string{"user.a": "b"}}, "-rwxr-xr-x+"},
	} {
		if got := modeText(tt.e); got != tt.want {
			t.Errorf("modeText(%c %o) = %q, want %q", tt.e.Type, tt.e.Mode, got, tt.want)
		}
	}
}

func TestProgressOnATerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		env, _, stderr := testEnv()
		env.ErrTTY = true
		p := env.progress()
		s := p.Stage("fetch", 1000, unitBytes)
		time.Sleep(2 * time.Second)
		s.Add(500)
		if got := stderr.String(); !strings.Contains(got, " 50 %  250 B/s  2.0 s left") {
			t.Errorf("bar %q", got)
		}
		env.warn("no owner")
		s.Done()
		s.Done()
		p.stop()
		screen := terminal(stderr.String())
		if want := []string{"warning: no owner", "fetch        2.0 s  500 B"}; strings.Join(screen, "\n") != strings.Join(want, "\n") {
			t.Errorf("the screen ends as %q, want %q", screen, want)
		}
	})
}

// terminal is what a terminal shows of text whose only control sequences are those of erase.
func terminal(text string) []string {
	var lines []string
	for line := range strings.Lines(text) {
		for strings.HasPrefix(line, "\x1b[") {
			lines = lines[:len(lines)-int(line[2]-'0')]
			line = strings.TrimPrefix(line[4:], "\x1b[J")
		}
		lines = append(lines, strings.TrimSuffix(line, "\n"))
	}
	return lines
}

func TestProgressElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		env, _, stderr := testEnv()
		s := env.progress().Stage("unpack", 0, unitItems)
		time.Sleep(time.Second)
		s.Add(3)
		s.Done()
		if got, want := stderr.String(), "unpack       1.0 s  3\n"; got != want {
			t.Errorf("printed %q, want %q", got, want)
		}
	})
}

func TestProgressQuiet(t *testing.T) {
	env, _, stderr := testEnv()
	env.quiet, env.ErrTTY = true, true
	s := env.progress().Stage("unpack", 10, unitItems)
	s.Add(3)
	env.warn("no owner")
	s.Done()
	if stderr.Len() > 0 {
		t.Errorf("printed %q", stderr)
	}
}

func TestProgressFromManyGoroutines(t *testing.T) {
	env, _, stderr := testEnv()
	env.ErrTTY, env.verbose = true, true
	p := env.progress()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			s := p.Stage("stage", 1000, unitItems)
			for range 1000 {
				s.Add(1)
			}
			s.Done()
		})
	}
	wg.Wait()
	p.stop()
	screen := terminal(stderr.String())
	if len(screen) != 8 {
		t.Errorf("the screen ends as %q, want 8 lines", screen)
	}
}
