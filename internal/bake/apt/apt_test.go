package apt

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"brickyard/internal/bake/apt/apttest"
)

// fastClient gives up soon.
func fastClient(t *testing.T) *Client {
	c := NewClient(ClientOptions{Attempts: 3, Stall: 200 * time.Millisecond, Backoff: func(int) time.Duration { return 0 }})
	t.Cleanup(c.Close)
	return c
}

func keyring(t *testing.T, keys ...apttest.Key) Keyring {
	t.Helper()
	var ring Keyring
	for _, key := range keys {
		k, err := ReadKeys("test", key.Armored())
		if err != nil {
			t.Fatal(err)
		}
		ring = ring.Merge(k)
	}
	return ring
}

// testNow is a day after the test archive's date.
var testNow = time.Unix(apttest.Epoch, 0).Add(24 * time.Hour)

func testArchive() *apttest.Archive {
	a := apttest.New()
	a.Add("stable", "main", apttest.Package{Name: "hello", Version: "1.0", Depends: "libhello"},
		apttest.Package{Name: "libhello", Arch: "amd64", Provides: "virtual (= 2)"},
		apttest.Package{Name: "other", Arch: "arm64"})
	return a
}

func load(t *testing.T, uri string, keys Keyring) (*Universe, error) {
	t.Helper()
	return loadAt(t, testNow, uri, keys)
}

func loadAt(t *testing.T, now time.Time, uri string, keys Keyring) (*Universe, error) {
	t.Helper()
	s, err := NewSource("test", uri, "stable", nil, keys)
	if err != nil {
		t.Fatal(err)
	}
	l := &Loader{Client: fastClient(t), Cache: t.TempDir(), Arch: "amd64", Now: func() time.Time { return now }}
	return l.Load(t.Context(), []Source{s})
}

func TestLoad(t *testing.T) {
	srv := testArchive().Server(t)
	dir := t.TempDir()
	if err := testArchive().Write(dir); err != nil {
		t.Fatal(err)
	}
	for _, uri := range []string{srv.URL, "file:" + dir, "file://" + dir, "copy:" + dir} {
		u, err := load(t, uri, keyring(t, apttest.TestKey))
		if err != nil {
			t.Fatal(err)
		}
		hello := u.Name("hello")
		if hello == nil || len(hello.Versions) != 1 || hello.Versions[0].SourceID() != "test/stable" {
			t.Fatalf("%s: hello is %+v", uri, hello)
		}
		if other := u.Name("other"); other != nil {
			t.Errorf("%s: took a package of another architecture", uri)
		}
		if v := u.Name("virtual"); v == nil || len(v.Providers) != 1 || v.Providers[0].Version != "2" {
			t.Errorf("%s: virtual is %+v", uri, v)
		}
		if got := u.Releases[0].SignedBy; !slices.Equal(got, []string{apttest.TestKey.Fingerprint()}) {
			t.Errorf("%s: signed by %v", uri, got)
		}
		p := hello.Versions[0]
		dest := filepath.Join(t.TempDir(), "hello.deb")
		urls := URLs([]Source{u.Releases[0].Source}, p.SourceID(), p.Filename)
		if _, err := fastClient(t).Download(t.Context(), File{URLs: urls, Dest: dest, Size: p.Size, SHA256: p.SHA256}, nil); err != nil {
			t.Error(err)
		}
	}
}

