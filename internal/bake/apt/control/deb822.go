package control

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
)

// Limits of a Reader. The longest line in Debian's archive is about 30 KiB, the longest paragraph (a Release
// file) about 200 KiB.
const (
	MaxLine   = 1 << 20  // bytes in one line
	MaxStanza = 16 << 20 // bytes in one paragraph
)

// A SyntaxError is a line that is no deb822.
type SyntaxError struct {
	Line int // 1-based
	Msg  string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Msg) }

// A Reader reads paragraphs one by one.
type Reader struct {
	// Comments says that lines which start with "#" are skipped, as in apt's own configuration.
	// In an archive's indexes there are none, and such a line is an error.
	Comments bool

	in     *bufio.Reader
	line   int // number of the line last read
	stanza Stanza
	long   []byte // a line longer than in's buffer
}

// NewReader returns a Reader of r, which is read to its end and not closed.
func NewReader(r io.Reader) *Reader {
	return &Reader{in: bufio.NewReaderSize(r, 128<<10)}
}

// A Stanza is one paragraph. It is valid until the next call of [Reader.Next]; its strings are copies.
type Stanza struct {
	Line   int // where it starts, 1-based
	text   []byte
	fields []field
}

// field points into Stanza.text.
type field struct{ name, nameEnd, value, valueEnd int }

// Next returns the next paragraph, or [io.EOF] after the last. Errors: [SyntaxError], those of the reader.
// The returned Stanza is overwritten by the next call.
func (r *Reader) Next() (*Stanza, error) {
	s := &r.stanza
	s.text, s.fields, s.Line = s.text[:0], s.fields[:0], 0
	for {
		line, err := r.readLine()
		if err != nil {
			if err == io.EOF && len(s.fields) > 0 {
				return s, nil
			}
			return nil, err
		}
		switch {
		case len(bytes.TrimSpace(line)) == 0:
			if len(s.fields) > 0 {
				return s, nil
			}
		case r.Comments && line[0] == '#':
		default:
			if err := r.addLine(line); err != nil {
				return nil, err
			}
		}
	}
}

// readLine returns the next line without its end, valid until the next call.
func (r *Reader) readLine() ([]byte, error) {
	line, err := r.in.ReadSlice('\n')
	if err == bufio.ErrBufferFull {
		r.long = append(r.long[:0], line...)
		for err == bufio.ErrBufferFull {
			if len(r.long) > MaxLine {
				return nil, &SyntaxError{r.line + 1, fmt.Sprintf("longer than %d bytes", MaxLine)}
			}
			line, err = r.in.ReadSlice('\n')
			r.long = append(r.long, line...)
		}
		line = r.long
	}
	if err != nil && (err != io.EOF || len(line) == 0) {
		return nil, err
	}
	r.line++
	if len(line) > MaxLine {
		return nil, &SyntaxError{r.line, fmt.Sprintf("longer than %d bytes", MaxLine)}
	}
	line = bytes.TrimSuffix(line, []byte("\n"))
	return bytes.TrimSuffix(line, []byte("\r")), nil
}

// addLine adds a line that is not empty to the paragraph.
func (r *Reader) addLine(line []byte) error {
	s := &r.stanza
	if len(s.text)+len(line)+1 > MaxStanza {
		return &SyntaxError{r.line, fmt.Sprintf("paragraph is larger than %d bytes", MaxStanza)}
	}
	if line[0] == ' ' || line[0] == '\t' {
		if len(s.fields) == 0 {
			return &SyntaxError{r.line, "continues a field, but there is none before it"}
		}
		s.text = append(s.text, '\n')
		s.text = append(s.text, bytes.TrimRight(line, " \t")...)
		s.fields[len(s.fields)-1].valueEnd = len(s.text)
		return nil
	}
	colon := bytes.IndexByte(line, ':')
	name := line
	if colon > 0 {
		name = bytes.TrimRight(line[:colon], " \t")
	}
	if colon <= 0 || !isFieldName(name) {
		return &SyntaxError{r.line, fmt.Sprintf("not a field: %.60q", line)}
	}
	if s.Line == 0 {
		s.Line = r.line
	}
	f := field{name: len(s.text)}
	s.text = append(s.text, name...)
	f.nameEnd = len(s.text)
	f.value = len(s.text)
	s.text = append(s.text, bytes.TrimSpace(line[colon+1:])...)
	f.valueEnd = len(s.text)
	s.fields = append(s.fields, f)
	return nil
}

// isFieldName says whether b has only printable ASCII without space and colon (Policy 5.1).
func isFieldName(b []byte) bool {
	for _, c := range b {
		if c <= ' ' || c >= 0x7f || c == ':' {
			return false
		}
	}
	return b[0] != '-'
}

// Get returns the value of a field, "" when there is none. Names are compared without case. Lines after the
// first keep their leading space, joined by newlines. Of a field that is there twice, the last counts, as in apt.
func (s *Stanza) Get(name string) string { return string(s.Bytes(name)) }

// Has says whether there is such a field.
func (s *Stanza) Has(name string) bool { return s.find(name) >= 0 }

// Bytes is Get without a copy: the bytes are overwritten by the next call of [Reader.Next].
func (s *Stanza) Bytes(name string) []byte {
	i := s.find(name)
	if i < 0 {
		return nil
	}
	return s.text[s.fields[i].value:s.fields[i].valueEnd]
}

func (s *Stanza) find(name string) int {
	for i := len(s.fields) - 1; i >= 0; i-- {
		f := s.fields[i]
		if f.nameEnd-f.name == len(name) && equalFold(s.text[f.name:f.nameEnd], name) {
			return i
		}
	}
	return -1
}

// equalFold is for ASCII of equal length.
func equalFold(b []byte, s string) bool {
	for i := range b {
		if lower(b[i]) != lower(s[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// Fields yields names and values in the order of the text, without a copy, as [Stanza.Bytes].
func (s *Stanza) Fields() iter.Seq2[[]byte, []byte] {
	return func(yield func([]byte, []byte) bool) {
		for _, f := range s.fields {
			if !yield(s.text[f.name:f.nameEnd], s.text[f.value:f.valueEnd]) {
				return
			}
		}
	}
}

// Lines returns the lines of a value as its author wrote them: without the one leading space of a
// continuation line, and "." for an empty line. An empty first line is left out.
func Lines(value string) []string {
	var lines []string
	for i, l := range strings.Split(value, "\n") {
		switch {
		case i == 0 && l == "":
		case i == 0:
			lines = append(lines, l)
		default:
			l = l[min(1, len(l)):]
			if l == "." {
				l = ""
			}
			lines = append(lines, l)
		}
	}
	return lines
}

// ReadOne reads text that is exactly one paragraph, as a Release file or the control file of a .deb.
func ReadOne(r io.Reader) (*Stanza, error) {
	cr := NewReader(r)
	s, err := cr.Next()
	if err == io.EOF {
		return nil, errors.New("empty")
	}
	if err != nil {
		return nil, err
	}
	one := *s
	cr.stanza = Stanza{}
	switch next, err := cr.Next(); {
	case err == nil:
		return nil, &SyntaxError{next.Line, "a second paragraph"}
	case err != io.EOF:
		return nil, err
	}
	return &one, nil
}
