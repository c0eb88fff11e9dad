package apttest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// get fetches a path, with a Range header if it is not empty.
func get(t *testing.T, url, byteRange string) (status int, body []byte, err error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if byteRange != "" {
		req.Header.Set("Range", byteRange)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	return resp.StatusCode, body, err
}

const debPath = "pool/main/h/hello/hello_1.0_all.deb"

// served is a server with one package of some KiB, and the package.
func served(t *testing.T) (*Server, []byte) {
	t.Helper()
	a := New()
	p := Package{Name: "hello", Files: []File{{Path: "x", Content: strings.Repeat("x", 5000)}}}
	a.Add("stable", "main", p)
	return a.Server(t), Build(p)
}

func TestServer(t *testing.T) {
	srv, deb := served(t)
	status, body, err := get(t, srv.URL+"/"+debPath, "")
	if err != nil || status != 200 || !bytes.Equal(body, deb) {
		t.Errorf("get: %d, %d bytes, %v", status, len(body), err)
	}
	status, body, err = get(t, srv.URL+"/"+debPath, "bytes=100-")
	if err != nil || status != 206 || !bytes.Equal(body, deb[100:]) {
		t.Errorf("get from byte 100: %d, %d bytes, %v", status, len(body), err)
	}
	if status, _, err := get(t, srv.URL+"/dists/none/InRelease", ""); err != nil || status != 404 {
		t.Errorf("get what is not there: %d, %v", status, err)
	}
	if got := srv.Requests("*.deb"); got != 2 {
		t.Errorf("Requests(*.deb) = %d, want 2", got)
	}
	want := []string{"GET " + debPath, "GET " + debPath + " bytes=100-", "GET dists/none/InRelease"}
	if got := srv.Log(); !slices.Equal(got, want) {
		t.Errorf("Log:\n got %q\nwant %q", got, want)
	}
	srv.Put("dists/none/InRelease", []byte("x"))
	if status, body, err := get(t, srv.URL+"/dists/none/InRelease", ""); err != nil || status != 200 || string(body) != "x" {
		t.Errorf("get what was put there: %d, %q, %v", status, body, err)
	}
}

func TestFaults(t *testing.T) {
	for _, tt := range []struct {
		name   string
		fault  Fault
		rng    string
		status int
		same   int // bytes at the start that are the package's
		size   int // bytes in all
		err    error
	}{
		{"500", Fault{}, "", 500, 0, 22, nil},
		{"403", Fault{Code: 403}, "", 403, 0, 22, nil},
		{"truncate", Fault{Kind: Truncate, After: 100}, "", 200, 100, 100, io.ErrUnexpectedEOF},
		{"truncate before the header", Fault{Kind: Truncate}, "", 0, 0, 0, io.EOF},
		{"reset before the header", Fault{Kind: Reset}, "", 0, 0, 0, syscall.ECONNRESET},
		{"short", Fault{Kind: Short, After: 100}, "", 200, 100, 100, nil},
		{"wrong bytes", Fault{Kind: WrongBytes, After: 100}, "", 200, 100, -1, nil},
		{"no ranges", Fault{Kind: NoRange}, "bytes=100-", 200, -1, -1, nil},
		{"slow", Fault{Kind: Slow, Delay: time.Microsecond}, "", 200, -1, -1, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv, deb := served(t)
			want := func(n int) int {
				if n < 0 {
					return len(deb)
				}
				return n
			}
			srv.Fail("*.deb", tt.fault)
			status, body, err := get(t, srv.URL+"/"+debPath, tt.rng)
			if status != tt.status || len(body) != want(tt.size) || !errors.Is(err, tt.err) {
				t.Errorf("got %d, %d bytes, %v; want %d, %d bytes, %v", status, len(body), err, tt.status, want(tt.size), tt.err)
			}
			if got := samePrefix(body, deb); got != want(tt.same) {
				t.Errorf("the first %d bytes are right, want %d", got, want(tt.same))
			}
			srv.Heal()
			if status, body, err := get(t, srv.URL+"/"+debPath, ""); err != nil || status != 200 || !bytes.Equal(body, deb) {
				t.Errorf("after Heal: %d, %d bytes, %v", status, len(body), err)
			}
		})
	}
}

func samePrefix(a, b []byte) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

