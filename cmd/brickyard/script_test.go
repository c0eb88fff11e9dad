package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"brickyard/internal/bake/apt/apttest"
	"brickyard/internal/catalog/indextest"
	"brickyard/internal/store"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"brickyard":  main,
		"makeimages": makeImages,
	})
}

// TestScript runs the scripts, which read like the manual. UPDATE=1 rewrites what they expect.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       os.Getenv("UPDATE") != "",
		RequireExplicitExec: true,
		Setup:               func(env *testscript.Env) error { return serveArchive(t, env) },
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"archive": archiveCmd, "touched": touchedCmd},
	})
}

// serveArchive gives a script the archive of testArchive as http://archive.example, and its key as archive.gpg.
func serveArchive(t *testing.T, env *testscript.Env) error {
	s := testArchive().Server(t)
	s.Put("page.html", []byte("<h1>one</h1>\n"))
	env.Values["archive"] = s
	env.Setenv("archive", s.URL)
	env.Vars = append(env.Vars, noApt(), "http_proxy="+s.URL)
	env.Setenv("NO_COLOR", "1")
	return os.WriteFile(filepath.Join(env.WorkDir, "archive.gpg"), apttest.Keyring(), 0o644)
}

// archiveCmd is "archive newer": the archive has newer versions of some packages; "archive only-newer": and has
// dropped the old ones; "archive page TEXT": its page is another; "archive deb FILE": writes a .deb of a package called local.
func archiveCmd(ts *testscript.TestScript, neg bool, args []string) {
	s := ts.Value("archive").(*apttest.Server)
	switch args[0] {
	case "newer", "only-newer":
		a := testArchive()
		if args[0] == "only-newer" {
			for _, name := range []string{"tool", "shop", "libshop"} {
				a.Remove("bookworm", name)
			}
		}
		a.Add("bookworm", "main",
			apttest.Package{Name: "tool", Version: "1.0-1", Files: []apttest.File{{Path: "usr/bin/tool", Mode: 0o755, Content: "tool 1.0"}}},
			apttest.Package{Name: "shop", Version: "1:2.1-1", Arch: "amd64", Depends: "libshop (>= 2.1), shop-data", Files: []apttest.File{{Path: "usr/bin/shop", Content: "2.1"}}},
			apttest.Package{Name: "libshop", Version: "2.1-1", Arch: "amd64", Source: "shop (1:2.1-1)", MultiArch: "same", Files: []apttest.File{{Path: "usr/lib/libshop.so.2", Content: "2.1"}}},
		)
		a.Options("bookworm").Date = time.Unix(apttest.Epoch, 0).Add(24 * time.Hour)
		ts.Check(s.Publish(a))
	case "page":
		s.Put("page.html", []byte(args[1]+"\n"))
	case "deb":
		ts.Check(os.WriteFile(ts.MkAbs(args[1]), apttest.Build(apttest.Package{Name: "local", Version: "3", Depends: "base",
			Files: []apttest.File{{Path: "usr/bin/local", Mode: 0o755, Content: "local"}}}), 0o644))
	default:
		ts.Fatalf("archive %s", args[0])
	}
}

// touchedCmd is "touched FILE REFERENCE": whether FILE was written after REFERENCE.
func touchedCmd(ts *testscript.TestScript, neg bool, args []string) {
	a, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	b, err := os.Stat(ts.MkAbs(args[1]))
	ts.Check(err)
	if a.ModTime().After(b.ModTime()) == neg {
		ts.Fatalf("%s is of %v, %s of %v", args[0], a.ModTime(), args[1], b.ModTime())
	}
}

// makeImages is "makeimages HOME": it puts the images of indextest.Web there.
func makeImages() {
	s, err := store.Open(os.Args[1])
	if err == nil {
		_, _, _, err = indextest.Web(s)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "makeimages:", err)
		os.Exit(1)
	}
}
