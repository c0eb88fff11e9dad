// Package arch holds the rules of the house as tests: who may import whom, who may print. They parse the
// files themselves: a test that asked "go list" would be cached as passed.
package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "brickyard/"

// mayImport says, for each wing of the house, which other wings its packages may import. A wing is a
// directory of the module or below internal, with all that is in it. What is not here may not be.
var mayImport = map[string][]string{
	"tree":    {},
	"userns":  {},
	"binfmt":  {},
	"store":   {"tree"},
	"bake":    {"store", "tree", "userns", "binfmt"},
	"catalog": {"store", "tree"},
	"deliver": {"catalog", "bake", "store", "tree", "userns", "binfmt"},
	"watch":   {"catalog", "bake", "store", "tree", "userns"},
	"gate":    {"catalog", "bake", "store", "tree", "userns"},
	"cli":     {"deliver", "watch", "gate", "catalog", "bake", "store", "tree", "userns", "schema"},
	"schema":  {},
	"arch":    {},
	"cmd":     {"cli"},
}

// onlyForTests are packages that nothing but tests may import.
func onlyForTests(importPath string) bool { return strings.HasSuffix(importPath, "test") }

// processes are the files that run, all or part of them, as another process than the command: the program
// starts itself again inside a sandbox or a namespace. There they are their own main.
var processes = map[string]string{
	"internal/userns/userns.go":            "becomes the same command in a user namespace: same arguments, environment and terminal",
	"internal/bake/rootfs/sandbox.go":      "names the sandbox's process as this one is named",
	"internal/bake/rootfs/sandbox_init.go": "is the first process of the sandbox",
	"internal/deliver/host/init.go":        "is the first process of an instance's namespaces",
	"internal/deliver/host/reap.go":        "cleans up after a command that was killed",
	"internal/deliver/host/stdio.go":       "gives the command's terminal to an instance in the foreground",
	"internal/deliver/host/testdata/prog":  "is a program",
	"internal/bake/apt/apttest":            "is for tests",
	"internal/catalog/indextest":           "is for tests",
	"bench":                                "is a program of its own, which measures this one",
	"soak":                                 "is a program of its own, which proves this one",
}

// A file is one parsed Go file.
type file struct {
	name string // below the root of the module, with slashes
	fset *token.FileSet
	ast  *ast.File
}

func (f *file) test() bool  { return strings.HasSuffix(f.name, "_test.go") }
func (f *file) dir() string { return path.Dir(f.name) }
func (f *file) at(n ast.Node) string {
	return f.name + ":" + strconv.Itoa(f.fset.Position(n.Pos()).Line)
}

// imports maps the names that packages have in the file to their import paths.
func (f *file) imports() map[string]string {
	m := map[string]string{}
	for _, spec := range f.ast.Imports {
		p, _ := strconv.Unquote(spec.Path.Value)
		name := path.Base(p)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		m[name] = p
	}
	return m
}

// wing is the part of the house that a directory or import path is in.
func wing(p string) string {
	p = strings.TrimPrefix(p, module)
	first, rest, _ := strings.Cut(p, "/")
	if first == "internal" {
		first, _, _ = strings.Cut(rest, "/")
	}
	return first
}

// parse reads all Go files of the module.
func parse(t *testing.T) []*file {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "go.mod")); err != nil {
		t.Fatal(err)
	}
	var files []*file
	fset := token.NewFileSet()
	err = filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && p != root && (strings.HasPrefix(d.Name(), ".") || exists(filepath.Join(p, "go.mod"))) {
			return fs.SkipDir
		}
		if d.IsDir() || filepath.Ext(p) != ".go" {
			return nil
		}
		tree, err := parser.ParseFile(fset, p, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		files = append(files, &file{filepath.ToSlash(rel), fset, tree})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 20 {
		t.Fatalf("found %d files: this is not the module", len(files))
	}
	return files
}

func exists(p string) bool {
	_, err := os.Stat(p)
	return err == nil
}

func TestImportsRunDown(t *testing.T) {
	for _, f := range parse(t) {
		for _, p := range f.imports() {
			if !strings.HasPrefix(p, module) {
				continue
			}
			if why := forbidden(f, p); why != "" {
				t.Errorf("%s imports %s: %s", f.name, p, why)
			}
		}
	}
}

// forbidden says why a file may not import the package p, or "".
func forbidden(f *file, p string) string {
	from, to := wing(f.dir()), wing(p)
	allowed, known := mayImport[from]
	switch {
	case !known:
		return "the house has no wing " + from
	case f.test() && from == "cmd":
		return "" // end to end: it sees everything
	case onlyForTests(p) && !f.test() && !onlyForTests(f.dir()):
		return "that is for tests"
	case from != to && !slices.Contains(allowed, to):
		return "the house does not have " + from + " stand on " + to
	}
	return ""
}

