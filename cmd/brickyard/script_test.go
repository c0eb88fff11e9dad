package main

import (
	"fmt"
	"os"
	"testing"

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
	})
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