func TestFaultTimes(t *testing.T) {
	srv, _ := served(t)
	srv.Fail(debPath, Fault{Times: 2})
	srv.Fail("dists/*/InRelease", Fault{Times: 1, Code: 503})
	srv.Fail("InRelease", Fault{Times: 1, Code: 404})
	for _, tt := range []struct {
		path string
		want []int
	}{
		{debPath, []int{500, 500, 200, 200}},
		{"dists/stable/InRelease", []int{503, 404, 200}},
		{"dists/stable/Release", []int{200}},
	} {
		var got []int
		for range tt.want {
			status, _, err := get(t, srv.URL+"/"+tt.path, "")
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, status)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.path, got, tt.want)
		}
	}
}

func TestRedirectLoop(t *testing.T) {
	srv, _ := served(t)
	srv.Fail("InRelease", Fault{Kind: Redirect})
	_, _, err := get(t, srv.URL+"/dists/stable/InRelease", "")
	if err == nil || !strings.Contains(err.Error(), "redirects") {
		t.Errorf("got %v, want too many redirects", err)
	}
}

// A hanging request ends with the client or with the server: when the server is closed nothing is left that waits.
func TestHang(t *testing.T) {
	for _, clientLeaves := range []bool{true, false} {
		t.Run(fmt.Sprintf("client leaves: %t", clientLeaves), func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var body io.ReadCloser
			t.Run("while the server is there", func(t *testing.T) {
				srv, _ := served(t)
				srv.Fail("*.deb", Fault{Kind: Hang, After: 100})
				req, err := http.NewRequestWithContext(ctx, http.MethodGet, srv.URL+"/"+debPath, nil)
				if err != nil {
					t.Fatal(err)
				}
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				body = resp.Body
				if n, err := io.ReadFull(body, make([]byte, 100)); err != nil {
					t.Errorf("%d of the first 100 bytes: %v", n, err)
				}
				if clientLeaves {
					cancel()
				}
			})
			defer body.Close()
			if n, err := io.Copy(io.Discard, body); n != 0 || err == nil {
				t.Errorf("then came %d bytes, %v", n, err)
			}
		})
	}
}

func TestSlowWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var rec recorder
		start := time.Now()
		w := &slowWriter{&rec, &http.Request{}, make(chan struct{}), time.Second}
		if n, err := w.Write(make([]byte, 2500)); n != 2500 || err != nil {
			t.Errorf("Write: %d, %v", n, err)
		}
		if got := time.Since(start); got != 3*time.Second {
			t.Errorf("3 KiB took %v, want 3s", got)
		}
		close(w.done)
		if n, err := w.Write(make([]byte, 10)); n != 0 || err == nil {
			t.Errorf("Write after the end: %d, %v", n, err)
		}
	})
}

// recorder is a ResponseWriter that can be flushed.
type recorder struct{ http.ResponseWriter }

func (*recorder) Write(p []byte) (int, error) { return len(p), nil }
func (*recorder) Flush()                      {}

func TestPublish(t *testing.T) {
	a := New()
	a.Add("stable", "main", Package{Name: "hello"})
	srv := a.Server(t)
	a.Remove("stable", "hello")
	a.Add("stable", "main", Package{Name: "hello", Version: "2.0"})
	if got := srv.Paths(); !slices.Contains(got, debPath) {
		t.Errorf("the archive changed, and with it what is served: %q", got)
	}
	if err := srv.Publish(a); err != nil {
		t.Fatal(err)
	}
	if got := srv.Paths(); slices.Contains(got, debPath) || !slices.Contains(got, "pool/main/h/hello/hello_2.0_all.deb") {
		t.Errorf("after Publish: %q", got)
	}
}

func TestSameBytes(t *testing.T) {
	// Pinned: recipes baked from test archives have digests that other tests pin.
	a, err := demo("stable").Files()
	if err != nil {
		t.Fatal(err)
	}
	b, err := demo("stable").Files()
	if err != nil {
		t.Fatal(err)
	}
	if !maps.EqualFunc(a, b, bytes.Equal) {
		t.Error("two archives of the same packages differ")
	}
	for _, name := range []string{"InRelease", "Release.gpg"} { // a signature may look different with the next go-crypto
		delete(a, "dists/stable/"+name)
	}
	const want = "fa48ac639cd9227ab7706bee6c7121ae3249bb11d1650656eed0efd1225fdd27"
	if got := digest(a); got != want {
		t.Errorf("all files together have the sha256 %s, want %s", got, want)
	}
}
