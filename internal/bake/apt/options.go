package apt

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"brickyard/internal/bake/apt/control"
)

// sourceOptions are what one entry of the host's sources says besides address, suite and components (sources.list(5)).
// What isn't here is ignored: what makes apt faster, as pdiffs; what isn't read, as lang; and what would weaken the
// checks for more than one source's Valid-Until, as allow-insecure or check-date.
type sourceOptions struct {
	signedBy           string
	trusted            string // "yes", "no" or "" for what is usual
	archs              choice
	targets            choice
	uncheckedTime      bool          // check-valid-until=no
	minValid, maxValid time.Duration // after Date, 0 for none
	byHash             string        // "no", "force" or ""
	inRelease          string        // path of InRelease beside where it usually is
	include            []string      // the only packages to be taken
	exclude            []string      // packages not to be taken
}

// A choice is a list that replaces another, is added to it and taken away from it.
type choice struct{ only, add, remove []string }

func (c choice) has(s string) bool {
	return (len(c.only) == 0 || slices.Contains(c.only, s) || slices.Contains(c.add, s)) && !slices.Contains(c.remove, s)
}

// fieldNames are those fields of .sources that a line calls otherwise.
var fieldNames = map[string]string{"architectures": "arch", "targets": "target"}

// stanzaOptions reads those of a paragraph.
func stanzaOptions(s *control.Stanza) (sourceOptions, error) {
	var o sourceOptions
	for key, value := range s.Fields() {
		name, op := strings.ToLower(string(key)), ""
		if n, ok := strings.CutSuffix(name, "-add"); ok {
			name, op = n, "+"
		} else if n, ok := strings.CutSuffix(name, "-remove"); ok {
			name, op = n, "-"
		}
		if n, ok := fieldNames[name]; ok {
			name = n
		}
		text := string(value)
		if name == "signed-by" {
			text = strings.Join(control.Lines(text), "\n")
		}
		if err := o.set(name, op, text); err != nil {
			return o, err
		}
	}
	return o, nil
}

// lineOptions reads what a line has in brackets.
func lineOptions(text string) (sourceOptions, error) {
	var o sourceOptions
	for w := range strings.FieldsSeq(text) {
		key, value, ok := strings.Cut(w, "=")
		if !ok {
			return o, fmt.Errorf("option %q has no value", w)
		}
		name := strings.TrimRight(key, "+-")
		if err := o.set(strings.ToLower(name), key[len(name):], strings.ReplaceAll(value, ",", " ")); err != nil {
			return o, err
		}
	}
	return o, nil
}

// set takes one option. op is "+" or "-" when it changes a list.
func (o *sourceOptions) set(name, op, value string) (err error) {
	words := strings.Fields(value)
	value = strings.TrimSpace(value)
	switch name {
	case "arch":
		o.archs.set(op, words)
	case "target":
		o.targets.set(op, words)
	case "signed-by":
		o.signedBy = value
	case "trusted":
		o.trusted = yesOrNo(value)
	case "check-valid-until":
		o.uncheckedTime = isNo(value)
	case "valid-until-min":
		o.minValid, err = seconds(name, value)
	case "valid-until-max":
		o.maxValid, err = seconds(name, value)
	case "by-hash":
		o.byHash = yesOrNo(value)
		if value == "force" {
			o.byHash = value
		}
	case "inrelease-path":
		o.inRelease = value
		if strings.Contains(value, "..") || strings.HasPrefix(value, "/") {
			err = fmt.Errorf("%s %q leaves the archive", name, value)
		}
	case "include":
		o.include, err = packageNames(name, words)
	case "exclude":
		o.exclude, err = packageNames(name, words)
	}
	return err
}

func (c *choice) set(op string, words []string) {
	switch op {
	case "":
		c.only = words
	case "+":
		c.add = words
	case "-":
		c.remove = words
	}
}

func seconds(name, value string) (time.Duration, error) {
	n, err := strconv.ParseInt(value, 10, 32)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%s %q is no number of seconds", name, value)
	}
	return time.Duration(n) * time.Second, nil
}

var packageName = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]*$`)

// packageNames refuses what would have to be understood to leave out the right packages.
func packageNames(name string, words []string) ([]string, error) {
	for _, w := range words {
		if !packageName.MatchString(w) {
			return nil, fmt.Errorf("%s: %q is no package name", name, w)
		}
	}
	return words, nil
}

// without says why the source has no packages for an architecture, "" when it may have.
func (o sourceOptions) without(arch string) string {
	switch {
	case !o.archs.has(arch):
		return "is not for " + arch
	case !o.targets.has("Packages"):
		return "is not for packages"
	}
	return ""
}

// leavesOut says whether a package isn't to be taken from the source.
func (o sourceOptions) leavesOut(name string) bool {
	return len(o.include) > 0 && !slices.Contains(o.include, name) || slices.Contains(o.exclude, name)
}

// validUntil is the end of a Release that says until, which may be zero, and is of the date.
func (o sourceOptions) validUntil(date, until time.Time) time.Time {
	if o.uncheckedTime {
		return time.Time{}
	}
	if least := date.Add(o.minValid); !until.IsZero() && until.Before(least) {
		until = least
	}
	if most := date.Add(o.maxValid); o.maxValid > 0 && (until.IsZero() || until.After(most)) {
		until = most
	}
	return until
}

// yesOrNo is "yes" or "no" for the words that apt takes for them, and "" for others.
func yesOrNo(v string) string {
	switch {
	case isYes(v):
		return "yes"
	case isNo(v):
		return "no"
	}
	return ""
}

func isYes(v string) bool {
	return slices.Contains([]string{"yes", "true", "with", "on", "enable", "1"}, strings.ToLower(strings.TrimSpace(v)))
}

func isNo(v string) bool {
	return slices.Contains([]string{"no", "false", "without", "off", "disable", "0"}, strings.ToLower(strings.TrimSpace(v)))
}
