package control

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Compare orders two versions as dpkg does: negative when a is older, 0 when they are equal, positive when a
// is newer (deb-version(7)). It takes any string; text that is no valid version is ordered by the same rules.
func Compare(a, b string) int {
	if a == b {
		return 0
	}
	ae, av, ar := splitVersion(a)
	be, bv, br := splitVersion(b)
	if c := compareDigits(ae, be); c != 0 {
		return c
	}
	if c := comparePart(av, bv); c != 0 {
		return c
	}
	return comparePart(ar, br)
}

// splitVersion returns epoch, upstream version and revision. No epoch is "0", and no revision equals "0".
func splitVersion(v string) (epoch, upstream, revision string) {
	epoch, upstream = "0", v
	if before, after, ok := strings.Cut(v, ":"); ok {
		epoch, upstream = before, after
	}
	if i := strings.LastIndexByte(upstream, '-'); i >= 0 {
		upstream, revision = upstream[:i], upstream[i+1:]
	}
	return epoch, upstream, revision
}

// comparePart compares pieces of non-digits and of digits in turn.
func comparePart(a, b string) int {
	for a != "" || b != "" {
		i, j := 0, 0
		for i < len(a) && !isDigit(a[i]) || j < len(b) && !isDigit(b[j]) {
			if d := order(a, i) - order(b, j); d != 0 {
				return d
			}
			i++
			j++
		}
		a, b = a[min(i, len(a)):], b[min(j, len(b)):]
		i, j = digits(a), digits(b)
		if c := compareDigits(a[:i], b[:j]); c != 0 {
			return c
		}
		a, b = a[i:], b[j:]
	}
	return 0
}

// order is the weight of s[i]: a tilde is before the end, the end and digits before letters, letters before the rest.
func order(s string, i int) int {
	switch {
	case i >= len(s) || isDigit(s[i]):
		return 0
	case s[i] == '~':
		return -1
	case isLetter(s[i]):
		return int(s[i])
	}
	return int(s[i]) + 256
}

// compareDigits compares numbers of any length.
func compareDigits(a, b string) int {
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}

func digits(s string) int {
	i := 0
	for i < len(s) && isDigit(s[i]) {
		i++
	}
	return i
}

func isDigit(c byte) bool  { return '0' <= c && c <= '9' }
func isLetter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }

// CheckVersion says what is wrong with a version, nil when nothing is.
func CheckVersion(v string) error {
	epoch, upstream, revision := splitVersion(v)
	_, notInt := strconv.ParseInt(epoch, 10, 32) // dpkg's is a C int
	switch {
	case v == "":
		return errors.New("version is empty")
	case digits(epoch) != len(epoch) || notInt != nil:
		return fmt.Errorf("version %q: the epoch is no number", v)
	case upstream == "":
		return fmt.Errorf("version %q: nothing but an epoch or revision", v)
	case strings.HasSuffix(v, "-"):
		return fmt.Errorf("version %q: the revision is empty", v)
	case !isDigit(upstream[0]):
		return fmt.Errorf("version %q: does not start with a digit", v)
	}
	for i := range len(upstream) {
		if c := upstream[i]; !isDigit(c) && !isLetter(c) && !strings.ContainsRune(".-+~:", rune(c)) {
			return fmt.Errorf("version %q: has a %q", v, c)
		}
	}
	for i := range len(revision) {
		if c := revision[i]; !isDigit(c) && !isLetter(c) && !strings.ContainsRune(".+~", rune(c)) {
			return fmt.Errorf("version %q: has a %q in its revision", v, c)
		}
	}
	return nil
}
