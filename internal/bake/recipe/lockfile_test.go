package recipe

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var digits = strings.Repeat("0123456789abcdef", 4)

func testLock() *Lock {
	epoch := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	return &Lock{
		Version: 1, Request: "sha256:" + digits, Arch: "amd64", Epoch: epoch,
		Base:   &LockedBase{Name: "web:1.0", Digest: "sha256:" + digits},
		Rootfs: digits,
		Sources: []LockedFrom{{
			ID: "debian/bookworm", Origin: "Debian", Suite: "bookworm", Components: []string{"main"},
			Date: epoch, SHA256: digits, SignedBy: []string{strings.Repeat("A1", 20)},
		}},
		Packages: []LockedDeb{
			{Name: "adduser", Version: "3.134", Arch: "all", Size: 105364, SHA256: digits, Source: "adduser",
				From: "debian/bookworm", Path: "pool/main/a/adduser/adduser_3.134_all.deb", Essential: true},
			{Name: "local", Version: "1:1.0-1", Arch: "amd64", Size: 1, SHA256: digits, Source: "local-src",
				SourceVersion: "1.0", From: "file", Path: "./local.deb", Asked: true},
		},
		URLs: []LockedURL{{URL: "https://archive.example/a b?c={d}", Size: 0, SHA256: digits}},
	}
}

func TestLockRoundTrip(t *testing.T) {
	want := testLock()
	text := want.Encode()
	got, err := ParseLock(text, "recipe.lock")
	if err != nil {
		t.Fatalf("%v\nin\n%s", err, text)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("encoded and parsed (-want +got):\n%s\nin\n%s", diff, text)
	}
	if again := string(got.Encode()); again != string(text) {
		t.Errorf("encoded twice:\n%s", cmp.Diff(string(text), again))
	}
}
