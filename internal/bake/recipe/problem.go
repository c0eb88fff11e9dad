package recipe

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// A Problem is one thing wrong in a file that a person wrote.
type Problem struct {
	File    string `json:"file"`
	Line    int    `json:"line,omitempty"`    // from 1; 0 when it is about the file as a whole
	Column  int    `json:"column,omitempty"`  // from 1, in characters
	Message string `json:"message"`           // one line
	Snippet string `json:"snippet,omitempty"` // the offending line and, below it, a caret; "" without Line
	Hint    string `json:"hint,omitempty"`    // what to do about it
}

// String is "file:line:column: message (hint)" and the snippet below it.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
	}
	b.WriteString(": " + p.Message)
	if p.Hint != "" {
		b.WriteString(" (" + p.Hint + ")")
	}
	if p.Snippet != "" {
		b.WriteString("\n" + p.Snippet)
	}
	return b.String()
}

// Problems is all that is wrong with one recipe or lock, in the order of the file. It is never empty.
type Problems []Problem

// Error has every problem, one below the other.
func (ps Problems) Error() string {
	texts := make([]string, len(ps))
	for i, p := range ps {
		texts[i] = p.String()
	}
	return strings.Join(texts, "\n")
}

// maxProblems keeps a file that is wrong throughout from filling the screen, and memory.
const maxProblems = 50

// snippetWidth is how much of a long line a snippet shows, in characters.
const snippetWidth = 120

// pos is a place in a file, both from 1; the zero value is the file as a whole.
type pos struct{ line, column int }

// A reporter collects the problems of one file.
type reporter struct {
	file  string
	lines []string
	list  Problems
	more  int // problems beyond maxProblems
}

// add reports a problem at p. The hint may be "".
func (r *reporter) add(p pos, hint, format string, args ...any) {
	if r.full() {
		r.more++
		return
	}
	if last := len(r.lines); p.line > last && last > 0 { // YAML counts an end that isn't a line
		p = pos{last, len([]rune(r.lines[last-1])) + 1}
	}
	r.list = append(r.list, Problem{
		File: r.file, Line: p.line, Column: p.column,
		Message: cut(fmt.Sprintf(format, args...)),
		Snippet: r.snippet(p), Hint: hint,
	})
}

// maxMessage is enough for any message, but not for all of a value that it quotes, in characters.
const maxMessage = 1000

func cut(message string) string {
	if len(message) <= maxMessage {
		return message
	}
	if runes := []rune(message); len(runes) > maxMessage {
		return string(runes[:maxMessage]) + "…"
	}
	return message
}

// full reports whether further problems are only counted.
func (r *reporter) full() bool { return len(r.list) == maxProblems }

// err is nil, or all that was added as [Problems].
func (r *reporter) err() error {
	if len(r.list) == 0 {
		return nil
	}
	slices.SortStableFunc(r.list, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	list := r.list
	if r.more > 0 {
		list = append(list, Problem{File: r.file, Message: fmt.Sprintf("and %d more problems", r.more)})
	}
	return list
}

// snippet is the line of p and a line with a caret below p's column, both without what is too far away.
func (r *reporter) snippet(p pos) string {
	if p.line < 1 || p.line > len(r.lines) {
		return ""
	}
	line := []rune(strings.ToValidUTF8(r.lines[p.line-1], "\uFFFD"))
	at := min(max(p.column-1, 0), len(line))
	from := max(0, at-snippetWidth*2/3)
	to := min(len(line), from+snippetWidth)
	pad := make([]rune, 0, at-from)
	for _, c := range line[from:at] {
		if c != '\t' { // a tab stays one, so that the caret stands where the terminal puts the character
			c = ' '
		}
		pad = append(pad, c)
	}
	text := strings.Map(printable, string(line[from:to]))
	return "    " + text + "\n    " + string(pad) + "^"
}

// printable keeps a file's control characters from reaching the terminal.
func printable(c rune) rune {
	if c != '\t' && (c < 0x20 || c >= 0x7f && c < 0xa0) {
		return '\uFFFD'
	}
	return c
}

// nearest is the one of names that is most like name, or "" when none is, or there are too many to compare.
func nearest(name string, names []string) string {
	if len(names) > 200 {
		return ""
	}
	best, limit := "", len(name)/3+1
	for _, n := range names {
		if d := distance(name, n); d <= limit && (best == "" || d < distance(name, best)) {
			best = n
		}
	}
	return best
}

// didYouMean is a hint, or "" when nothing is near.
func didYouMean(name string, names []string) string {
	if n := nearest(name, names); n != "" {
		return fmt.Sprintf("did you mean %q?", n)
	}
	return ""
}

// distance is the Levenshtein distance of two short names. Long ones count as far apart.
func distance(a, b string) int {
	if max(len(a), len(b)) > 64 {
		return max(len(a), len(b))
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
