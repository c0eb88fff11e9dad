package schema

import (
	"encoding/json"
	"testing"
)

func TestRecipe(t *testing.T) {
	var s struct {
		Schema string `json:"$schema"`
		Title  string
	}
	if err := json.Unmarshal(Recipe(), &s); err != nil {
		t.Fatal(err)
	}
	if s.Schema != "https://json-schema.org/draft/2020-12/schema" || s.Title == "" {
		t.Errorf("got schema %q, title %q", s.Schema, s.Title)
	}
	Recipe()[0] = 'x'
	if Recipe()[0] != '{' {
		t.Error("a caller can change the schema")
	}
}
