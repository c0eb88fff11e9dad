package apt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"
)

// A Client reads files by http, https, file and copy addresses. It may be used by several goroutines.
type Client struct {
	http     *http.Client
	apt      *aptTransport // of http; nil: apt's configuration isn't heeded
	plain    *http.Client  // for what is no part of an archive
	stall    time.Duration
	attempts int
	backoff  func(attempt int) time.Duration
}

// ClientOptions are what a Client may be told; the zero value is good for the open internet without a proxy.
type ClientOptions struct {
	Proxy    func(*http.Request) (*url.URL, error) // as http.ProxyFromEnvironment; nil: none
	HostApt  bool                                  // archives are reached as this machine's apt does it, by its proxies and with its logins
	NoProxy  string                                // with HostApt: the environment's no_proxy
	Stall    time.Duration                         // a transfer without a byte for this long has failed; default 30 s
	Attempts int                                   // for one address; default 4
	// Backoff is the wait before the second attempt (1), the third (2) and so on; default 1 s, doubled each time.
	Backoff func(attempt int) time.Duration
}

const (
	maxRedirects  = 10 // as curl and browsers about do; an archive needs one or two
	maxConnsAHost = 8  // downloads in parallel from one mirror
)

// NewClient returns a Client. It starts nothing.
func NewClient(o ClientOptions) *Client {
	transport := &http.Transport{
		Proxy:               o.Proxy,
		MaxConnsPerHost:     maxConnsAHost,
		MaxIdleConnsPerHost: maxConnsAHost,
		IdleConnTimeout:     30 * time.Second, // a kept connection is of use during one command only
		DisableCompression:  true,             // sizes and digests are of the bytes as stored
		ForceAttemptHTTP2:   true,
	}
	c := &Client{
		plain:    &http.Client{Transport: transport, CheckRedirect: checkRedirect},
		stall:    o.Stall,
		attempts: o.Attempts,
		backoff:  o.Backoff,
	}
	c.http = c.plain
	if o.HostApt {
		c.apt = newAptTransport(transport.Clone(), o)
		c.http = &http.Client{Transport: c.apt, CheckRedirect: checkRedirect}
	}
	if c.stall == 0 {
		c.stall = 30 * time.Second
	}
	if c.attempts == 0 {
		c.attempts = 4
	}
	if c.backoff == nil {
		c.backoff = func(attempt int) time.Duration { return time.Second << (attempt - 1) }
	}
	return c
}

// Close closes connections that are kept open.
func (c *Client) Close() {
	c.http.CloseIdleConnections()
	c.plain.CloseIdleConnections()
}

// elsewhere returns a Client for what is no part of an archive: apt's configuration isn't for that.
func (c *Client) elsewhere() *Client {
	d := *c
	d.http, d.apt = c.plain, nil
	return &d
}

var (
	errStalled  = errors.New("no bytes came for too long")
	errRedirect = errors.New("redirects")
	errAddress  = errors.New("the address is malformed")
)

func checkRedirect(req *http.Request, via []*http.Request) error {
	if slices.ContainsFunc(via, func(r *http.Request) bool { return r.URL.String() == req.URL.String() }) {
		return fmt.Errorf("%w in a loop, back to %s", errRedirect, redact(req.URL.String()))
	}
	if len(via) >= maxRedirects {
		return fmt.Errorf("%w more than %d times", errRedirect, maxRedirects)
	}
	if via[len(via)-1].URL.Scheme == "https" && req.URL.Scheme != "https" {
		return fmt.Errorf("%w from https to %s", errRedirect, redact(req.URL.String()))
	}
	return nil
}

// A FetchError is an address that could not be read.
type FetchError struct {
	URL      string // without password
	Status   int    // of HTTP; 0 when there was no answer
	Attempts int
	Err      error // what went wrong in the last attempt
}

func (e *FetchError) Error() string {
	s := e.URL + ": " + e.Err.Error()
	if e.Attempts > 1 {
		s += fmt.Sprintf(" (%d attempts)", e.Attempts)
	}
	return s
}

func (e *FetchError) Unwrap() error { return e.Err }

// NotFound says whether the server answered that there is no such file.
func (e *FetchError) NotFound() bool {
	return e.Status == http.StatusNotFound || e.Status == http.StatusGone || errors.Is(e.Err, os.ErrNotExist)
}

// isNotFound says whether err means that a file is not there, rather than that one could not ask.
func isNotFound(err error) bool {
	fe, ok := errors.AsType[*FetchError](err)
	return ok && fe.NotFound()
}

// A response is an opened address. Body must be closed.
type response struct {
	body   io.ReadCloser
	status int
	offset int64 // where in the file body starts
	size   int64 // of the whole file, -1 when not told
}

// permanentError is a failure that another attempt won't mend.
type permanentError struct{ error }

func (e permanentError) Unwrap() error { return e.error }

// try calls read for the address until it succeeds, at most c.attempts times. read gets a response that begins
// at the offset that start returns before each attempt, or at 0 when the server doesn't do ranges.
func (c *Client) try(ctx context.Context, address string, start func() int64, read func(*response) error) error {
	for attempt := 1; ; attempt++ {
		status, err := c.once(ctx, address, start(), read)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		_, permanent := errors.AsType[permanentError](err)
		if permanent || attempt >= c.attempts {
			if p, ok := err.(permanentError); ok {
				err = p.error
			}
			return &FetchError{URL: redact(address), Status: status, Attempts: attempt, Err: err}
		}
		if err := sleep(ctx, c.backoff(attempt)); err != nil {
			return err
		}
	}
}

