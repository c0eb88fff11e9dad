package recipe

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

const schemaPath = "../../../schema/recipe.schema.json"

type object = map[string]any

// useDef is a text with a parameter in it, which may stand for any scalar.
var useDef = object{"type": "string", "pattern": `\$\{[a-z]`, "description": "text with a parameter in it, as ${port}"}

func ref(name string) object       { return object{"$ref": "#/$defs/" + name} }
func orUse(s object) object        { return object{"anyOf": []any{s, ref("use")}} }
func pattern(p string) object      { return orUse(object{"type": "string", "pattern": p}) }
func words(values []string) object { return orUse(object{"type": "string", "enum": values}) }
func number(least, most int) object {
	return orUse(object{"type": "integer", "minimum": least, "maximum": most})
}
func text() object              { return object{"type": "string"} }
func list(of object) object     { return object{"type": "array", "items": of} }
func anyOf(of ...any) object    { return object{"anyOf": of} }
func absolute() object          { return pattern(`^/`) }
func relative() object          { return pattern(`^[^/]`) }
func mapOf(value object) object { return object{"type": "object", "additionalProperties": value} }
func named(p string, v object) object {
	return object{"type": "object", "additionalProperties": false, "patternProperties": object{p: v}}
}

// schemaOf says more of a field than its type does: what Load checks and a schema can say.
var schemaOf = map[string]object{
	"Recipe.name":        pattern(recipeName),
	"Recipe.params":      named(paramName.String(), ref("Param")),
	"Recipe.services":    list(pattern(unitName)),
	"Recipe.delete":      list(absolute()),
	"Recipe.slim":        list(words(slimNames())),
	"Recipe.env":         named(envName, text()),
	"Recipe.workdir":     absolute(),
	"Recipe.ports":       named(portName, ref("Port")),
	"Recipe.stop_signal": pattern(signalName),
	"Recipe.state":       list(absolute()),
	"Recipe.lifecycle":   words(lifecycles),
	"Recipe.scripts":     words(scripts),
	"Recipe.lint": {"type": "object", "propertyNames": object{"enum": ruleNames()},
		"additionalProperties": words(severities)},
	"From.debian":     pattern(suiteName),
	"From.ubuntu":     pattern(suiteName),
	"From.rootfs":     relative(),
	"From.variant":    words(variants),
	"From.arch":       pattern(archOnly.String()),
	"From.mirror":     pattern(`^(https?|file)://`),
	"From.components": list(pattern(componentName)),
	"From.suites":     list(pattern(suiteName)),
	"From.keys":       list(relative()),
	"From.with":       mapOf(ref("any")),
	"From.scratch":    {"const": true},
	"Param.type":      {"enum": ParamTypes},
	"Param.default":   ref("any"),
	"Param.values":    list(ref("any")),
	"Archive.name":    pattern(recipeName),
	"Archive.uri":     pattern(`^(https?|file)://`),
	"Archive.suite":   pattern(archiveSuite),
	"Archive.keys":    {"type": "array", "minItems": 1, "items": relative()},
	"Pin.package":     pattern(pinName),
	"Pin.priority":    number(-32768, 32767),
	"User.name":       pattern(accountName),
	"User.uid":        number(0, maxID),
	"User.gid":        number(0, maxID),
	"User.home":       absolute(),
	"User.shell":      absolute(),
	"Group.name":      pattern(accountName),
	"Group.gid":       number(0, maxID),
	"Directory.path":  absolute(),
	"Directory.mode":  pattern(octalMode),
	"File.path":       absolute(),
	"File.source":     relative(),
	"File.tree":       relative(),
	"File.url":        pattern(`^https?://`),
	"File.mode":       pattern(octalMode),
	"Link.path":       absolute(),
	"Step.argv":       {"type": "array", "minItems": 1, "items": text()},
	"Step.creates":    absolute(),
	"Health.tcp":      number(1, 65535),
	"Health.retries":  number(1, 1000),
}

