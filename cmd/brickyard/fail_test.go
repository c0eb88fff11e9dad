package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"brickyard/internal/bake/apt/apttest"
)

// variant is the recipe of TestDebian with something else in it.
func variant(t *testing.T, old, new string) string {
	t.Helper()
	text := strings.ReplaceAll(debianRecipe, "SUITE", suite(t))
	if !strings.Contains(text, old) {
		t.Fatalf("the recipe has no %q", old)
	}
	return strings.Replace(text, old, new, 1)
}

// testBrokenScript bakes a package whose script fails: its output is shown, the root is kept when asked for, and
// the next bake, of a mended package, is as if nothing had been.
func testBrokenScript(t *testing.T, first *bakery) {
	pkg := func(postinst string) string {
		return string(apttest.Build(apttest.Package{Name: "broken", Files: []apttest.File{{Path: "etc/broken", Content: "mine\n"}},
			Scripts: map[string]string{"postinst": "#!/bin/sh\nset -e\n" + postinst}}))
	}
	const fails = "echo to out; echo to err >&2; echo changed >> /etc/broken; echo changed >> /etc/motd; touch /made-by-broken; rm /etc/issue; exit 3\n"
	b := copyHome(t, first, map[string]string{"recipe.yaml": variant(t, "iputils-ping", "iputils-ping, ./broken.deb"), "broken.deb": pkg(fails)})
	b.must(t, "lock", "recipe.yaml")
	b.refuse(t, 1, []string{`(?m)^brickyard: .*dpkg`, `\| to out`, `\| to err`, `error processing package broken`, `exit status 3`,
		`hint: bake with --keep`}, "bake", "recipe.yaml", "-t", "small:2")

	keep := filepath.Join(t.TempDir(), "keep")
	b.refuse(t, 1, []string{`hint: the root file system as it was is in ` + keep}, "bake", "recipe.yaml", "--keep", keep)
	if data, err := os.ReadFile(filepath.Join(keep, "etc/broken")); err != nil || string(data) != "mine\nchanged\n" {
		t.Errorf("kept etc/broken: %q, %v", data, err)
	}
	if _, err := os.Lstat(filepath.Join(keep, "etc/issue")); !os.IsNotExist(err) {
		t.Errorf("kept etc/issue, which the script removed: %v", err)
	}
	// Looking around is harmless: nothing there is shared with the store.
	var st syscall.Stat_t
	if err := syscall.Stat(filepath.Join(keep, "usr/bin/dpkg"), &st); err != nil || st.Nlink != 1 {
		t.Errorf("kept usr/bin/dpkg has %d names (%v), want 1", st.Nlink, err)
	}
	b.refuse(t, 1, []string{`keep: .*not empty`}, "bake", "recipe.yaml", "--keep", keep)

	b.write(t, "broken.deb", pkg("echo fine\n"))
	b.refuse(t, 1, []string{`does not fit`}, "bake", "recipe.yaml")
	b.must(t, "lock", "recipe.yaml")
	digest := b.bake(t)
	b.must(t, "verify", digest)
	if got := b.must(t, "cat", digest, "/etc/broken"); got != "mine\n" {
		t.Errorf("/etc/broken: %q", got)
	}
}

// testBrokenPreinst is testBrokenScript for a script that runs before its package is unpacked.
func testBrokenPreinst(t *testing.T, first *bakery) {
	deb := apttest.Build(apttest.Package{Name: "early", Files: []apttest.File{{Path: "etc/early", Content: "x"}},
		Scripts: map[string]string{"preinst": "#!/bin/sh\ntest ! -e /etc/early && echo \"$1 $DPKG_MAINTSCRIPT_PACKAGE\" && exit 4\n"}})
	b := copyHome(t, first, map[string]string{"recipe.yaml": variant(t, "iputils-ping", "iputils-ping, ./early.deb"), "early.deb": string(deb)})
	b.must(t, "lock", "recipe.yaml")
	b.refuse(t, 1, []string{`package early: preinst: exit status 4`, `\| install early`}, "bake", "recipe.yaml")
}

// testBrokenRun bakes recipes whose own steps fail.
func testBrokenRun(t *testing.T, first *bakery) {
	for _, tt := range []struct {
		name, run string
		says      []string
	}{
		{"a command fails", `["true", "echo about to; exit 7"]`, []string{`(?m)^brickyard: recipe\.yaml:5: run\[1\]: exit status 7`, `\| about to`, `--keep`}},
		{"in the middle of one", `["false; echo not here"]`, []string{`run\[0\]: exit status 1`}},
		{"no such program", `[{argv: [/no/such]}]`, []string{`run\[0\]: .*/no/such: no such file`}},
		{"killed", `["kill -9 $$"]`, []string{`run\[0\]: signal: killed`}},
		{"there is no network", `["perl -MIO::Socket::INET -e 'IO::Socket::INET->new(q(1.1.1.1:80)) or die qq(net: $!\n)'"]`, []string{`\| net: Network is unreachable`}},
		{"the machine's disks are not there", `["mknod /x b 8 0 && mount /x /mnt"]`, []string{`run\[0\]`}},
		{"the clock stays as it is", `["date -s 2001-01-01"]`, []string{`Operation not permitted`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := variant(t, "run: ", "run: "+tt.run+"\n# ")
			b := copyHome(t, first, map[string]string{"recipe.yaml": text, "recipe.lock": first.read(t, "recipe.lock")})
			b.refuse(t, 1, tt.says, "bake", "recipe.yaml")
		})
	}
}

// testInterrupt stops bakes while a script runs, as Ctrl-C, a service manager and a closed terminal do.
func testInterrupt(t *testing.T, first *bakery) {
	text := variant(t, "run: ", "run: [\"echo reached; trap '' INT TERM HUP; sleep 1000 & sleep 1000\"]\n# ")
	b := copyHome(t, first, map[string]string{"recipe.yaml": text, "recipe.lock": first.read(t, "recipe.lock")})
	running := func() bool { return strings.Contains(strings.Join(processes(t), "\n"), "sleep 1000") }
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(sig.String(), func(t *testing.T) { b.interrupt(t, running, sig, "bake", "recipe.yaml") })
	}
	t.Run("an ordinary user", func(t *testing.T) {
		b := *b
		b.home = filepath.Join(t.TempDir(), "home")
		asUser(t, &b)
		b.interrupt(t, running, syscall.SIGINT, "bake", "recipe.yaml")

		// When the process outside is killed, the one inside ends as well. What it had no time to take away, the next
		// command does.
		cmd := b.command(t.Context(), "bake", "recipe.yaml")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		await(t, running)
		cmd.Process.Kill()
		cmd.Wait()
		await(t, func() bool { return len(processes(t)) == 0 })
		b.must(t, "images")
		b.tidy(t)
	})
}