// TestRefused is about archives that must not be believed.
func TestRefused(t *testing.T) {
	sign := func(f func(o *apttest.Options)) *apttest.Archive {
		a := testArchive()
		f(a.Options("stable"))
		return a
	}
	edit := func(path string, f func([]byte) []byte) *apttest.Archive {
		return sign(func(o *apttest.Options) {
			o.Edit = func(files map[string][]byte) { files[path] = f(files[path]) }
		})
	}
	const inRelease = "dists/stable/InRelease"
	ring := keyring(t, apttest.TestKey)
	for _, tt := range []struct {
		name    string
		archive *apttest.Archive
		keys    Keyring
		want    string // part of the error; "" when there's none
	}{
		{"good", testArchive(), ring, ""},
		{"signed by a subkey", sign(func(o *apttest.Options) { o.Keys = []apttest.Key{apttest.SubKey} }), keyring(t, apttest.SubKey), ""},
		{"signed by two, one unknown", sign(func(o *apttest.Options) { o.Keys = []apttest.Key{apttest.OtherKey, apttest.TestKey} }), ring, ""},
		{"detached", sign(func(o *apttest.Options) { o.Detached = true }), ring, ""},
		{"no by-hash", sign(func(o *apttest.Options) { o.NoByHash = true }), ring, ""},
		{"wrong key", testArchive(), keyring(t, apttest.OtherKey), "is not known"},
		{"expired key", sign(func(o *apttest.Options) { o.Keys = []apttest.Key{apttest.ExpiredKey} }), keyring(t, apttest.ExpiredKey), "expired"},
		{"unsigned", sign(func(o *apttest.Options) { o.Unsigned = true }), ring, "no signature"},
		{"expired", sign(func(o *apttest.Options) { o.ValidUntil = testNow.Add(-time.Second) }), ring, "was valid until"},
		{"of tomorrow", sign(func(o *apttest.Options) { o.Date = testNow.Add(time.Minute) }), ring, "which is not yet"},
		{"other suite", sign(func(o *apttest.Options) { o.Suite, o.Codename = "testing", "next" }), ring, `suite "testing", codename "next"`},
		{"by codename", sign(func(o *apttest.Options) { o.Suite, o.Codename = "oldstable", "stable" }), ring, ""},
		{"tampered index", sign(func(o *apttest.Options) { o.Tampered = true }), ring, "wrong content"},
		{"tampered Release", edit(inRelease, func(b []byte) []byte {
			return bytes.Replace(b, []byte("Origin: Test"), []byte("Origin: Evil"), 1)
		}), ring, "not over this text"},
		{"text before", edit(inRelease, func(b []byte) []byte { return append([]byte("Suite: evil\n"), b...) }), ring, "not a clear-signed text"},
		{"text behind", edit(inRelease, func(b []byte) []byte { return append(b, "\nSuite: evil\n"...) }), ring, "behind the signature"},
		{"two messages", edit(inRelease, func(b []byte) []byte { return append(b, b...) }), ring, "behind the signature"},
		{"cut off", edit(inRelease, func(b []byte) []byte { return b[:len(b)/2] }), ring, "malformed or cut off"},
		{"not signed text at all", edit(inRelease, func([]byte) []byte { return []byte("Origin: x\n") }), ring, "not a clear-signed text"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := tt.archive.Server(t)
			now := testNow
			if tt.name == "expired key" {
				now = now.AddDate(1, 0, 0)
			}
			_, err := loadAt(t, now, srv.URL, tt.keys)
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v\nwant …%s…", err, tt.want)
			}
		})
	}
}

// An index that is not the one that its Release lists is asked for once more, with the Release: the archive may have
// changed in between.
func TestWrongIndexIsAskedForTwice(t *testing.T) {
	a := testArchive()
	a.Options("stable").Tampered = true
	srv := a.Server(t)
	_, err := loadAt(t, testNow, srv.URL, keyring(t, apttest.TestKey))
	if err == nil || strings.Count(err.Error(), srv.URL) != 1 {
		t.Errorf("got %v, want an error with the address once", err)
	}
	if releases, indexes := srv.Requests("InRelease"), srv.Requests("dists/stable/*/binary-amd64/by-hash/SHA256/*"); releases != 2 || indexes != 2 {
		t.Errorf("asked %d times for the Release, %d for an index\n%s", releases, indexes, strings.Join(srv.Log(), "\n"))
	}
}