// once makes one attempt and returns the HTTP status too, 0 when there was none.
func (c *Client) once(ctx context.Context, address string, offset int64, read func(*response) error) (int, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(c.stall, func() { cancel(errStalled) })
	defer timer.Stop()

	r, err := c.open(ctx, address, offset)
	if err == nil {
		defer r.body.Close()
		r.body = &stallReader{r.body, timer, c.stall}
		err = read(r)
	}
	if err != nil && context.Cause(ctx) == errStalled {
		err = fmt.Errorf("%w (%s)", errStalled, c.stall)
	}
	if r == nil {
		return 0, err
	}
	return r.status, err
}

// stallReader puts the timer back at every byte that comes.
type stallReader struct {
	io.ReadCloser
	timer *time.Timer
	stall time.Duration
}

func (r *stallReader) Read(b []byte) (int, error) {
	n, err := r.ReadCloser.Read(b)
	if n > 0 {
		r.timer.Reset(r.stall)
	}
	return n, err
}

// open asks for the bytes from offset on. With an error the response, if there is one, has only a status.
func (c *Client) open(ctx context.Context, address string, offset int64) (*response, error) {
	if scheme, _, _ := strings.Cut(address, ":"); scheme == "file" || scheme == "copy" {
		return openFile(address)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, permanentError{errAddress} // err has all of it
	}
	req.Header.Set("User-Agent", "brickyard")
	if offset > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	}
	resp, err := c.http.Do(req)
	if err != nil {
		err = withoutAddress(err)
		if errors.Is(err, errRedirect) {
			err = permanentError{err}
		}
		return nil, err
	}
	if resp.StatusCode == http.StatusRequestedRangeNotSatisfiable && offset > 0 {
		resp.Body.Close()
		return c.open(ctx, address, 0)
	}
	r := &response{body: resp.Body, status: resp.StatusCode, size: resp.ContentLength}
	switch {
	case resp.StatusCode == http.StatusOK:
		return r, nil
	case resp.StatusCode == http.StatusPartialContent && offset > 0:
		if r.size, err = parseContentRange(resp.Header.Get("Content-Range"), offset); err == nil {
			r.offset = offset
			return r, nil
		}
	default:
		err = fmt.Errorf("the server answers %s", resp.Status)
		if resp.StatusCode == http.StatusUnauthorized && c.apt != nil {
			err = c.apt.refused(resp)
		}
		if !worthAnother(resp.StatusCode) {
			err = permanentError{err}
		}
	}
	resp.Body.Close()
	return r, err
}

// withoutAddress takes the address out of an error's text, which repeats it with its password.
func withoutAddress(err error) error {
	if ue, ok := errors.AsType[*url.Error](err); ok {
		return ue.Err
	}
	return err
}

// worthAnother says whether a server that answered so may answer otherwise soon.
func worthAnother(status int) bool {
	return status >= 500 || status == http.StatusRequestTimeout || status == http.StatusTooManyRequests
}

// parseContentRange returns the whole size, -1 when not told (RFC 9110, 14.4).
func parseContentRange(v string, offset int64) (int64, error) {
	var first, last, size int64
	if _, err := fmt.Sscanf(v, "bytes %d-%d/%d", &first, &last, &size); err != nil {
		size = -1
		if _, err := fmt.Sscanf(v, "bytes %d-%d/*", &first, &last); err != nil {
			return 0, fmt.Errorf("the server's Content-Range %q makes no sense", v)
		}
	}
	if first != offset {
		return 0, fmt.Errorf("asked for bytes from %d on, got them from %d on", offset, first)
	}
	return size, nil
}

func openFile(address string) (*response, error) {
	_, path, _ := strings.Cut(address, ":")
	path, err := url.PathUnescape(path)
	if err != nil {
		return nil, permanentError{err}
	}
	if rest, ok := strings.CutPrefix(path, "//"); ok { // file://host/path: nobody writes a host
		path = "/" + strings.TrimLeft(rest, "/")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, permanentError{err}
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("not a regular file")
	}
	if err != nil {
		f.Close()
		return nil, permanentError{err}
	}
	return &response{body: f, size: info.Size()}, nil
}

// sleep waits for d, or returns why ctx ended.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// redact hides who asks in an address: what is before the "@" may be a password or a token.
func redact(address string) string {
	scheme, rest, ok := strings.Cut(address, "//")
	who := rest
	if _, err := url.Parse(address); err == nil {
		if i := strings.IndexAny(rest, "/?#"); i >= 0 {
			who = rest[:i]
		}
	}
	at := strings.LastIndexByte(who, '@')
	if !ok || at < 0 {
		return address
	}
	return scheme + "//***" + rest[at:]
}

// readAll returns a whole file of at most limit bytes.
func (c *Client) readAll(ctx context.Context, address string, limit int64) ([]byte, error) {
	var data []byte
	err := c.try(ctx, address, func() int64 { return 0 }, func(r *response) error {
		var err error
		if data, err = io.ReadAll(io.LimitReader(r.body, limit+1)); err != nil {
			return err
		}
		if int64(len(data)) > limit {
			return permanentError{fmt.Errorf("larger than %d bytes", limit)}
		}
		return nil
	})
	return data, err
}
