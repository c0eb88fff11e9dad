// Command soak proves what takes too long for a test: it bakes and runs what people use, and writes docs/corpus.md
// from what it found. What has been proven is kept, so that a run that was stopped goes on where it was.
//
// It runs as root in the root of the repository: make soak takes care of that.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	var o options
	flag.Uint64Var(&o.seed, "seed", 1, "draw what is random from `number`")
	flag.StringVar(&o.dir, "dir", ".cache/soak", "work in `directory`; results and packages are kept there")
	flag.StringVar(&o.out, "o", "docs/corpus.md", "write the report to `file`")
	flag.StringVar(&o.only, "only", "", "only cases whose name matches `regexp`; no report then")
	flag.BoolVar(&o.again, "again", false, "do again what is done already")
	flag.BoolVar(&o.report, "report", false, "only write the report, of what is done")
	flag.StringVar(&o.program, "program", "", "prove `file` in place of a brickyard built for it")
	flag.Usage = usage
	flag.Parse()
	o.parts = flag.Args()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

func usage() {
	w := flag.CommandLine.Output()
	fmt.Fprintln(w, "usage: go run ./soak [FLAGS] [PART...]\n\nParts, all by default:")
	for _, p := range parts() {
		fmt.Fprintf(w, "  %-12s %s\n", p.name, p.what)
	}
	fmt.Fprintln(w, "\nFlags:")
	flag.PrintDefaults()
}

// options are what the command line says.
type options struct {
	seed           uint64
	dir, out, only string
	again, report  bool
	program        string
	parts          []string
}

// A part is one kind of proof.
type part struct {
	name, what string
	cases      func(s *soak) ([]testCase, error)
	report     func(s *soak, outcomes []outcome) string // a section of the page, from all cases that are done
}

// parts lists what there is, in the order of the page.
func parts() []part {
	return []part{
		{"corpus", "servers and tools that people use: the same bits twice, started and asked", corpusCases, corpusReport},
		{"jeos", "examples with just enough in them: their size, run and asked", jeosCases, jeosReport},
		{"resolve", "random sets of packages, resolved by us and by apt", resolveCases, resolveReport},
		{"rootfs", "root file systems path by path against mmdebstrap's", rootfsCases, rootfsReport},
		{"machine", "the same bits on another machine on another day, emulated; systemd as process 1", machineCases, machineReport},
		{"faults", "bakes killed, disks full, mirrors failing, many at once: the same digest afterwards, nothing damaged or lost", faultsCases, faultsReport},
	}
}

// A soak is one run of this program.
type soak struct {
	options
	ctx     context.Context
	program string // brickyard
	sum     string // of the program
}

func run(ctx context.Context, o options) error {
	if _, err := os.Stat("cmd/brickyard"); err != nil || os.Getuid() != 0 {
		return errors.New("run it as root in the root of the repository: make soak")
	}
	only, err := regexp.Compile(o.only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	chosen, err := choose(o.parts)
	if err != nil {
		return err
	}
	s, err := newSoak(ctx, o)
	if err != nil {
		return err
	}
	if o.report {
		return s.write()
	}
	var failed []string
	for _, p := range chosen {
		bad, err := s.runPart(p, only)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		failed = append(failed, bad...)
	}
	if o.only == "" {
		say("writing %s", o.out)
		if err := s.write(); err != nil {
			return err
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("%d cases are not as they should be: %s", len(failed), strings.Join(failed, ", "))
	}
	return nil
}

// choose returns the parts with these names; all when there are none.
func choose(names []string) ([]part, error) {
	all := parts()
	if len(names) == 0 {
		return all, nil
	}
	var out []part
	for _, name := range names {
		i := slices.IndexFunc(all, func(p part) bool { return p.name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no part %q", name)
		}
		out = append(out, all[i])
	}
	return out, nil
}

// newSoak makes the directory and the program.
func newSoak(ctx context.Context, o options) (*soak, error) {
	dir, err := filepath.Abs(o.dir)
	if err != nil {
		return nil, err
	}
	o.dir = dir
	s := &soak{options: o, ctx: ctx, program: filepath.Join(dir, "brickyard")}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	return s, s.build()
}

// say tells the user how far we are.
func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05 ")+format+"\n", args...)
}
