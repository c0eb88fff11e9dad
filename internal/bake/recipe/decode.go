package recipe

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A decoder fills Go values from nodes, by the yaml tags of their structs. A key without omitempty is
// required. It goes on after a problem, and remembers the place of everything it met.
type decoder struct {
	rep      *reporter
	places   map[string]pos    // "files[2].mode" → where its value starts
	mistyped map[string]bool   // places of values that couldn't be decoded
	texts    map[string]string // places of values that are text
}

func newDecoder(rep *reporter) *decoder {
	return &decoder{rep: rep, places: map[string]pos{}, mistyped: map[string]bool{}, texts: map[string]string{}}
}

// reject reports a value that can't be decoded.
func (d *decoder) reject(n *node, place, hint, format string, args ...any) {
	d.mistyped[place] = true
	d.rep.add(n.pos, hint, format, args...)
}

// A type that isn't written as its struct's mapping decodes itself.
type nodeDecoder interface {
	decodeNode(d *decoder, n *node, place string)
}

var (
	decimal      = regexp.MustCompile(`^-?(0|[1-9][0-9]{0,17})$`)
	timeType     = reflect.TypeFor[time.Time]()
	durationType = reflect.TypeFor[time.Duration]()
)

// value fills v from n. The field's tag may say scalar:"any" to take numbers as text.
func (d *decoder) value(n *node, v reflect.Value, place string, tag reflect.StructTag) {
	d.places[place] = n.pos
	if n.isNull() {
		d.reject(n, place, "leave the key out when there is nothing to say", "%s has no value", place)
		return
	}
	if own, ok := v.Addr().Interface().(nodeDecoder); ok {
		own.decodeNode(d, n, place)
		return
	}
	switch v.Type() {
	case timeType:
		d.time(n, v, place)
		return
	case durationType:
		d.duration(n, v, place)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.structure(n, v, place)
	case reflect.Pointer:
		p := reflect.New(v.Type().Elem())
		d.value(n, p.Elem(), place, tag)
		v.Set(p)
	case reflect.Slice:
		d.list(n, v, place, tag)
	case reflect.Map:
		d.mapping(n, v, place, tag)
	case reflect.String:
		d.text(n, v, place, tag)
	case reflect.Int, reflect.Int64:
		d.integer(n, v, place)
	case reflect.Bool:
		d.boolean(n, v, place)
	default:
		panic(fmt.Sprintf("recipe: no way to decode a %s", v.Type()))
	}
}

// wrong reports a value of another type than wanted.
func (d *decoder) wrong(n *node, place, want, hint string) {
	d.reject(n, place, hint, "%s: want %s, not %s", place, want, n.what())
}

func (d *decoder) structure(n *node, v reflect.Value, place string) {
	if n.kind != mapping {
		d.wrong(n, place, "a mapping", "")
		return
	}
	keys := structKeys(v.Type())
	for _, e := range n.entries {
		i, ok := keys[e.key]
		if !ok {
			d.rep.add(e.pos, d.nearKey(e.key, keys), "unknown key %q", e.key)
			continue
		}
		d.value(e.value, v.Field(i), join(place, e.key), v.Type().Field(i).Tag)
	}
	for i := range v.NumField() {
		key, omitempty := fieldKey(v.Type().Field(i))
		if key != "" && !omitempty && n.get(key) == nil {
			d.rep.add(n.pos, "", "%s needs %q", orFile(place), key)
		}
	}
}

// nearKey is a hint for an unknown key.
func (d *decoder) nearKey(key string, keys map[string]int) string {
	if d.rep.full() {
		return ""
	}
	names := slices.Sorted(maps.Keys(keys))
	if hint := didYouMean(key, names); hint != "" {
		return hint
	}
	return "known: " + strings.Join(names, ", ")
}

