package apttest

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A Fault is how a server misbehaves.
type Fault struct {
	Kind  FaultKind
	Times int           // requests it is for; 0 is all of them. The ones after are answered as they should be
	After int           // bytes of the body that are sent before: Hang, Reset, Truncate, WrongBytes
	Code  int           // Status; default 500
	Delay time.Duration // Slow: before every KiB; default 10 ms
}

// A FaultKind is one way to misbehave.
type FaultKind int

// The ways to misbehave.
const (
	Status     FaultKind = iota // an error status and no file
	Hang                        // nothing more comes, until the client or the server goes away
	Reset                       // the connection is reset
	Truncate                    // the connection ends early, in order: fewer bytes than Content-Length says
	Short                       // only After bytes, and Content-Length says just that
	Redirect                    // to itself, for ever
	Slow                        // a KiB at a time
	WrongBytes                  // one byte of the body, at After, is another; the length fits
	NoRange                     // a Range header is not heeded
)

// A Server serves an archive over HTTP on the loopback, with ranges and Last-Modified, and counts.
type Server struct {
	URL string // without a final slash

	http *httptest.Server
	done chan struct{} // closed when the server goes away

	mu     sync.Mutex // guards what is below
	files  map[string][]byte
	faults []*fault
	log    []string
}

type fault struct {
	Fault
	pattern string
	left    int // requests; -1 is no end
}

// Server serves the archive as it is now, until the test ends.
func (a *Archive) Server(tb testing.TB) *Server {
	tb.Helper()
	s := &Server{done: make(chan struct{})}
	if err := s.Publish(a); err != nil {
		tb.Fatal(err)
	}
	s.http = httptest.NewServer(s)
	s.URL = s.http.URL
	tb.Cleanup(func() {
		close(s.done)
		s.http.CloseClientConnections()
		s.http.Close()
	})
	return s
}

// Publish replaces what is served by the archive as it is now.
func (s *Server) Publish(a *Archive) error {
	files, err := a.Files()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files = files
	return nil
}

// Put serves data at a path below the archive's root.
func (s *Server) Put(name string, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[name] = data
}

// Fail makes requests misbehave. The pattern is one of [path.Match] for the path below the root
// ("dists/stable/InRelease"), or, without a slash, for its last element ("*.deb"). Of several
// that match, the one added first is used, until its Times are over.
func (s *Server) Fail(pattern string, f Fault) {
	if _, err := path.Match(pattern, ""); err != nil {
		panic(fmt.Sprintf("apttest: pattern %q: %v", pattern, err))
	}
	left := f.Times
	if left == 0 {
		left = -1
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &fault{Fault: f, pattern: pattern, left: left})
}

// Heal takes all faults away.
func (s *Server) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// Requests returns how many requests matched the pattern (see Fail), those that misbehaved too.
func (s *Server) Requests(pattern string) int {
	n := 0
	for _, line := range s.Log() {
		_, name, _ := strings.Cut(line, " ")
		name, _, _ = strings.Cut(name, " ")
		if matches(pattern, name) {
			n++
		}
	}
	return n
}

// Log returns the requests in the order they came: "GET dists/stable/InRelease", and the Range header
// after it if there was one: "GET pool/main/h/hello/hello_1.0_all.deb bytes=512-".
func (s *Server) Log() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.log)
}

// Paths returns what is served, sorted.
func (s *Server) Paths() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.files))
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(path.Clean(r.URL.Path), "/")
	data, found, f := s.take(name, r)
	switch {
	case f != nil:
		s.misbehave(w, r, data, *f)
	case !found:
		http.NotFound(w, r)
	default:
		serve(w, r, data)
	}
}

// take writes the request down, and finds what is at the path and what is to go wrong.
func (s *Server) take(name string, r *http.Request) (data []byte, found bool, f *Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	line := r.Method + " " + name
	if rng := r.Header.Get("Range"); rng != "" {
		line += " " + rng
	}
	s.log = append(s.log, line)
	data, found = s.files[name]
	for _, f := range s.faults {
		if f.left == 0 || !matches(f.pattern, name) {
			continue
		}
		if f.left > 0 {
			f.left--
		}
		return data, found, &f.Fault
	}
	return data, found, nil
}

func matches(pattern, name string) bool {
	if !strings.Contains(pattern, "/") {
		name = path.Base(name)
	}
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}

func serve(w http.ResponseWriter, r *http.Request, data []byte) {
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, "", time.Unix(Epoch, 0), bytes.NewReader(data))
}

func (s *Server) misbehave(w http.ResponseWriter, r *http.Request, data []byte, f Fault) {
	switch f.Kind {
	case Status:
		code := f.Code
		if code == 0 {
			code = http.StatusInternalServerError
		}
		http.Error(w, "as the test asked for", code)
	case Redirect:
		http.Redirect(w, r, r.URL.Path, http.StatusFound)
	case NoRange:
		r.Header.Del("Range")
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
		w.Write(data)
	case Short:
		serve(w, r, data[:min(f.After, len(data))])
	case WrongBytes:
		serve(w, r, wrong(data, f.After))
	case Slow:
		if f.Delay == 0 {
			f.Delay = 10 * time.Millisecond
		}
		serve(&slowWriter{w, r, s.done, f.Delay}, r, data)
	case Hang, Reset, Truncate:
		begin(w, data, f.After)
		s.end(w, r, f.Kind)
	}
}

// wrong returns data with the byte at i, or the last one, changed.
func wrong(data []byte, i int) []byte {
	data = bytes.Clone(data)
	if len(data) > 0 {
		data[min(i, len(data)-1)] ^= 0xff
	}
	return data
}

// begin sends the header and n bytes of data; with n 0, nothing at all.
func begin(w http.ResponseWriter, data []byte, n int) {
	if n == 0 {
		return
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(data)))
	w.Write(data[:min(n, len(data))])
	http.NewResponseController(w).Flush()
}

// end ends a connection as no good server does.
func (s *Server) end(w http.ResponseWriter, r *http.Request, kind FaultKind) {
	if kind == Hang {
		select {
		case <-r.Context().Done():
		case <-s.done:
		}
	}
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	if tcp, ok := conn.(interface{ SetLinger(int) error }); ok && kind == Reset {
		tcp.SetLinger(0) // close sends RST
	}
	conn.Close()
}

// A slowWriter waits before every KiB.
type slowWriter struct {
	http.ResponseWriter
	r     *http.Request
	done  chan struct{}
	delay time.Duration
}

func (w *slowWriter) Write(p []byte) (int, error) {
	n := 0
	for len(p) > 0 {
		select {
		case <-time.After(w.delay):
		case <-w.r.Context().Done():
			return n, io.ErrClosedPipe
		case <-w.done:
			return n, io.ErrClosedPipe
		}
		m, err := w.ResponseWriter.Write(p[:min(1024, len(p))])
		n += m
		if err != nil {
			return n, err
		}
		if err := http.NewResponseController(w.ResponseWriter).Flush(); err != nil {
			return n, err
		}
		p = p[m:]
	}
	return n, nil
}
