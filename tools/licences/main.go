// Command licences reads the licences of all modules that go into the program and its tests, in the
// module at the directory given, prints them, and exits with 1 when one is missing or not a permissive one.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// A licence is known by a few words that no other one has, all of which must be in the text.
// Those that are not permissive go first, so that a text of several is one of them.
var known = []struct {
	name  string
	words []string
}{
	{"MPL-2.0", []string{"Mozilla Public License"}},
	{"GPL", []string{"GNU GENERAL PUBLIC LICENSE"}},
	{"LGPL", []string{"GNU LESSER GENERAL PUBLIC LICENSE"}},
	{"AGPL", []string{"GNU AFFERO GENERAL PUBLIC LICENSE"}},
	{"Apache-2.0", []string{"Apache License", "Version 2.0"}},
	{"BSD-3-Clause", []string{"Redistribution and use in source and binary forms", "promote products derived from"}},
	{"BSD-2-Clause", []string{"Redistribution and use in source and binary forms"}},
	{"ISC", []string{"Permission to use, copy, modify, and/or distribute"}},
	{"MIT", []string{"Permission is hereby granted, free of charge", "WITHOUT WARRANTY OF ANY KIND"}},
	{"MIT-0", []string{"Permission is hereby granted, free of charge"}},
	{"Unlicense", []string{"This is free and unencumbered software"}},
	{"CC0-1.0", []string{"CC0 1.0 Universal"}},
	{"0BSD", []string{"Permission to use, copy, modify, and distribute"}},
	{"blessing", []string{"dedicated to the public domain"}}, // SQLite's
}

// permissive are those that ask for nothing but their notice.
var permissive = map[string]bool{
	"Apache-2.0": true, "BSD-2-Clause": true, "BSD-3-Clause": true, "ISC": true, "MIT": true, "MIT-0": true,
	"Unlicense": true, "CC0-1.0": true, "0BSD": true, "blessing": true,
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: licences MODULE-DIRECTORY")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "licences:", err)
		os.Exit(1)
	}
}

// A module is what go list says of one.
type module struct{ Path, Version, Dir string }

func run(dir string, w io.Writer) error {
	mods, err := modules(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, m := range mods {
		name, err := licence(m.Dir)
		if err == nil && !permissive[name] {
			err = fmt.Errorf("%s is not permissive", name)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", m.Path, err))
			continue
		}
		fmt.Fprintf(w, "%-14s%s %s\n", name, m.Path, m.Version)
	}
	if len(mods) == 0 {
		errs = append(errs, errors.New("no modules: that can't be"))
	}
	return errors.Join(errs...)
}

// modules lists those that packages and tests of the module in dir import, each once.
func modules(dir string) ([]module, error) {
	cmd := exec.Command("go", "list", "-deps", "-test", "-json=Module", "./...")
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	var mods []module
	seen := map[string]bool{}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			Module *struct {
				module
				Main bool
			}
		}
		if err := d.Decode(&p); err == io.EOF {
			return mods, nil
		} else if err != nil {
			return nil, err
		}
		if p.Module != nil && !p.Module.Main && !seen[p.Module.Path] {
			seen[p.Module.Path] = true
			mods = append(mods, p.Module.module)
		}
	}
}

// notOfCode end the names of files that say nothing of the code we take: licences of documents and pictures, code, and lists of
// what the modules have that a module depends on, which are looked at themselves.
var notOfCode = []string{".docs", "-LOGO", ".go", "-3RD-PARTY.md"}

// licence names the licence that the files of the module in dir hold; of several, one that is not
// permissive goes first.
func licence(dir string) (string, error) {
	var found []string
	for _, pattern := range []string{"LICEN[CS]E*", "COPYING*", "licen[cs]e*"} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return "", err
		}
		for _, f := range files {
			if slices.ContainsFunc(notOfCode, func(end string) bool { return strings.HasSuffix(f, end) }) {
				continue
			}
			text, err := os.ReadFile(f)
			if err != nil {
				return "", err
			}
			found = append(found, recognise(string(text)))
		}
	}
	if len(found) == 0 {
		return "", errors.New("no licence")
	}
	for _, name := range found {
		if !permissive[name] {
			return name, nil
		}
	}
	return found[0], nil
}

// recognise names the licence of a text, "an unknown licence" when it is none of known.
func recognise(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	for _, k := range known {
		all := true
		for _, w := range k.words {
			all = all && strings.Contains(text, w)
		}
		if all {
			return k.name
		}
	}
	return "an unknown licence"
}
