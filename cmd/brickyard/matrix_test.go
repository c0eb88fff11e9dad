package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A circumstance is something that must not show in an image.
type circumstance struct {
	name string
	args []string // of bake
	set  func(t *testing.T, b *bakery)
}

// circumstances are ways to bake anew, each in a home and at a path of its own.
var circumstances = []circumstance{
	{name: "as it comes"},
	{name: "time zone, locale and language", set: func(_ *testing.T, b *bakery) {
		b.env = []string{"TZ=Pacific/Kiritimati", "LC_ALL=tr_TR.UTF-8", "LANG=ja_JP.UTF-8", "LANGUAGE=de"}
	}},
	{name: "umask 077", set: func(_ *testing.T, b *bakery) { b.wrap = []string{"sh", "-c", `umask 077; exec "$@"`, "sh"} }},
	{name: "umask 000", set: func(_ *testing.T, b *bakery) { b.wrap = []string{"sh", "-c", `umask 000; exec "$@"`, "sh"} }},
	{name: "one core", set: func(_ *testing.T, b *bakery) {
		b.wrap, b.env = []string{"taskset", "-c", "0"}, []string{"GOMAXPROCS=1"}
	}},
	{name: "a home with a strange name", set: func(t *testing.T, b *bakery) {
		b.home = filepath.Join(t.TempDir(), `a home: x,y=\z "é"`)
	}},
	{name: "a working directory and a home by relative paths", set: func(_ *testing.T, b *bakery) { b.home = "../home" }},
	{name: "an environment of the person's own", set: func(_ *testing.T, b *bakery) {
		b.env = []string{"HOME=/nonexistent", "USER=somebody", "DEBIAN_FRONTEND=dialog", "DPKG_ROOT=/x", "PERL5OPT=-w", "SOURCE_DATE_EPOCH=1", "LD_PRELOAD="}
	}},
	{name: "an ordinary user", set: asUser},
}

// matrix locks the recipe once and bakes it under every circumstance: the digest must be one. It returns the digest,
// and the bakery of the first.
func matrix(t *testing.T, first *bakery, circumstances []circumstance) string {
	first.must(t, "lock", "recipe.yaml")
	want := first.bake(t)
	first.tidy(t)
	for _, c := range circumstances {
		t.Run(c.name, func(t *testing.T) {
			b := &bakery{dir: filepath.Join(t.TempDir(), "elsewhere"), home: filepath.Join(t.TempDir(), "home"), server: first.server, internet: first.internet}
			if err := os.CopyFS(b.dir, os.DirFS(first.dir)); err != nil {
				t.Fatal(err)
			}
			if c.set != nil {
				c.set(t, b)
			}
			if got := b.bake(t, c.args...); got != want {
				t.Errorf("image %s, want %s", got, want)
			}
		})
	}
	again := func(name string, online bool, forget ...string) {
		t.Run(name, func(t *testing.T) {
			b := *first
			args := []string{}
			if !online {
				b.server, b.internet, args = nil, false, []string{"--offline"}
			}
			for _, f := range forget {
				if err := os.RemoveAll(filepath.Join(b.home, f)); err != nil {
					t.Fatal(err)
				}
			}
			if got := b.bake(t, args...); got != want {
				t.Errorf("image %s, want %s", got, want)
			}
			b.must(t, "verify", want)
			b.tidy(t)
		})
	}
	again("warm: all is there but the image", true, "notes/bake", "notes/image")
	again("warm: packages are unpacked, scripts run again", true, "notes/bake", "notes/image", "notes/packed", "notes/stage", "notes/layer")
	again("offline, with nothing but the packages", false, "notes", "files", "roots")
	again("offline, and nothing to do", false)
	return want
}

// asUser runs the program as an ordinary user, who is known, and has ids to give away, in a mount namespace of
// the test's own only: nothing of this machine changes.
func asUser(t *testing.T, b *bakery) {
	t.Helper()
	etc := t.TempDir()
	const name, id = "mason", "4711"
	var script strings.Builder
	script.WriteString("set -e; ")
	for file, line := range map[string]string{
		"passwd": name + ":x:" + id + ":" + id + "::/nonexistent:/bin/sh", "group": name + ":x:" + id + ":",
		"subuid": name + ":400000:65536", "subgid": name + ":400000:65536",
	} {
		data, err := os.ReadFile("/etc/" + file)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		p := filepath.Join(etc, file)
		if err := os.WriteFile(p, append(data, line+"\n"...), 0o644); err != nil {
			t.Fatal(err)
		}
		script.WriteString(fmt.Sprintf("mount --bind %s /etc/%s; ", p, file))
	}
	script.WriteString("exec setpriv --reuid " + id + " --regid " + id + " --init-groups --inh-caps=-all \"$@\"")
	b.wrap = []string{"unshare", "--mount", "sh", "-c", script.String(), "sh"}
	program, err := exec.LookPath("brickyard")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{b.dir, b.home, program} {
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		for d := filepath.Dir(p); strings.HasPrefix(d, os.TempDir()+"/"); d = filepath.Dir(d) {
			if err := os.Chmod(d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, d := range []string{b.dir, b.home} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("chown", "-R", id+":"+id, d).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
}

// TestMatrixLocal bakes packages of every kind, without scripts, in a circumstance at a time.
func TestMatrixLocal(t *testing.T) {
	matrix(t, newBakery(t, testArchive().Server(t), pinnedFiles()), circumstances)
}
