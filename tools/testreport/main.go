// Command testreport reads the events of "go test -json" and prints what a person wants to know: a line
// for each package, all that a failed test said, and at the end which tests were skipped and why. It
// exits with 1 when anything failed.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

// An event is one line of test2json, or of go build -json (cmd/internal/test2json, "go help buildjson").
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
	Elapsed float64 // seconds
}

// A report is what was seen so far.
type report struct {
	output  map[string][]string // by package and test
	skipped map[string]string   // why, by package and test
	passed  int
	failed  []string
	slow    map[string]float64 // seconds, of top-level tests
}

func main() {
	r := report{output: map[string][]string{}, skipped: map[string]string{}, slow: map[string]float64{}}
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 64<<20)
	for in.Scan() {
		var e event
		if err := json.Unmarshal(in.Bytes(), &e); err != nil {
			fmt.Println(in.Text()) // not an event: somebody wants to be heard
			continue
		}
		r.add(e)
	}
	if err := in.Err(); err != nil {
		r.failed = append(r.failed, err.Error())
	}
	r.print()
	if len(r.failed) > 0 || r.passed == 0 {
		os.Exit(1)
	}
}

func (r *report) add(e event) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "build-output":
		fmt.Print(e.Output)
	case "output":
		r.output[key] = append(r.output[key], e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			r.packageEnds(e)
			return
		}
		r.testEnds(e, key)
	}
}

func (r *report) testEnds(e event, key string) {
	switch e.Action {
	case "pass":
		r.passed++
	case "fail":
		r.failed = append(r.failed, key)
		fmt.Printf("--- FAIL: %s\n%s", key, strings.Join(r.output[key], ""))
	case "skip":
		r.skipped[key] = reason(r.output[key])
	}
	if !strings.Contains(e.Test, "/") && e.Elapsed >= 10 {
		r.slow[key] = e.Elapsed
	}
	delete(r.output, key)
}

// packageEnds prints the package's line, and what it said outside of tests when it failed.
func (r *report) packageEnds(e event) {
	out := r.output[e.Package+" "]
	delete(r.output, e.Package+" ")
	if e.Action == "fail" {
		r.failed = append(r.failed, e.Package)
		for key, lines := range r.output { // of tests that did not come to an end
			if strings.HasPrefix(key, e.Package+" ") {
				fmt.Printf("--- %s\n%s", key, strings.Join(lines, ""))
			}
		}
		fmt.Print(strings.Join(out, ""))
		return
	}
	for _, line := range out {
		if strings.HasPrefix(line, "ok ") || strings.HasPrefix(line, "? ") || strings.HasPrefix(line, "\t") {
			fmt.Print(line)
		}
	}
}

// reason is the last thing that a skipped test said before go test's own line.
func reason(output []string) string {
	why := ""
	for _, line := range output {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "---") && !strings.HasPrefix(line, "===") {
			why = line
		}
	}
	return why
}

func (r *report) print() {
	if len(r.slow) > 0 {
		fmt.Println("\nTook 10 s or more:")
		for _, key := range slices.Sorted(maps.Keys(r.slow)) {
			fmt.Printf("  %5.1f s  %s\n", r.slow[key], key)
		}
	}
	if len(r.skipped) > 0 {
		fmt.Println("\nSkipped:")
		for _, key := range slices.Sorted(maps.Keys(r.skipped)) {
			fmt.Printf("  %s: %s\n", key, r.skipped[key])
		}
	}
	fmt.Printf("\n%d tests passed, %d were skipped", r.passed, len(r.skipped))
	if len(r.failed) == 0 {
		fmt.Println(", none failed.")
		return
	}
	fmt.Printf(". Failed:\n")
	for _, key := range r.failed {
		fmt.Printf("  %s\n", key)
	}
}