// described has what to say of a field that has no comment in Go.
var described = map[string]string{
	"Recipe.name": "what the image is called", "Recipe.from": "where the image starts", "Recipe.params": "parameters, used as ${name}",
	"Recipe.pins": "which version of a package is taken, as apt_preferences(5) says", "Recipe.packages": "Debian packages",
	"Recipe.recommends": "also take what packages recommend", "Recipe.users": "with ids that never change", "Recipe.groups": "with ids that never change",
	"Recipe.directories": "made with exactly this owner and mode", "Recipe.files": "inline, from beside the recipe, or from elsewhere",
	"Recipe.links": "symbolic links", "Recipe.env": "environment variables", "Recipe.workdir": "working directory",
	"Recipe.entrypoint": "program and arguments that are always there", "Recipe.command": "program or arguments that run can replace",
	"Recipe.stop_signal": "signal that asks to end, as SIGTERM", "Recipe.health": "how to tell that an instance is well",
	"Recipe.labels": "for people and programs; OCI annotations", "Recipe.owner": "who answers for the image",
	"Param.description": "for people", "Param.type": "string (default), int, bool, enum, port or path",
	"Archive.name": "what it is called in the lock", "Archive.uri": "where its dists directory is, or the flat archive",
	"Archive.components": "as main; none for a flat archive", "Pin.priority": "as in apt_preferences(5)",
	"User.name": "login", "User.uid": "user id", "User.groups": "more groups", "User.gecos": "full name or comment",
	"Group.name": "of the group", "Group.gid": "group id", "Group.system": "for a service, not for people",
	"Directory.path": "absolute", "Directory.group": "name or id; default root", "File.path": "absolute", "File.owner": "name or id; default root",
	"File.group": "name or id; default root", "Link.path": "absolute; where the link is", "Link.to": "what the link says",
	"Step.sh": "given to /bin/sh -c", "Step.argv": "executed as it is", "Health.tcp": "port that takes connections", "Health.exec": "command that succeeds",
	"Health.interval": "between two checks, as 10s", "Health.timeout": "of one check, as 2s", "Health.retries": "failures in a row before it counts",
}

// exclusive are the keys of which a mapping has exactly one.
var exclusive = map[string][]string{
	"From":   {"debian", "ubuntu", "base", "rootfs", "scratch"},
	"File":   {"content", "source", "tree", "url"},
	"Pin":    {"version", "release", "origin"},
	"Health": {"http", "tcp", "exec"},
	"Step":   {"sh", "argv"},
}

