package control

import (
	"errors"
	"io"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

func TestReader(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       []string // NAME=VALUE, "--" between paragraphs
		line       int      // of the error
	}{
		{"nothing", "", nil, 0},
		{"only empty lines", "\n\n \n", nil, 0},
		{"one field", "Package: a\n", []string{"Package=a"}, 0},
		{"no newline at the end", "Package: a", []string{"Package=a"}, 0},
		{"CRLF", "A: 1\r\n\r\nB: 2\r\n", []string{"A=1", "--", "B=2"}, 0},
		{"paragraphs", "A: 1\n\n\nB: 2\n", []string{"A=1", "--", "B=2"}, 0},
		{"a line of spaces ends a paragraph", "A: 1\n \t\nB: 2\n", []string{"A=1", "--", "B=2"}, 0},
		{"space around the value", "A:  1 \t\n", []string{"A=1"}, 0},
		{"no space at all", "A:1\n", []string{"A=1"}, 0},
		{"space before the colon", "A : 1\n", []string{"A=1"}, 0},
		{"continued", "A: 1\n 2 \n\t3\n", []string{"A=1\n 2\n\t3"}, 0},
		{"empty first line", "A:\n 2\n", []string{"A=\n 2"}, 0},
		{"colon in the value", "A: b:c\n", []string{"A=b:c"}, 0},
		{"continues nothing", " a\n", nil, 1},
		{"no colon", "A: 1\nb\n", nil, 2},
		{"no name", ": 1\n", nil, 1},
		{"space in the name", "a b: 1\n", nil, 1},
		{"a comment is no field", "# c: d\n", nil, 1},
		{"not ASCII", "ä: 1\n", nil, 1},
		{"long line", "A: " + strings.Repeat("x", MaxLine) + "\n", nil, 1},
		{"large paragraph", strings.Repeat("A: "+strings.Repeat("x", MaxLine-10)+"\n", 20), nil, 17},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := NewReader(strings.NewReader(tt.text))
			var got []string
			var err error
			for {
				var s *Stanza
				if s, err = r.Next(); err != nil {
					break
				}
				if got != nil {
					got = append(got, "--")
				}
				for name, value := range s.Fields() {
					got = append(got, string(name)+"="+string(value))
				}
			}
			if tt.line > 0 {
				if bad, ok := errors.AsType[*SyntaxError](err); !ok || bad.Line != tt.line {
					t.Fatalf("got error %v, want one in line %d", err, tt.line)
				}
				return
			}
			if err != io.EOF || !slices.Equal(got, tt.want) {
				t.Errorf("got %q, %v\nwant %q", got, err, tt.want)
			}
		})
	}
}

func TestComments(t *testing.T) {
	r := NewReader(strings.NewReader("# one\nA: 1\n#two\n 2\n"))
	r.Comments = true
	s, err := r.Next()
	if err != nil || s.Get("a") != "1\n 2" || s.Line != 2 {
		t.Errorf("got %q in line %d, %v", s.Get("A"), s.Line, err)
	}
}

func TestStanza(t *testing.T) {
	s, err := ReadOne(strings.NewReader("Package: a\nDescription: x\n y\n .\n  z\nPACKAGE: b\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Get("package"); got != "b" {
		t.Errorf("of two fields got %q, want the last", got)
	}
	if got, want := Lines(s.Get("Description")), []string{"x", "y", "", " z"}; !slices.Equal(got, want) {
		t.Errorf("got lines %q, want %q", got, want)
	}
	if s.Has("Version") || s.Get("Version") != "" {
		t.Error("a field that isn't there is")
	}
	if _, err := ReadOne(strings.NewReader("A: 1\n\nB: 2\n")); err == nil {
		t.Error("two paragraphs were taken for one")
	}
	if _, err := ReadOne(strings.NewReader("\n")); err == nil {
		t.Error("nothing was taken for a paragraph")
	}
}

func TestCompare(t *testing.T) {
	ascending := []string{"~~", "~~a", "~", "0", "0a", "1~rc1", "1~rc1-1", "1", "1-0+b1", "1-1~bpo1", "1-1", "1-1.1", "1-2", "1-10",
		"1a", "1.0~", "1.", "1.0.1", "1.2+dfsg", "1.10", "2A", "2a", "2+", "1:0", "1:0.1", "10:0"}
	for i, a := range ascending {
		for j, b := range ascending {
			got := Compare(a, b)
			if want := i - j; (got < 0) != (want < 0) || (got > 0) != (want > 0) {
				t.Errorf("Compare(%q, %q) = %d", a, b, got)
			}
		}
	}
	for _, same := range [][2]string{{"1", "0:1"}, {"1", "1-0"}, {"1.0", "1.00"}, {"01", "1"}, {"1-", "1-0"}, {"", "0"}} {
		if got := Compare(same[0], same[1]); got != 0 {
			t.Errorf("Compare(%q, %q) = %d, want 0", same[0], same[1], got)
		}
	}
}

// TestCompareLikeDpkg asks dpkg about random pairs.
func TestCompareLikeDpkg(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var script strings.Builder
	var want []string
	for len(want) < 500 {
		a, b := randomVersion(rng), randomVersion(rng)
		if CheckVersion(a) != nil || CheckVersion(b) != nil {
			continue
		}
		c := Compare(a, b)
		op := map[bool]string{true: "eq", false: "lt"}[c == 0]
		if c > 0 {
			op = "gt"
		}
		script.WriteString("dpkg --compare-versions '" + a + "' " + op + " '" + b + "' || echo '" + a + " " + op + " " + b + "'\n")
		want = append(want, a)
	}
	out, err := exec.Command("sh", "-c", script.String()).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("dpkg disagrees: %s %v", out, err)
	}
}

