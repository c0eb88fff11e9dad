package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A test's tally is taken when it passed and did all that it should; the page adds up chunks, and leaves out what failed.
func TestFaults(t *testing.T) {
	t.Chdir("..")
	s := &soak{ctx: t.Context()}
	c := faultsCase{Test: "kill", Run: "X", Times: 3, Seed: 5}
	const good = `echo "    a_test.go:1: tally {\"test\":\"kill\",\"times\":$BRICKYARD_FAULTS,\"stages\":{\"run\":2,\"fetch\":1},\"after\":1}"; `
	var outcomes []outcome
	for _, tt := range []struct{ name, script, problem string }{
		{"as it should be", good, ""},
		{"once more", good, ""},
		{"fails", good + "echo why; exit 1", "BRICKYARD_FAULTS=3 BRICKYARD_SEED=5 -test.run=X: exit status 1\n"},
		{"did less", strings.Replace(good, "$BRICKYARD_FAULTS", "2", 1), "2 times instead of 3"},
		{"did nothing", "echo PASS", "0 times instead of 3"},
	} {
		program := filepath.Join(t.TempDir(), "test")
		if err := os.WriteFile(program, []byte("#!/bin/sh\n"+tt.script), 0o755); err != nil {
			t.Fatal(err)
		}
		f := s.runFaults(program, c)
		if (f.Problem == "") != (tt.problem == "") || !strings.Contains(f.Problem, tt.problem) {
			t.Errorf("%s: %q, want %q", tt.name, f.Problem, tt.problem)
		}
		found, err := json.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		outcomes = append(outcomes, outcome{ID: tt.name, Found: found})
	}
	page := faultsReport(s, outcomes)
	for _, want := range []string{
		"| a bake is killed (SIGKILL) | 6 | run 4, fetch 2 | 0 | 2 | 0 | 0 | 0 |\n",
		"not in the table: fails, did less, did nothing.",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %q:\n%s", want, page)
		}
	}
}
