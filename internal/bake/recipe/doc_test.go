package recipe

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

const docPath = "../../../docs/recipe.md"

func readDoc(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(docPath)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Every example loads, completed with a name and a from where it has none, and follows the schema.
func TestDocumentedExamples(t *testing.T) {
	s := compileSchema(t)
	examples := regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$").FindAllStringSubmatch(readDoc(t), -1)
	if len(examples) < 10 {
		t.Fatalf("only %d examples", len(examples))
	}
	for _, m := range examples {
		text := m[1]
		if !strings.HasPrefix(text, "name:") {
			text += head
		}
		_, err := Load("recipe.yaml", Options{ReadFile: func(path string) ([]byte, error) {
			if path == "recipe.yaml" {
				return []byte(text), nil
			}
			return []byte(path), nil // whatever an example has beside it
		}})
		if err != nil {
			t.Errorf("%v\nin the example\n%s", err, text)
			continue
		}
		if err := validate(t, s, text); err != nil {
			t.Errorf("%v\nin the example\n%s", err, text)
		}
	}
}

// The page says something about every key, kind, rule and word.
func TestDocumentationIsComplete(t *testing.T) {
	text := readDoc(t)
	var names []string
	for _, typ := range recipeTypes {
		for key := range structKeys(typ) {
			names = append(names, key)
		}
	}
	for _, list := range [][]string{names, slimNames(), ruleNames(), severities, lifecycles, scripts, variants, ParamTypes} {
		for _, name := range list {
			if !strings.Contains(text, "`"+name+"`") && !regexp.MustCompile(`(?m)(^|[{, ])`+regexp.QuoteMeta(name)+`: `).MatchString(text) {
				t.Errorf("%s isn't in docs/recipe.md", name)
			}
		}
	}
	for _, r := range rules {
		if !strings.Contains(text, "| `"+r.Name+"` | "+r.Severity+" |") {
			t.Errorf("rule %s isn't in docs/recipe.md as %s", r.Name, r.Severity)
		}
	}
}