func (d *decoder) list(n *node, v reflect.Value, place string, tag reflect.StructTag) {
	if n.kind != sequence {
		d.wrong(n, place, "a list", "write it in [ ]")
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.items), len(n.items)))
	for i, item := range n.items {
		d.value(item, v.Index(i), fmt.Sprintf("%s[%d]", place, i), tag)
	}
}

func (d *decoder) mapping(n *node, v reflect.Value, place string, tag reflect.StructTag) {
	if n.kind != mapping {
		d.wrong(n, place, "a mapping", "")
		return
	}
	v.Set(reflect.MakeMapWithSize(v.Type(), len(n.entries)))
	for _, e := range n.entries {
		elem := reflect.New(v.Type().Elem()).Elem()
		d.value(e.value, elem, join(place, e.key), tag)
		d.places[join(place, e.key)] = e.pos // the key says more about where it is than the value
		v.SetMapIndex(reflect.ValueOf(e.key), elem)
	}
}

func (d *decoder) text(n *node, v reflect.Value, place string, tag reflect.StructTag) {
	if n.kind == scalar && tag.Get("scalar") == "any" {
		v.SetString(n.text)
		d.texts[place] = n.text
		return
	}
	if !n.isString() {
		hint := ""
		if n.kind == scalar {
			hint = fmt.Sprintf("put it in quotes: %q", n.text)
			if strings.HasSuffix(place, ".mode") {
				hint = fmt.Sprintf("put a mode in quotes, or YAML makes a number of it: %q", n.text)
			}
		}
		d.wrong(n, place, "text", hint)
		return
	}
	v.SetString(n.text)
	d.texts[place] = n.text
}

func (d *decoder) integer(n *node, v reflect.Value, place string) {
	if n.kind != scalar || n.tag != "!!int" && n.tag != "!!float" {
		hint := ""
		if n.kind == scalar && decimal.MatchString(n.text) {
			hint = "without quotes"
		}
		d.wrong(n, place, "a number", hint)
		return
	}
	i, err := strconv.ParseInt(n.text, 10, 64)
	if err != nil || !decimal.MatchString(n.text) || v.OverflowInt(i) {
		d.reject(n, place, "", "%s: %s is not a plain decimal number", place, n.text)
		return
	}
	v.SetInt(i)
}

func (d *decoder) boolean(n *node, v reflect.Value, place string) {
	if n.kind != scalar || n.tag != "!!bool" {
		d.wrong(n, place, "true or false", "")
		return
	}
	v.SetBool(strings.EqualFold(n.text, "true"))
}

func (d *decoder) duration(n *node, v reflect.Value, place string) {
	if !n.isString() {
		d.wrong(n, place, "a duration", `with its unit, as "30s"`)
		return
	}
	span, err := time.ParseDuration(n.text)
	if err != nil || span <= 0 {
		d.reject(n, place, `as "30s" or "1m30s"`, "%s: %q is not a duration", place, n.text)
		return
	}
	v.SetInt(int64(span))
}

func (d *decoder) time(n *node, v reflect.Value, place string) {
	if !n.isString() {
		d.wrong(n, place, "a time", "")
		return
	}
	t, err := time.Parse(time.RFC3339, n.text)
	if err != nil || t.Year() < 1970 {
		d.reject(n, place, `as "2026-01-31T12:00:00Z"`, "%s: %q is not a time", place, n.text)
		return
	}
	v.Set(reflect.ValueOf(t.UTC()))
}

// structKeys maps the keys of a struct to its fields.
func structKeys(t reflect.Type) map[string]int {
	keys := map[string]int{}
	for i := range t.NumField() {
		if key, _ := fieldKey(t.Field(i)); key != "" {
			keys[key] = i
		}
	}
	return keys
}

// fieldKey is a field's key in YAML, "" for none.
func fieldKey(f reflect.StructField) (key string, omitempty bool) {
	key, rest, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	if key == "-" {
		return "", false
	}
	return key, rest == "omitempty"
}

func join(place, key string) string {
	if place == "" {
		return key
	}
	return place + "." + key
}