// generateSchema makes the JSON Schema of [Recipe].
func generateSchema(t *testing.T) []byte {
	t.Helper()
	g := generator{comments: fieldComments(t), defs: object{"use": useDef, "any": object{"type": []string{"string", "number", "boolean"}}}}
	root := g.structure(reflect.TypeFor[Recipe]())
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "recipe.yaml of Brickyard"
	root["$defs"] = g.defs
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(root); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

type generator struct {
	comments map[string]string // "File.mode" → the comment in recipe.go
	defs     object
}

// of is the schema of a type.
func (g *generator) of(t reflect.Type) object {
	switch t {
	case durationType:
		return pattern(`^([0-9.]+(ns|us|µs|ms|s|m|h))+$`)
	case reflect.TypeFor[Expiry]():
		return pattern(`^([1-9][0-9]{0,4}[dw]|[0-9]{4}-[0-9]{2}-[0-9]{2})$`)
	case reflect.TypeFor[Package]():
		return pattern(strings.TrimSuffix(packageEntry.String(), "$") + `$|^\./.+\.deb$`)
	case reflect.TypeFor[Port]():
		g.defs["Port"] = anyOf(object{"type": "integer", "minimum": 1, "maximum": 65535}, object{"type": "string", "pattern": portText.String()}, ref("use"))
		return ref("Port")
	}
	switch t.Kind() {
	case reflect.Struct:
		if g.defs[t.Name()] == nil {
			g.defs[t.Name()] = object{} // against endless recursion
			g.defs[t.Name()] = g.short(t, g.structure(t))
		}
		return ref(t.Name())
	case reflect.Pointer:
		return g.of(t.Elem())
	case reflect.Slice:
		return list(g.of(t.Elem()))
	case reflect.Map:
		return mapOf(g.of(t.Elem()))
	case reflect.Bool:
		return orUse(object{"type": "boolean"})
	case reflect.Int:
		return orUse(object{"type": "integer"})
	case reflect.String:
		return text()
	}
	panic("no schema for " + t.String())
}

// short adds the short forms that some types have.
func (g *generator) short(t reflect.Type, s object) object {
	switch t {
	case reflect.TypeFor[From]():
		return anyOf(object{"const": "scratch"}, s)
	case reflect.TypeFor[Step]():
		return anyOf(text(), object{"type": "array", "minItems": 1, "items": text()}, s)
	}
	return s
}

func (g *generator) structure(t reflect.Type) object {
	properties, required := object{}, []string{}
	for field := range t.Fields() {
		key, omitempty := fieldKey(field)
		if key == "" {
			continue
		}
		place := t.Name() + "." + key
		g.of(field.Type) // for its definitions
		p, ok := schemaOf[place]
		if !ok {
			p = g.of(field.Type)
		}
		p = cloneOf(p)
		p["description"] = g.describe(place)
		properties[key] = p
		if !omitempty {
			required = append(required, key)
		}
	}
	s := object{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		s["required"] = required
	}
	if keys := exclusive[t.Name()]; keys != nil {
		one := []any{}
		for _, k := range keys {
			one = append(one, object{"required": []string{k}})
		}
		s["oneOf"] = one
	}
	return s
}

// cloneOf is a copy, since one schema serves several fields.
func cloneOf(o object) object {
	c := object{}
	maps.Copy(c, o)
	return c
}

func (g *generator) describe(place string) string {
	if d := described[place]; d != "" {
		return d
	}
	return g.comments[place]
}

// fieldComments are the comments behind the fields in recipe.go, by "Type.key".
func fieldComments(t *testing.T) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "recipe.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	comments := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		if s, ok := spec.Type.(*ast.StructType); ok {
			for _, f := range s.Fields.List {
				if f.Tag == nil || f.Comment == nil {
					continue
				}
				tag, _ := strconv.Unquote(f.Tag.Value)
				key, _, _ := strings.Cut(reflect.StructTag(tag).Get("yaml"), ",")
				comments[spec.Name.Name+"."+key] = strings.TrimSpace(f.Comment.Text())
			}
		}
		return false
	})
	return comments
}

// UPDATE=1 writes the schema, which is what go generate does.
func TestSchemaIsCurrent(t *testing.T) {
	want := generateSchema(t)
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(schemaPath, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(want), string(readSchema(t))); diff != "" {
		t.Errorf("run go generate; the schema is old (-generated +file):\n%s", diff)
	}
}

