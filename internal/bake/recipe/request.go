package recipe

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
)

// Request is "sha256:…" of only those parts of the recipe that decide what lock resolves: where from, the
// archives and pins, the packages, the addresses of files from elsewhere, and the content of keys and of
// packages beside the recipe. A lock whose Request differs was made for something else.
func (r *Recipe) Request() string {
	type key struct{ Path, SHA256 string }
	keysOf := func(paths []string) []key {
		keys := make([]key, len(paths))
		for i, p := range paths {
			keys[i] = key{p, r.Digests[p]}
		}
		return keys
	}
	request := struct {
		Format     int // of this very structure
		From       From
		Keys       []key
		Archives   []Archive
		Pins       []Pin
		Packages   []string
		Locals     []key
		Recommends bool
		URLs       []string
	}{Format: 1, From: r.From, Keys: keysOf(r.From.Keys), Pins: r.Pins, Recommends: r.Recommends, URLs: r.URLs()}
	request.Archives = slices.SortedFunc(slices.Values(r.Archives), func(a, b Archive) int { return cmp.Compare(a.Name, b.Name) })
	for _, a := range request.Archives {
		request.Keys = append(request.Keys, keysOf(a.Keys)...)
	}
	for _, p := range r.Packages {
		if p.File != "" {
			request.Locals = append(request.Locals, key{p.File, r.Digests[p.File]})
		} else {
			request.Packages = append(request.Packages, p.String())
		}
	}
	slices.Sort(request.Packages)
	slices.SortFunc(request.Locals, func(a, b key) int { return cmp.Compare(a.Path, b.Path) })
	data, err := json.Marshal(request) // structs in the order of their fields, maps sorted
	if err != nil {
		panic(fmt.Sprintf("recipe: request: %v", err)) // there are only strings, numbers and truths in it
	}
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}
