// Package schema has the JSON Schemas (draft 2020-12) of the files that people write, so that their editors
// can complete and check them. They are generated from the Go types: run "go generate ./internal/bake/recipe".
package schema

import _ "embed"

//go:embed recipe.schema.json
var recipe string

// Recipe is the JSON Schema of recipe.yaml.
func Recipe() []byte { return []byte(recipe) }