func readSchema(t testing.TB) []byte {
	t.Helper()
	text, err := os.ReadFile(schemaPath)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func compileSchema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(readSchema(t)))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("recipe.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("recipe.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// instance is a node as encoding/json would decode it.
func instance(n *node) any {
	switch {
	case n.kind == mapping:
		o := object{}
		for _, e := range n.entries {
			o[e.key] = instance(e.value)
		}
		return o
	case n.kind == sequence:
		a := []any{}
		for _, item := range n.items {
			a = append(a, instance(item))
		}
		return a
	case n.tag == "!!int" || n.tag == "!!float":
		return json.Number(n.text)
	case n.tag == "!!bool":
		return strings.EqualFold(n.text, "true")
	case n.tag == "!!null":
		return nil
	}
	return n.text
}

func validate(t testing.TB, s *jsonschema.Schema, text string) error {
	t.Helper()
	rep := &reporter{file: "recipe.yaml"}
	root := parseYAML([]byte(text), rep)
	if err := rep.err(); err != nil {
		t.Fatal(err)
	}
	return s.Validate(instance(root))
}

func TestValidRecipesFollowTheSchema(t *testing.T) {
	s := compileSchema(t)
	for _, path := range validRecipes(t) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := validate(t, s, string(text)); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		r, err := Load(path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := validate(t, s, string(r.Render())); err != nil {
			t.Errorf("%s rendered: %v", path, err)
		}
	}
}

// What Load refuses for its form, an editor should underline, too.
func TestSchemaRefuses(t *testing.T) {
	s := compileSchema(t)
	for _, text := range []string{
		"name: a\n", "name: A\nfrom: scratch\n", "name: a\nfrom: nothing\n", "name: a\nfrom: {}\n",
		"name: a\nfrom: {debian: a, ubuntu: b}\n", "name: a\nfrom: {scratch: false}\n",
		head + "packges: [a]\n", head + "packages: [A]\n", head + "packages: a\n", head + "env: {A: 1}\n", head + "env: {A-B: a}\n",
		head + "ports: {a: 0}\n", head + "ports: {a: x}\n", head + "ports: {A: 1}\n", head + "run: [[]]\n", head + "run: [{unless: a}]\n",
		head + "files: [{path: /a}]\n", head + "files: [{path: a, content: b}]\n", head + "files: [{path: /a, content: b, source: c}]\n",
		head + "directories: [{path: /a, mode: 755}]\n", head + "directories: [{path: /a, mode: \"999\"}]\n",
		head + "users: [{name: a}]\n", head + "users: [{name: a, uid: -1}]\n", head + "slim: [mann]\n", head + "lint: {x: off}\n",
		head + "lint: {secret: of}\n", head + "expires: soon\n", head + "lifecycle: x\n", head + "health: {}\n", head + "recommends: yes please\n",
	} {
		if _, err := loadText(text, nil); err == nil {
			t.Errorf("Load takes %q", text)
		}
		if err := validate(t, s, text); err == nil {
			t.Errorf("the schema takes %q", text)
		}
	}
}

// recipeTypes are the mappings of a recipe.
var recipeTypes = []reflect.Type{
	reflect.TypeFor[Recipe](), reflect.TypeFor[From](), reflect.TypeFor[Param](), reflect.TypeFor[Archive](), reflect.TypeFor[Pin](),
	reflect.TypeFor[User](), reflect.TypeFor[Group](), reflect.TypeFor[Directory](), reflect.TypeFor[File](), reflect.TypeFor[Link](),
	reflect.TypeFor[Step](), reflect.TypeFor[Health](),
}

// Every key of the Go types is in the schema, with a description.
func TestSchemaHasEveryKey(t *testing.T) {
	var root object
	if err := json.Unmarshal(readSchema(t), &root); err != nil {
		t.Fatal(err)
	}
	defs := root["$defs"].(object)
	for _, typ := range recipeTypes {
		s := root
		if typ.Name() != "Recipe" {
			s, _ = defs[typ.Name()].(object)
			if forms, ok := s["anyOf"].([]any); ok { // the long form is the last
				s = forms[len(forms)-1].(object)
			}
		}
		properties, _ := s["properties"].(object)
		for key := range structKeys(typ) {
			p, _ := properties[key].(object)
			if d, _ := p["description"].(string); d == "" {
				t.Errorf("%s.%s isn't in the schema, or not described", typ.Name(), key)
			}
		}
	}
	for place := range schemaOf {
		name, key, _ := strings.Cut(place, ".")
		if !slices.ContainsFunc(recipeTypes, func(t reflect.Type) bool { _, ok := structKeys(t)[key]; return t.Name() == name && ok }) {
			t.Errorf("%s is no key", place)
		}
	}
}
