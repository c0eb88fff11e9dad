package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"brickyard/internal/tree"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// printJSON prints v as one indented JSON document.
func (env *Env) printJSON(v any) error {
	enc := json.NewEncoder(env.Stdout)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// A grid is a table of text without lines: a header, then rows.
type grid struct {
	env   *Env
	table table.Writer
}

// grid starts a table with a column for each name; one that starts with ">" is aligned to the right.
func (env *Env) grid(columns ...string) *grid {
	t := table.NewWriter()
	t.SetStyle(table.StyleDefault)
	style := t.Style()
	style.Options = table.OptionsNoBordersAndSeparators
	style.Box.PaddingLeft, style.Box.PaddingRight = "", "  "
	style.Format.Header = text.FormatDefault
	var header table.Row
	var configs []table.ColumnConfig
	for i, name := range columns {
		config := table.ColumnConfig{Number: i + 1}
		if right, ok := strings.CutPrefix(name, ">"); ok {
			name = right
			config.Align, config.AlignHeader = text.AlignRight, text.AlignRight
		}
		configs = append(configs, config)
		header = append(header, env.paint(env.OutTTY, bold, strings.ToUpper(name)))
	}
	t.SetColumnConfigs(configs)
	t.AppendHeader(header)
	t.SuppressTrailingSpaces()
	return &grid{env, t}
}

func (g *grid) row(cells ...any) { g.table.AppendRow(cells) }

func (g *grid) print() error {
	_, err := io.WriteString(g.env.Stdout, g.table.Render()+"\n")
	return err
}

// shortHex is how many hex digits of a digest are shown to people: a prefix of at least 6 names an image.
const shortHex = 12

func short(d tree.Digest) string {
	hex := d.Hex()
	return hex[:min(shortHex, len(hex))]
}

// size prints bytes in units of 1000, as disks and archives do.
func size(n int64) string {
	if n > -1000 && n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	f := float64(n)
	for _, unit := range []string{"kB", "MB", "GB"} {
		f /= 1000
		if f > -999.5 && f < 999.5 {
			return fmt.Sprintf("%.3g %s", f, unit)
		}
	}
	return fmt.Sprintf("%.4g TB", f/1000)
}

// signedSize is size with a plus sign for growth.
func signedSize(n int64) string {
	if n > 0 {
		return "+" + size(n)
	}
	return size(n)
}

// span prints how long something takes or is ago, in its largest unit.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < 2*day:
		return fmt.Sprintf("%d h", d/time.Hour)
	case d < 120*day:
		return fmt.Sprintf("%d days", d.Round(day)/day)
	case d < 730*day:
		return fmt.Sprintf("%d months", d/(30*day))
	}
	return fmt.Sprintf("%d years", d/(365*day))
}

// count prints "1 file" and "2 files".
func count[T int | int64](n T, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

// A pair is one named value of a listing.
type pair struct{ name, value string }

// pairs prints a line for each pair that has a value, the values below each other.
func (env *Env) pairs(ps ...pair) error {
	width := 0
	for _, p := range ps {
		if p.value != "" {
			width = max(width, len(p.name))
		}
	}
	var b strings.Builder
	for _, p := range ps {
		if p.value != "" {
			fmt.Fprintf(&b, "%s  %s\n", env.paint(env.OutTTY, bold, fmt.Sprintf("%-*s", width, p.name)), p.value)
		}
	}
	_, err := io.WriteString(env.Stdout, b.String())
	return err
}

// clean makes text that an image brought harmless on a terminal: what has a character that is not
// printable becomes a Go quoted string.
func clean(s string) string {
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return strconv.Quote(s)
	}
	return s
}

// printable is clean for whole messages: lines and tabs stay, each other character that is not printable becomes an
// escape.
func printable(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case r == '\n' || r == '\t' || strconv.IsPrint(r):
			b.WriteString(s[:n])
		default:
			quoted := strconv.QuoteRune(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		s = s[n:]
	}
	return b.String()
}

func ago(t time.Time) string { return span(max(0, time.Since(t))) + " ago" }