func TestTheRuleForImportsCanFail(t *testing.T) {
	for _, tt := range []struct {
		file, imports string
		allowed       bool
	}{
		{"internal/tree/x.go", "brickyard/internal/store", false},
		{"internal/store/tarball/x.go", "brickyard/internal/tree", true},
		{"internal/catalog/index/x.go", "brickyard/internal/bake/recipe", false},
		{"internal/bake/x.go", "brickyard/internal/catalog/index", false},
		{"internal/bake/x.go", "brickyard/internal/bake/recipe", true},
		{"internal/deliver/host/x.go", "brickyard/internal/cli", false},
		{"internal/deliver/host/x.go", "brickyard/internal/catalog/index", true},
		{"internal/cli/x.go", "brickyard/internal/catalog/indextest", false},
		{"internal/cli/x_test.go", "brickyard/internal/catalog/indextest", true},
		{"internal/util/x.go", "brickyard/internal/tree", false},
		{"cmd/brickyard/main.go", "brickyard/internal/store", false},
		{"cmd/brickyard/x_test.go", "brickyard/internal/store", true},
	} {
		if why := forbidden(&file{name: tt.file}, tt.imports); (why == "") != tt.allowed {
			t.Errorf("%s imports %s: %q, want allowed %v", tt.file, tt.imports, why, tt.allowed)
		}
	}
}

// world is what only cli may touch: the program's output, its arguments, its environment, its end.
var world = map[string][]string{
	"fmt": {"Print", "Printf", "Println", "Scan", "Scanf", "Scanln"},
	"os":  {"Args", "Stdin", "Stdout", "Stderr", "Exit", "Getenv", "LookupEnv", "Environ", "Setenv", "Unsetenv", "ExpandEnv"},
}

// noImport are packages for which there is another way.
var noImport = map[string]string{
	"log":       "libraries take a *slog.Logger",
	"flag":      "only cli reads flags, with cobra",
	"io/ioutil": "use io and os",
	"unsafe":    "nothing here is worth it",
	"C":         "the program is built without cgo",
}

func TestOnlyCLITouchesTheWorld(t *testing.T) {
	for _, f := range parse(t) {
		if f.test() || wing(f.dir()) == "cli" || wing(f.dir()) == "cmd" || excused(f) {
			continue
		}
		for _, use := range worldly(f) {
			t.Errorf("%s: only cli may do that", use)
		}
	}
}

func excused(f *file) bool {
	for dir := f.name; dir != "."; dir = path.Dir(dir) {
		if processes[dir] != "" {
			return true
		}
	}
	return false
}

func TestExcusesAreStillNeeded(t *testing.T) {
	for name := range processes {
		if !exists(filepath.Join("../..", name)) {
			t.Errorf("%s is not there", name)
		}
	}
}

// worldly lists the uses of world in a file.
func worldly(f *file) []string {
	var uses []string
	imports := f.imports()
	ast.Inspect(f.ast, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := sel.X.(*ast.Ident); ok && slices.Contains(world[imports[x.Name]], sel.Sel.Name) {
			uses = append(uses, f.at(n)+": "+x.Name+"."+sel.Sel.Name)
		}
		return true
	})
	return uses
}

func TestWorldlyCanFail(t *testing.T) {
	fset := token.NewFileSet()
	tree, err := parser.ParseFile(fset, "x.go", `package x
import ("fmt"; system "os")
func f() { fmt.Println(system.Getenv("HOME")); fmt.Sprint("no"); system.Exit(1) }`, 0)
	if err != nil {
		t.Fatal(err)
	}
	got := worldly(&file{"x.go", fset, tree})
	want := []string{"x.go:3: fmt.Println", "x.go:3: system.Getenv", "x.go:3: system.Exit"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestPackagesThatNobodyImports(t *testing.T) {
	for _, f := range parse(t) {
		for _, p := range f.imports() {
			if why := noImport[p]; why != "" && !f.test() && !excused(f) {
				t.Errorf("%s imports %q: %s", f.name, p, why)
			}
		}
	}
}

func TestNoInitFunctions(t *testing.T) {
	for _, f := range parse(t) {
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" && !f.test() {
				t.Errorf("%s: func init: nothing happens before main", f.at(d))
			}
		}
	}
}

func TestEveryPackageIsDocumented(t *testing.T) {
	docs := map[string]string{}
	for _, f := range parse(t) {
		if f.test() || strings.Contains(f.name, "testdata/") {
			continue
		}
		docs[f.dir()] += f.ast.Doc.Text()
		if name := f.ast.Name.Name; f.ast.Doc != nil && name != "main" && !strings.HasPrefix(f.ast.Doc.Text(), "Package "+name+" ") {
			t.Errorf("%s: the package's comment does not begin with \"Package %s\"", f.name, name)
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(docs)) {
		if docs[dir] == "" {
			t.Errorf("%s: no comment says what the package is for", dir)
		}
	}
}

func TestNoCatchAllPackages(t *testing.T) {
	for _, f := range parse(t) {
		switch name := path.Base(f.dir()); name {
		case "util", "utils", "common", "types", "helpers", "misc", "pkg":
			t.Errorf("%s: %q says nothing", f.name, name)
		}
	}
}
