package recipe

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// validRecipes are the recipes in testdata and the examples, all of which must load.
func validRecipes(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob("testdata/valid/*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no valid recipes: %v", err)
	}
	examples, err := filepath.Glob("../../../examples/*/recipe.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return append(paths, examples...)
}

func TestRenderIsTheSameRecipe(t *testing.T) {
	for _, path := range validRecipes(t) {
		r, err := Load(path, Options{})
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		checkRender(t, r, os.ReadFile)
	}
}

// checkRender loads what r renders as and compares.
func checkRender(t *testing.T, r *Recipe, readFile func(string) ([]byte, error)) {
	t.Helper()
	text := r.Render()
	again, err := Load(r.Path, Options{ReadFile: func(p string) ([]byte, error) {
		if p == r.Path {
			return text, nil
		}
		return readFile(p)
	}})
	if err != nil {
		t.Fatalf("%v\nrendered as\n%s", err, text)
	}
	if diff := cmp.Diff(withoutPlaces(*r), withoutPlaces(*again)); diff != "" {
		t.Errorf("loaded and rendered differ (-loaded +rendered):\n%s\nrendered as\n%s", diff, text)
	}
	if got, want := string(again.Render()), string(text); got != want {
		t.Errorf("rendered twice:\n%s", cmp.Diff(want, got))
	}
	if got, want := again.Request(), r.Request(); got != want {
		t.Errorf("request of the rendered recipe: got %s, want %s", got, want)
	}
}

func withoutPlaces(r Recipe) Recipe {
	r.Lines, r.Columns, r.Params = nil, nil, nil
	return r
}
