package control

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// dpkgScript answers with dpkg's own modules, a line for a line: "compare VERSION VERSION" with -1, 0 or 1, "relations FIELD"
// with the
// field as dpkg writes it, without [architectures] and <profiles>; "invalid" if it isn't valid. What it is asked about comes in hexadecimal digits.
const dpkgScript = `
use Dpkg::Version; use Dpkg::Deps; use Dpkg::ErrorHandling qw(report_options);
report_options(quiet_warnings => 1);
$SIG{__WARN__} = sub {};
$| = 1;
while (<STDIN>) {
	my ($what, @args) = split;
	@args = map { pack 'H*', $_ } @args;
	my $answer;
	if ($what eq 'compare') {
		my ($x, $y) = map { Dpkg::Version->new($_, check => 1) } @args;
		$answer = $x <=> $y if defined $x && defined $y;
	} else {
		my $deps = eval { deps_parse($args[0] // '', use_arch => 1, use_profiles => 1, build_dep => 1) };
		$answer = $deps->output() =~ s{(\([^)]*\))| \[[^]]*\]| <[^>]*>}{$1 // ''}ger if defined $deps;
	}
	$answer //= 'invalid';
	$answer =~ s/\s+/ /g;
	print "$answer\n";
}
`

// dpkg is a running dpkgScript.
type dpkg struct {
	mu  sync.Mutex // guards both
	in  io.Writer
	out *bufio.Reader
}

// startDpkg starts one for this process, which ends with it.
var startDpkg = sync.OnceValues(func() (*dpkg, error) {
	cmd := exec.Command("perl", "-e", dpkgScript)
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &dpkg{in: in, out: bufio.NewReader(out)}, cmd.Start()
})

// ask returns the answer, "invalid" if what was asked about isn't valid.
func (d *dpkg) ask(tb testing.TB, what string, args ...string) string {
	tb.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, a := range args {
		what += " " + hex.EncodeToString([]byte(a))
	}
	if _, err := io.WriteString(d.in, what+"\n"); err != nil {
		tb.Fatal(err)
	}
	answer, err := d.out.ReadString('\n')
	if err != nil {
		tb.Fatalf("dpkg's perl modules give no answer: %v: is libdpkg-perl there?", err)
	}
	return strings.TrimSpace(answer)
}

// valid asks dpkg itself, whose perl modules take more.
func valid(versions ...string) bool {
	for _, v := range versions {
		if exec.Command("dpkg", "--validate-version", v).Run() != nil {
			return false
		}
	}
	return true
}

// FuzzCompareLikeDpkg holds the order of versions, and which are valid, against dpkg's.
func FuzzCompareLikeDpkg(f *testing.F) {
	d, err := startDpkg()
	if err != nil {
		f.Fatal(err)
	}
	for _, pair := range [][2]string{{"1:2-3", "1.0~rc1"}, {"1", "0:1-0"}, {"1.2+dfsg-1~bpo1", "1.2+dfsg-1"}, {"1-", "a"}, {"0", "00"}, {"2147483648:1", "1"}} {
		f.Add(pair[0], pair[1])
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		f.Add(randomVersion(rng), randomVersion(rng))
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		got := "invalid"
		if CheckVersion(a) == nil && CheckVersion(b) == nil {
			got = fmt.Sprint(max(-1, min(1, Compare(a, b))))
		}
		if strings.Contains(a+b, "\n") { // which Dpkg::Version never ends with
			return
		}
		want := d.ask(t, "compare", a, b)
		if want != "invalid" && got == "invalid" && !valid(a, b) {
			return
		}
		if got != want {
			t.Errorf("%q, %q: %s, dpkg says %s", a, b, got, want)
		}
	})
}

// looseRelations is what one side takes and the other does not: "a (1)" is taken by us, apt and dpkg, but not by Dpkg::Deps; "a |" only
// by Dpkg::Deps; brackets of which there are too many, or in another order, are ignored by us as all are.
var looseRelations = regexp.MustCompile(`[\]>][^,|]*\[|\(\s*[^\s<>=]|\|\s*(,|\||$)|(^|,)\s*\|`)

// dpkgNames is what dpkg takes for a name and an architecture. We take others too, as apt does: there is no such package, and that is all.
var dpkgNames = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9+.-]*(:[A-Za-z0-9][A-Za-z0-9-]*)?( |$)`)

// relationPieces are what fields of relations are put together from.
var relationPieces = []string{"a", "libc6", "g++-12", " ", ",", ", ", "|", " | ", "(<<", "(<= ", " (=", " ( >=", " ( >> ", " (<", "(> ", ")", " ) ", "1", "1:2-3~x",
	":any", ":native", ":amd64", ":", "\n\t", "a (>= 1)", "b (= 0:1-1) | c", " [amd64]", " [!i386 x32]", " <!nocheck>", " <x y> <z>"}

// FuzzRelationsLikeDpkg holds how a field of relations is read against dpkg.
func FuzzRelationsLikeDpkg(f *testing.F) {
	d, err := startDpkg()
	if err != nil {
		f.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		pieces := make([]byte, 1+rng.IntN(8))
		for i := range pieces {
			pieces[i] = byte(rng.IntN(len(relationPieces)))
		}
		f.Add(pieces)
	}
	f.Fuzz(func(t *testing.T, pieces []byte) {
		var text strings.Builder
		for _, p := range pieces {
			text.WriteString(relationPieces[int(p)%len(relationPieces)])
		}
		if looseRelations.MatchString(text.String()) {
			return
		}
		got := "invalid"
		if list, err := ParseRelations(text.String()); err == nil {
			var parts []string
			for _, c := range list {
				for _, r := range c {
					if !dpkgNames.MatchString(r.String()) {
						return
					}
				}
				parts = append(parts, c.String())
			}
			got = strings.Join(parts, ", ")
		}
		want := d.ask(t, "relations", text.String())
		if _, err := ParseRelations(want); got == "invalid" && err != nil {
			return // Dpkg::Deps leaves it to others to see that "(>= >)" has no version
		}
		if got != want {
			t.Errorf("%q: %s, dpkg says %s", text.String(), got, want)
		}
	})
}

// randomVersion draws a version, which mostly is valid.
func randomVersion(rng *rand.Rand) string {
	const chars = "001129aZz.+~-:"
	b := []byte{'0' + byte(rng.IntN(3))}
	for range rng.IntN(6) {
		b = append(b, chars[rng.IntN(len(chars))])
	}
	return string(b)
}