func TestCheckVersion(t *testing.T) {
	for v, ok := range map[string]bool{
		"1": true, "1:2.3-4": true, "1.0~rc1+b2": true, "2:1:3": true, "2147483647:1": true, "2147483648:1": false, "1-2-3": true,
		"": false, ":1": false, "a:1": false, "1:": false, "1-": false, "a1": false, "1 2": false, "1_2": false, "-1": false,
	} {
		if got := CheckVersion(v); (got == nil) != ok {
			t.Errorf("CheckVersion(%q) = %v", v, got)
		}
	}
}

func TestParseRelations(t *testing.T) {
	for _, tt := range []struct{ text, want string }{ // want "" for an error
		{"a", "a"},
		{" a ,\n b", "a, b"},
		{"a | b, c", "a | b, c"},
		{"a(>=1)", "a (>= 1)"},
		{"a ( >= 1 ) | b (<< 2:3-4~)", "a (>= 1) | b (<< 2:3-4~)"},
		{"a (= 1), b (>> 1), c (<= 1)", "a (= 1), b (>> 1), c (<= 1)"},
		{"a (< 1), b (> 1), c (1)", "a (<= 1), b (>= 1), c (= 1)"},
		{"python3:any (>= 3), gcc:native, x:i386", "python3:any (>= 3), gcc:native, x:i386"},
		{"a [amd64 !i386] <!nocheck> <x>, b", "a, b"},
		{"a,", "a"},
		{"a,,b", "a, b"},
		{"libstdc++6, g++-12", "libstdc++6, g++-12"},
		{"a (", ""}, {"a ()", ""}, {"a (>= )", ""}, {"a (>= 1", ""}, {"a b", ""}, {"(>= 1)", ""}, {"a |", ""}, {"| a", ""},
		{"a [x", ""}, {"a << b, c >> d", ""}, {"a [b | c]", ""}, {"a (= [b])", ""}, {"a (<= =)", ""}, {":any", ""}, {"a:", ""}, {"a (>= 1 2)", ""}, {"a)", ""},
	} {
		list, err := ParseRelations(tt.text)
		var parts []string
		for _, c := range list {
			parts = append(parts, c.String())
		}
		if got := strings.Join(parts, ", "); got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("ParseRelations(%q) = %q, %v; want %q", tt.text, got, err, tt.want)
		}
	}
	if list, err := ParseRelations(" "); err != nil || len(list) != 0 {
		t.Errorf("nothing is %v, %v", list, err)
	}
}

func TestHolds(t *testing.T) {
	for _, tt := range []struct {
		op      Op
		holding string // of "1", "2", "3" against "2"
	}{{Any, "123"}, {Less, "1"}, {LessEq, "12"}, {Equal, "2"}, {GreaterEq, "23"}, {Greater, "3"}} {
		var got strings.Builder
		for _, v := range []string{"1", "2", "3"} {
			if tt.op.Holds(v, "2") {
				got.WriteString(v)
			}
		}
		if got.String() != tt.holding {
			t.Errorf("%q holds for %s, want %s", tt.op, got.String(), tt.holding)
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add("Package: a\nVersion: 1\nDescription: x\n y\n\nPackage: b\n")
	f.Add("A:\n b\n\tc\r\n# d\n")
	f.Fuzz(func(t *testing.T, text string) {
		r := NewReader(strings.NewReader(text))
		for {
			s, err := r.Next()
			if err != nil {
				return
			}
			n := 0
			for name := range s.Fields() {
				n++
				if !s.Has(string(name)) {
					t.Fatalf("field %q can't be found", name)
				}
			}
			if n == 0 || s.Line == 0 {
				t.Fatalf("a paragraph of %d fields in line %d", n, s.Line)
			}
		}
	})
}

func FuzzParseRelations(f *testing.F) {
	f.Add("a (>= 1) | b:any, c [amd64] <!x>")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := ParseRelations(text)
		if err != nil {
			return
		}
		var parts []string
		for _, c := range list {
			parts = append(parts, c.String())
		}
		written := strings.Join(parts, ", ")
		again, err := ParseRelations(written)
		if err != nil || len(again) != len(list) {
			t.Fatalf("%q was written as %q, which is %v, %v", text, written, again, err)
		}
	})
}

func FuzzCompare(f *testing.F) {
	f.Add("1:2-3", "1.0~rc1", "0")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		if x, y := Compare(a, b), Compare(b, a); (x < 0) != (y > 0) || (x == 0) != (y == 0) {
			t.Fatalf("Compare(%q, %q) is %d, the other way round %d", a, b, x, y)
		}
		if Compare(a, b) <= 0 && Compare(b, c) <= 0 && Compare(a, c) > 0 {
			t.Fatalf("%q <= %q <= %q, but not the first <= the last", a, b, c)
		}
	})
}
