package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// What is done stays done: only what is new, was not as it should be, or was done with another program is run again.
func TestGoesOnWhereItWas(t *testing.T) {
	s := &soak{options: options{dir: t.TempDir()}, ctx: t.Context(), sum: "one"}
	var ran []string
	broken, verdict, definition := "b", true, 1
	fault := fmt.Errorf("%w: the disk is full", errProof)
	p := part{name: "p", cases: func(*soak) ([]testCase, error) {
		var out []testCase
		for _, id := range []string{"a", "b", "c"} {
			def := 0
			if id == "a" {
				def = definition
			}
			out = append(out, testCase{id, def, func() (any, bool, error) {
				ran = append(ran, id)
				if id == broken {
					return nil, false, fault
				}
				return id, id != "c" || verdict, nil
			}})
		}
		return out, nil
	}}
	expect := func(name string, want, wantFailed []string, wantErr bool) {
		t.Helper()
		ran = nil
		failed, err := s.runPart(p, regexp.MustCompile(""))
		if !slices.Equal(ran, want) || !slices.Equal(failed, wantFailed) || (err != nil) != wantErr {
			t.Errorf("%s: ran %q, failed %q, %v; want %q, %q", name, ran, failed, err, want, wantFailed)
		}
	}
	expect("stopped at the second", []string{"a", "b"}, nil, true)
	broken, verdict = "", false
	expect("goes on", []string{"b", "c"}, []string{"p/c"}, false)
	verdict = true
	expect("what was not well is tried again", []string{"c"}, nil, false)
	expect("all is done", nil, nil, false)
	definition = 2
	expect("another definition", []string{"a"}, nil, false)
	s.sum = "two"
	expect("another program", []string{"a", "b", "c"}, nil, false)
	s.seed = 7
	expect("another seed", []string{"a", "b", "c"}, nil, false)
	s.again = true
	expect("all again", []string{"a", "b", "c"}, nil, false)
	broken, fault = "b", errors.New("brickyard bake: exit status 1")
	expect("a fault of the program stops only its case", []string{"a", "b", "c"}, []string{"p/b"}, false)
}

// A page keeps the section of a part that is not done, and gets a new one of a part that is.
func TestSections(t *testing.T) {
	t.Chdir("..") // where cases look for their recipes
	s := &soak{options: options{dir: t.TempDir(), out: filepath.Join(t.TempDir(), "page.md")}, ctx: t.Context()}
	page := pageHead + "\n" + mark("corpus") + "## Servers\n\nold\n\n" + mark("other") + "## Other\n"
	if got, want := sectionOf(page, "corpus"), "## Servers\n\nold"; got != want {
		t.Errorf("section %q, want %q", got, want)
	}
	if got := sectionOf(page, "none"); got != "" {
		t.Errorf("a section that is not there: %q", got)
	}
	if err := os.WriteFile(s.out, []byte(page), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := s.write(); err != nil { // nothing is done
		t.Fatal(err)
	}
	got, err := os.ReadFile(s.out)
	if want := pageHead + "\n" + mark("corpus") + "## Servers\n\nold\n"; err != nil || string(got) != want {
		t.Errorf("page %q (%v), want %q", got, err, want)
	}
	p := part{name: "p", cases: func(*soak) ([]testCase, error) { return nil, nil }, report: func(*soak, []outcome) string { return "## P\n\nnew" }}
	if got, err := s.section(p); err != nil || !strings.HasPrefix(got, "## P\n\n*") || !strings.HasSuffix(got, "*\n\nnew") {
		t.Errorf("section %q, %v", got, err)
	}
}

// How two images differ is told by path: what only one has, other content, another owner or time.
func TestDifferences(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "brickyard") // brickyard --home HOME --quiet files …
	if err := os.WriteFile(program, []byte("#!/bin/sh\nexec cat \"$2\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	s := &soak{ctx: t.Context(), program: program}
	home := func(name string, entries ...entry) caller {
		data, err := json.Marshal(entries)
		if err != nil {
			t.Fatal(err)
		}
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, data, 0o644); err != nil {
			t.Fatal(err)
		}
		return caller{s: s, home: p, dir: dir}
	}
	same, at := entry{Path: "/same", Digest: "x"}, time.Unix(1, 0).UTC()
	a := home("a", same, entry{Path: "/content", Digest: "x", Size: 1}, entry{Path: "/owner", UID: 1}, entry{Path: "/time", Time: at}, entry{Path: "/a"})
	b := home("b", same, entry{Path: "/content", Digest: "y", Size: 2}, entry{Path: "/owner"}, entry{Path: "/time", Time: at.Add(1)}, entry{Path: "/b"})
	got, err := differences(a, b, "A", "B")
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, line := range got {
		p, _, _ := strings.Cut(line, ":")
		paths = append(paths, p)
	}
	if want := []string{"/a", "/b", "/content", "/owner", "/time"}; !slices.Equal(paths, want) {
		t.Errorf("differ: %q, want %q", got, want)
	}
}

// A small part of the corpus, as make soak does it: a server of many packages, one program alone, and one that does not
// say what it should.
func TestCorpus(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can run this: make test as root")
	}
	t.Chdir("..")
	s, err := newSoak(t.Context(), options{seed: 1, dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	find := func(name string) subject {
		i := slices.IndexFunc(subjects(), func(s subject) bool { return s.name == name })
		if i < 0 {
			t.Fatalf("the corpus has no %s", name)
		}
		return subjects()[i]
	}
	wrong := find("busybox-httpd")
	wrong.name, wrong.wait = "wrong", time.Second
	wrong.ask = get("80", "/", 200, "something else")
	for _, tt := range []struct {
		sub      subject
		answered bool
	}{{find("busybox-httpd"), true}, {wrong, false}, {find("memcached"), true}} {
		found, err := s.prove(tt.sub)
		if err != nil {
			t.Fatal(err)
		}
		if !found.Same || found.Answered != tt.answered || found.ok() != tt.answered || found.Packages == 0 || found.Unpacked == 0 {
			t.Errorf("%s: %+v", tt.sub.name, found)
		}
	}
}