func orFile(place string) string {
	if place == "" {
		return "the file"
	}
	return place
}

// decodeNode takes "scratch" for a mapping.
func (f *From) decodeNode(d *decoder, n *node, place string) {
	switch {
	case n.kind == mapping:
		d.structure(n, reflect.ValueOf(f).Elem(), place)
	case n.isString() && n.text == "scratch":
		f.Scratch = true
	default:
		d.reject(n, place, "as {debian: bookworm}, {base: web:1.0}, {rootfs: root.tar.xz} or scratch",
			"from: want a mapping or scratch, not %s", n.what())
	}
}

// decodeNode takes a string for sh, a list for argv, or a mapping.
func (s *Step) decodeNode(d *decoder, n *node, place string) {
	v := reflect.ValueOf(s).Elem()
	switch {
	case n.kind == mapping:
		d.structure(n, v, place)
	case n.kind == sequence:
		d.list(n, v.FieldByName("Argv"), place, "")
	case n.isString():
		s.Shell = n.text
		d.texts[place] = n.text
	default:
		d.wrong(n, place, "a command as text, a list, or a mapping", "")
	}
}

var portText = regexp.MustCompile(`^([0-9]{1,5})(?:/(tcp|udp))?$`)

// decodeNode takes a number, or a string with a protocol.
func (p *Port) decodeNode(d *decoder, n *node, place string) {
	if n.kind != scalar || !n.isString() && n.tag != "!!int" {
		d.wrong(n, place, "a port", `as 80 or "53/udp"`)
		return
	}
	m := portText.FindStringSubmatch(n.text)
	if m == nil {
		d.reject(n, place, `as 80 or "53/udp"`, "%s: %q is not a port", place, n.text)
		return
	}
	number, _ := strconv.Atoi(m[1])
	if !validPort(number) {
		d.reject(n, place, "", "%s: port %s is not within 1 to 65535", place, m[1])
		return
	}
	p.Number, p.Proto = number, m[2]
	if p.Proto == "" {
		p.Proto = "tcp"
	}
}

// decodeNode takes a span of days or weeks, or a date.
func (e *Expiry) decodeNode(d *decoder, n *node, place string) {
	if !n.isString() {
		d.wrong(n, place, "a span or a date", `as 90d, 12w or "2027-01-31"`)
		return
	}
	got, err := parseExpiry(n.text)
	if err != nil {
		d.reject(n, place, `as 90d, 12w or "2027-01-31"`, "%s: %v", place, err)
		return
	}
	*e = got
}

const maxExpiryDays = 36525

var expirySpan = regexp.MustCompile(`^([1-9][0-9]{0,4})([dw])$`)

func parseExpiry(s string) (Expiry, error) {
	const day = 24 * time.Hour
	if m := expirySpan.FindStringSubmatch(s); m != nil {
		n, _ := strconv.Atoi(m[1])
		if m[2] == "w" {
			n *= 7
		}
		if n > maxExpiryDays {
			return Expiry{}, fmt.Errorf("%q is more than a hundred years", s)
		}
		return Expiry{After: time.Duration(n) * day}, nil
	}
	if on, err := time.Parse(time.DateOnly, s); err == nil && on.Year() >= 1970 {
		return Expiry{On: on}, nil
	}
	return Expiry{}, fmt.Errorf("%q is neither a span nor a date", s)
}

// String is the expiry as a recipe says it, "" for never.
func (e Expiry) String() string {
	switch {
	case e.After > 0:
		return fmt.Sprintf("%dd", e.After/(24*time.Hour))
	case !e.On.IsZero():
		return e.On.Format(time.DateOnly)
	}
	return ""
}

// String is the port as a recipe says it.
func (p Port) String() string {
	if p.Proto == "udp" {
		return fmt.Sprintf("%d/udp", p.Number)
	}
	return strconv.Itoa(p.Number)
}

func validPort(n int) bool { return n >= 1 && n <= 65535 }
