package index

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"brickyard/internal/tree"

	"github.com/rogpeppe/go-internal/diff"
)

// A Diff says how two images differ.
type Diff struct {
	A, B     Record
	Packages []PackageChange
	Files    []tree.Change
	Config   []ConfigChange
}

// A ConfigChange is one part of the OCI configuration that two images do not agree on.
type ConfigChange struct {
	Key string          `json:"key"`           // as "Cmd", "Env.PATH", "Labels.org.example.team"
	Old json.RawMessage `json:"old,omitempty"` // nil when only the second has it
	New json.RawMessage `json:"new,omitempty"`
}

// Diff compares the images a and b.
func (c *Catalog) Diff(a, b Record) (*Diff, error) {
	d := &Diff{A: a, B: b, Packages: ComparePackages(a.Packages, b.Packages)}
	rootA, err := c.Root(a)
	if err != nil {
		return nil, err
	}
	rootB, err := c.Root(b)
	if err != nil {
		return nil, err
	}
	d.Files = tree.Compare(rootA, rootB)
	configA, err := c.flatConfig(a.Config)
	if err != nil {
		return nil, err
	}
	configB, err := c.flatConfig(b.Config)
	if err != nil {
		return nil, err
	}
	d.Config = compareConfigs(configA, configB)
	return d, nil
}

// flatConfig reads what of a configuration matters when the image runs, keys that OCI does not know
// included. It maps keys as in ConfigChange to compact JSON.
func (c *Catalog) flatConfig(d tree.Digest) (map[string]string, error) {
	var doc struct {
		Architecture string         `json:"architecture"`
		OS           string         `json:"os"`
		Variant      string         `json:"variant"`
		Config       map[string]any `json:"config"`
	}
	if err := c.readJSON(d, maxConfig, &doc); err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	if env, ok := doc.Config["Env"].([]any); ok {
		vars := map[string]any{}
		for _, v := range env {
			name, value, _ := strings.Cut(fmt.Sprint(v), "=")
			vars[name] = value
		}
		doc.Config["Env"] = vars
	}
	flat := map[string]string{}
	for key, v := range doc.Config {
		parts, ok := v.(map[string]any)
		if !ok {
			parts = map[string]any{"": v}
		}
		for sub, v := range parts {
			text, err := json.Marshal(v)
			if err != nil {
				return nil, err
			}
			flat[strings.TrimSuffix(key+"."+sub, ".")] = string(text)
		}
	}
	for key, v := range map[string]string{"architecture": doc.Architecture, "os": doc.OS, "variant": doc.Variant} {
		if v != "" {
			flat[key] = fmt.Sprintf("%q", v)
		}
	}
	return flat, nil
}

func compareConfigs(a, b map[string]string) []ConfigChange {
	keys := maps.Clone(a)
	maps.Copy(keys, b)
	var cs []ConfigChange
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		if a[k] != b[k] {
			cs = append(cs, ConfigChange{k, raw(a[k]), raw(b[k])})
		}
	}
	return cs
}

func raw(s string) json.RawMessage {
	if s == "" {
		return nil
	}
	return json.RawMessage(s)
}

// maxText is how large a file may be, in bytes, for its content to be compared line by line.
const maxText = 256 << 10

// Text returns, for each changed file of d that is text in both images and has at most 256 KiB, how its
// lines differ, as a unified diff (POSIX diff -u) under its path. Of several names of a file it takes the first.
func (c *Catalog) Text(ctx context.Context, d *Diff) (map[string]string, error) {
	old, new := tree.Tree{}, tree.Tree{}
	for _, ch := range d.Files {
		if ch.Kind == tree.Changed && isSmall(ch.Old) && isSmall(ch.New) && ch.New.Hard == "" {
			old[ch.Path], new[ch.Path] = ch.Old, ch.New
		}
	}
	a, err := c.Contents(ctx, d.A, old)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	b, err := c.Contents(ctx, d.B, new)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	texts := map[string]string{}
	for _, p := range old.Paths() {
		x, err := readText(a, old[p])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", Abs(p), err)
		}
		y, err := readText(b, new[p])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", Abs(p), err)
		}
		if isText(x) && isText(y) {
			texts[p] = unified(p, x, y)
		}
	}
	return texts, nil
}

func isSmall(e tree.Entry) bool { return e.Type == tree.Regular && e.Size <= maxText }

func readText(k *Contents, e tree.Entry) ([]byte, error) {
	r, err := k.Open(e)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// isText says whether b is UTF-8 without control characters that no text has.
func isText(b []byte) bool {
	return utf8.Valid(b) && !bytes.ContainsFunc(b, func(r rune) bool { return unicode.IsControl(r) && !strings.ContainsRune("\t\n\r\f", r) })
}

func unified(p string, a, b []byte) string {
	text := string(diff.Diff("a/"+p, a, "b/"+p, b))
	_, text, _ = strings.Cut(text, "\n") // the line "diff a b" is none of the format's
	return text
}