func TestNoKeys(t *testing.T) {
	if _, err := NewSource("x", "http://archive.example/debian", "stable", nil, Keyring{}); err == nil {
		t.Error("took an archive without keys")
	}
}

// TestCache reads an index once, and again when what is in the cache is not it.
func TestCache(t *testing.T) {
	srv := testArchive().Server(t)
	s, err := NewSource("test", srv.URL, "stable", nil, keyring(t, apttest.TestKey))
	if err != nil {
		t.Fatal(err)
	}
	l := &Loader{Client: fastClient(t), Cache: t.TempDir(), Arch: "amd64", Now: func() time.Time { return testNow }}
	for i, want := range []int{1, 1, 2} {
		if i == 2 {
			entries, err := filepath.Glob(filepath.Join(l.Cache, "*"))
			if err != nil || len(entries) != 1 {
				t.Fatal(entries, err)
			}
			if err := os.WriteFile(entries[0], []byte("spoilt"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := l.Load(t.Context(), []Source{s}); err != nil {
			t.Fatal(err)
		}
		if got := srv.Requests("dists/stable/main/binary-amd64/by-hash/SHA256/*"); got != want {
			t.Errorf("after load %d: %d requests for the index, want %d: %v", i+1, got, want, srv.Log())
		}
	}
}

func TestServerFaults(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault apttest.Fault
		want  string
	}{
		{"500 once", apttest.Fault{Kind: apttest.Status, Times: 1}, ""},
		{"500 always", apttest.Fault{Kind: apttest.Status}, "500 Internal Server Error (3 attempts)"},
		{"403", apttest.Fault{Kind: apttest.Status, Code: 403}, "403 Forbidden"},
		{"hangs once", apttest.Fault{Kind: apttest.Hang, Times: 1}, ""},
		{"hangs always", apttest.Fault{Kind: apttest.Hang}, "no bytes came for too long (200ms) (3 attempts)"},
		{"hangs in the middle", apttest.Fault{Kind: apttest.Hang, After: 100}, "no bytes came for too long"},
		{"reset once", apttest.Fault{Kind: apttest.Reset, After: 50, Times: 1}, ""},
		{"truncated always", apttest.Fault{Kind: apttest.Truncate, After: 50}, "EOF"},
		{"redirects to itself", apttest.Fault{Kind: apttest.Redirect}, "redirects in a loop"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := testArchive().Server(t)
			srv.Fail("dists/stable/InRelease", tt.fault)
			_, err := load(t, srv.URL, keyring(t, apttest.TestKey))
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v\nwant …%s…", err, tt.want)
			}
			if err != nil && !strings.Contains(err.Error(), srv.URL) {
				t.Errorf("%v: does not name the address", err)
			}
		})
	}
}

