package main

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A jeosCase is one of the examples with just enough in it.
type jeosCase struct {
	Example string   `json:"example"` // directory below examples
	Recipe  string   `json:"recipe"`  // its text
	Limit   int64    `json:"limit"`   // bytes, unpacked
	Peer    []string `json:"peer"`    // arguments of mmdebstrap for the nearest that it makes
	subject subject  // how it is asked
}

// jeosFound is what was measured, in bytes of the content of files.
type jeosFound struct {
	Example string `json:"example"`
	Bytes   int64  `json:"bytes"`
	Files   int    `json:"files"`
	Stored  int64  `json:"stored"` // its layers, compressed
	Limit   int64  `json:"limit"`
	Peer    string `json:"peer"`
	Theirs  int64  `json:"theirs"`
	Answer  string `json:"answer"`
	Problem string `json:"problem,omitempty"`
}

func jeosCases(s *soak) ([]testCase, error) {
	list := []jeosCase{
		{Example: "jeos-static", Limit: 2_200_000, Peer: []string{"--variant=extract", "--include=busybox-static"},
			subject: subject{ports: []string{"8080"}, ask: get("8080", "/", 200, "Just enough")}},
		{Example: "jeos-program", Limit: 15_000_000, Peer: []string{"--variant=extract", "--include=tinyproxy-bin,libc6,libgcc-s1,gcc-12-base"},
			subject: subject{ports: []string{"8888"}, ask: talk("a page that can't be had without a network", "8888", ">GET http://x.example/ HTTP/1.0\r\n\r\n", `<(?s)^HTTP/1\.[01] 500 .*tinyproxy`)}},
		{Example: "jeos-dpkg", Limit: 60_000_000, Peer: []string{"--variant=essential"},
			subject: subject{tool: []string{"sh", "-c", "dpkg --audit && dpkg --version"}, says: `Debian 'dpkg' .* version [0-9.]+`}},
	}
	var cases []testCase
	for _, c := range list {
		text, err := os.ReadFile(filepath.Join("examples", c.Example, "recipe.yaml"))
		if err != nil {
			return nil, err
		}
		c.Recipe = string(text)
		cases = append(cases, testCase{id: c.Example, definition: c, run: func() (any, bool, error) {
			f, err := s.measureJeos(c)
			return f, err == nil && f.Problem == "" && f.Bytes <= f.Limit, err
		}})
	}
	return cases, nil
}

// measureJeos bakes an example, runs it, and weighs it beside the peer's.
func (s *soak) measureJeos(c jeosCase) (*jeosFound, error) {
	dir := filepath.Join(s.dir, "jeos", c.Example)
	if err := errors.Join(remove(dir), os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "recipe.yaml"), []byte(c.Recipe), 0o644)); err != nil {
		return nil, err
	}
	ours := caller{s: s, home: s.ownHome("jeos"), dir: dir}
	if _, err := ours.call("lock", "recipe.yaml"); err != nil {
		return nil, err
	}
	image, err := ours.call("bake", "recipe.yaml")
	if err != nil {
		return nil, err
	}
	f := &jeosFound{Example: c.Example, Limit: c.Limit, Peer: "mmdebstrap " + strings.Join(c.Peer, " ")}
	var run corpusFound
	if c.subject.tool != nil {
		err = run.runTool(ours, c.subject, image)
	} else {
		err = run.serve(ours, c.subject, image, filepath.Join(dir, "log"))
	}
	if f.Answer = run.Answer; err != nil {
		f.Problem = err.Error()
	}
	if _, err := ours.call("export", image, "--format", "rootfs", "--to", "ours.tar"); err != nil {
		return nil, err
	}
	argv := append([]string{"--quiet", "--mode=root", "--format=tar"}, c.Peer...)
	argv = append(argv, osRelease("VERSION_CODENAME"), filepath.Join(dir, "theirs.tar"))
	if out, err := exec.CommandContext(s.ctx, "mmdebstrap", argv...).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("mmdebstrap: %w\n%s", err, out)
	}
	if f.Bytes, f.Files, err = contentOf(filepath.Join(dir, "ours.tar")); err != nil {
		return nil, err
	}
	if f.Theirs, _, err = contentOf(filepath.Join(dir, "theirs.tar")); err != nil {
		return nil, err
	}
	out, err := ours.call("inspect", image, "--json")
	if err != nil {
		return nil, err
	}
	var answer struct {
		Record struct{ Layers []struct{ Size int64 } }
	}
	err = json.Unmarshal([]byte(out), &answer)
	for _, l := range answer.Record.Layers {
		f.Stored += l.Size
	}
	return f, errors.Join(err, remove(dir))
}

// contentOf adds up the content of the regular files in a tar file; other names of a file count once.
func contentOf(name string) (size int64, files int, err error) {
	in, err := os.Open(name)
	if err != nil {
		return 0, 0, err
	}
	defer in.Close()
	for tr := tar.NewReader(in); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return size, files, nil
		}
		if err != nil {
			return 0, 0, fmt.Errorf("%s: %w", name, err)
		}
		if h.Typeflag == tar.TypeReg {
			size += h.Size
			files++
		}
	}
}

func jeosReport(s *soak, outcomes []outcome) string {
	var b strings.Builder
	b.WriteString(`## Just enough

Examples of this repository with as little in them as does, each run and asked, beside the nearest that mmdebstrap makes. Bytes are those
of the content of files, unpacked.

| example | MB | files | limit | stored, compressed | mmdebstrap's | ratio | answered |
|---|---:|---:|---:|---:|---:|---:|---|
`)
	for _, o := range outcomes {
		var f jeosFound
		if err := json.Unmarshal(o.Found, &f); err != nil {
			f.Problem = err.Error()
		}
		answered := "yes"
		if f.Problem != "" {
			answered = "no"
		}
		fmt.Fprintf(&b, "| [%s](../examples/%s/recipe.yaml) | %.2f | %d | %.1f | %.2f MB | %.2f MB (`%s`) | %.2f | %s |\n",
			f.Example, f.Example, mega(f.Bytes), f.Files, mega(f.Limit), mega(f.Stored), mega(f.Theirs), f.Peer, float64(f.Bytes)/float64(f.Theirs), answered)
	}
	return b.String()
}

func mega(n int64) float64 { return float64(n) / 1e6 }
