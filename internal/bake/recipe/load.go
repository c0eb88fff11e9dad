package recipe

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
)

// Options says how to load a recipe.
type Options struct {
	Set    map[string]string // values of parameters by name; they win over those of Values
	Values string            // path of a YAML mapping of parameters; "" for none
	// ReadFile, if set, reads all files instead of the disk, which is then not looked at: whether trees and
	// base recipes exist stays unknown.
	ReadFile func(path string) ([]byte, error)
}

// Load reads the recipe at path, with its parameters resolved and everything checked.
//
// Errors: [Problems] for what is wrong in the recipe or the values; else that of reading either.
func Load(path string, opts Options) (*Recipe, error) {
	data, err := opts.read(path, maxRecipeBytes)
	if err != nil {
		return nil, err
	}
	values := map[string]given{}
	valuesRep := &reporter{file: opts.Values}
	if opts.Values != "" {
		text, err := opts.read(opts.Values, maxRecipeBytes)
		if err != nil {
			return nil, err
		}
		values = readValues(text, valuesRep)
	}
	for name, value := range opts.Set {
		values[name] = given{value: value}
	}
	rep := &reporter{file: path}
	r := decodeRecipe(data, path, values, rep, opts)
	if err := joinProblems(rep.err(), valuesRep.err()); err != nil {
		return nil, err
	}
	return r, nil
}

// joinProblems is both as one list, or nil.
func joinProblems(errs ...error) error {
	var all Problems
	for _, err := range errs {
		if ps, ok := errors.AsType[Problems](err); ok {
			all = append(all, ps...)
		}
	}
	if all == nil {
		return nil
	}
	return all
}

// decodeRecipe turns text into a recipe; what is wrong goes to rep.
func decodeRecipe(data []byte, path string, values map[string]given, rep *reporter, opts Options) *Recipe {
	root := parseYAML(data, rep)
	if root == nil {
		return nil
	}
	d := newDecoder(rep)
	params := d.decodeParams(root)
	s := &substituter{rep: rep, params: params, values: d.resolveParams(params, values)}
	rest := *root
	rest.entries = nil
	for _, e := range root.entries {
		if e.key != "params" {
			s.node(e.value)
			rest.entries = append(rest.entries, e)
		}
	}
	r := &Recipe{Dir: filepath.Dir(path), Path: path, Lines: map[string]int{}, Columns: map[string]int{}}
	d.structure(&rest, reflect.ValueOf(r).Elem(), "")
	r.Params = params
	for place, p := range d.places {
		r.Lines[place], r.Columns[place] = p.line, p.column
	}
	c := &checker{decoder: d, r: r, opts: opts}
	c.recipe()
	return r
}

// read returns the file at path, which must be smaller than limit bytes.
func (o Options) read(path string, limit int64) ([]byte, error) {
	if o.ReadFile != nil {
		data, err := o.ReadFile(path)
		if err == nil && int64(len(data)) > limit {
			err = tooLarge(path, limit)
		}
		return data, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, tooLarge(path, limit)
	}
	return data, nil
}

func tooLarge(path string, limit int64) error {
	return Problems{{File: path, Message: fmt.Sprintf("larger than %d MiB", limit>>20)}}
}

// ParseSets reads "name=value" as the command line gives them.
func ParseSets(sets []string) (map[string]string, error) {
	values := map[string]string{}
	for _, s := range sets {
		name, value, ok := strings.Cut(s, "=")
		if !ok || !paramName.MatchString(name) {
			return nil, fmt.Errorf("%q is not name=value", s)
		}
		if _, twice := values[name]; twice {
			return nil, fmt.Errorf("parameter %s is set twice", name)
		}
		values[name] = value
	}
	return values, nil
}

// checkSources reports the files beside the recipe that aren't there, aren't what they should be, or
// lie elsewhere, and notes the digests of those that decide what is locked.
func (c *checker) checkSources(sources map[string]source) {
	c.r.Digests = map[string]string{}
	var root *os.Root
	if c.opts.ReadFile == nil && len(sources) > 0 {
		var err error
		if root, err = os.OpenRoot(c.r.Dir); err != nil {
			c.rep.add(pos{}, "", "%v", err)
			return
		}
		defer root.Close()
	}
	for _, place := range slices.Sorted(maps.Keys(sources)) {
		s := sources[place]
		if s.path == "" {
			continue // reported as missing or of a wrong type
		}
		if !filepath.IsLocal(s.path) || strings.ContainsFunc(s.path, isControl) {
			c.bad(place, "name a file below it", "%s: %q is not within the recipe's directory", place, s.path)
			continue
		}
		if err := c.checkSource(root, s); err != nil {
			c.bad(place, "", "%s: %v", place, err)
		}
	}
}

// A source is a file or directory beside the recipe.
type source struct {
	path   string
	dir    bool // a directory is wanted
	locked bool // its content decides what is locked
}

func (c *checker) checkSource(root *os.Root, s source) error {
	if root == nil {
		if s.dir {
			return nil
		}
		data, err := c.opts.ReadFile(filepath.Join(c.r.Dir, s.path))
		if err == nil && s.locked {
			sum := sha256.Sum256(data)
			c.r.Digests[s.path] = hex.EncodeToString(sum[:])
		}
		return err
	}
	info, err := root.Stat(s.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("no %s beside the recipe", s.path)
	case err != nil:
		return err // leaves the directory by a symbolic link, for one
	case s.dir && !info.IsDir():
		return fmt.Errorf("%s is not a directory", s.path)
	case !s.dir && !info.Mode().IsRegular():
		return fmt.Errorf("%s is not a regular file", s.path)
	case !s.locked:
		return nil
	}
	f, err := root.Open(s.path)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	c.r.Digests[s.path] = hex.EncodeToString(h.Sum(nil))
	return nil
}