func TestDownload(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 4096)
	sum := sha256.Sum256(content)
	digest := hex.EncodeToString(sum[:])
	size := int64(len(content))
	for _, tt := range []struct {
		name     string
		faults   []apttest.Fault
		part     []byte // what an earlier attempt left
		size     int64
		digest   string
		want     string
		requests int
	}{
		{name: "good", size: size, digest: digest, requests: 1},
		{name: "nothing known", size: -1, requests: 1},
		{name: "goes on", part: content[:1000], size: size, digest: digest, requests: 1},
		{name: "was there", part: content, size: size, digest: digest, requests: 0},
		{name: "part of something else", part: []byte("zzz"), size: size, digest: digest, requests: 2},
		{name: "part too long", part: append(slices.Clone(content), "zzz"...), size: size, digest: digest, requests: 1},
		{name: "no ranges", part: content[:1000], faults: []apttest.Fault{{Kind: apttest.NoRange}}, size: size, digest: digest, requests: 1},
		{name: "broken off twice", faults: []apttest.Fault{{Kind: apttest.Truncate, After: 5000, Times: 1}, {Kind: apttest.Reset, After: 9000, Times: 1}},
			size: size, digest: digest, requests: 3},
		{name: "wrong byte once", faults: []apttest.Fault{{Kind: apttest.WrongBytes, After: 7, Times: 1}}, size: size, digest: digest, requests: 2},
		{name: "wrong byte always", faults: []apttest.Fault{{Kind: apttest.WrongBytes, After: 7}}, size: size, digest: digest,
			want: "f: wrong content: want sha256 " + digest, requests: 2},
		{name: "too short", faults: []apttest.Fault{{Kind: apttest.Short, After: 9}}, size: size, digest: digest, want: "f: wrong content: want 65536 bytes, got 9 (2 attempts)", requests: 2},
		{name: "another size", size: size - 1, digest: digest, want: "wrong content: want at most 65535 bytes, got 65536", requests: 1},
		{name: "hangs", faults: []apttest.Fault{{Kind: apttest.Hang, After: 10}}, size: size, digest: digest, want: "no bytes came", requests: 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := apttest.New().Server(t)
			srv.Put("f", content)
			for _, f := range tt.faults {
				srv.Fail("f", f)
			}
			dest := filepath.Join(t.TempDir(), "f")
			if tt.part != nil {
				if err := os.WriteFile(dest+".part", tt.part, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			var told int64
			f := File{URLs: []string{srv.URL + "/f"}, Dest: dest, Size: tt.size, SHA256: tt.digest}
			got, err := fastClient(t).Download(t.Context(), f, func(n int64) { told = n })
			if n := srv.Requests("f"); n != tt.requests {
				t.Errorf("%d requests, want %d", n, tt.requests)
			}
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Count(err.Error(), srv.URL) != 1 {
					t.Errorf("got %v\nwant …%s…, the address once", err, tt.want)
				}
				if _, err := os.Stat(dest); err == nil {
					t.Error("there is a file after a failure")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if data, err := os.ReadFile(dest); err != nil || !bytes.Equal(data, content) {
				t.Errorf("read %d bytes, %v", len(data), err)
			}
			if got.SHA256 != digest || got.Size != size || tt.requests > 0 && told != size {
				t.Errorf("got %+v, told %d", got, told)
			}
		})
	}
}

func TestDownloadElsewhere(t *testing.T) {
	srv := apttest.New().Server(t)
	srv.Put("b", []byte("x"))
	dest := filepath.Join(t.TempDir(), "f")
	f := File{URLs: []string{srv.URL + "/a", srv.URL + "/b"}, Dest: dest, Size: 1}
	if got, err := fastClient(t).Download(t.Context(), f, nil); err != nil || got.URL != srv.URL+"/b" {
		t.Errorf("got %+v, %v", got, err)
	}
	f.URLs = f.URLs[:1]
	_, err := fastClient(t).Download(t.Context(), f, nil)
	if fe, ok := errors.AsType[*FetchError](err); !ok || fe.Status != http.StatusNotFound || fe.Attempts != 1 {
		t.Errorf("got %v", err)
	}
	f = File{URLs: []string{srv.URL + "/b"}, Dest: dest, Size: -1, Limit: 0}
	f.Limit = 1
	srv.Put("b", []byte("xx"))
	if _, err := fastClient(t).Download(t.Context(), f, nil); err == nil || !strings.Contains(err.Error(), "at most 1 bytes") {
		t.Errorf("got %v for a file over the limit", err)
	}
}

func TestDownloadCancelled(t *testing.T) {
	srv := apttest.New().Server(t)
	srv.Put("f", []byte("abc"))
	srv.Fail("f", apttest.Fault{Kind: apttest.Hang, After: 1})
	ctx, cancel := context.WithCancel(t.Context())
	c := NewClient(ClientOptions{})
	t.Cleanup(c.Close)
	_, err := c.Download(ctx, File{URLs: []string{srv.URL + "/f"}, Dest: filepath.Join(t.TempDir(), "f"), Size: 3}, func(n int64) {
		if n == 1 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
