package apt

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/clearsign"

	"brickyard/internal/bake/apt/control"
)

// A Release is a verified Release file: what one suite of an archive says of itself and its indexes.
type Release struct {
	Source       Source // that it is of
	Origin       string
	Label        string
	Suite        string // as the file says: "oldstable-security"; may be another than Source.Suite
	Codename     string
	Version      string
	Date         time.Time
	ValidUntil   time.Time // as the source's options have it; zero: for ever
	Components   []string
	Archs        []string
	NotAutomatic bool
	ButAutomatic bool   // ButAutomaticUpgrades
	ByHash       bool   // Acquire-By-Hash
	NoArchAll    bool   // No-Support-for-Architecture-all: Packages
	SHA256       string // of the text that was signed, 64 hex digits
	SignedBy     []string
	indexes      map[string]indexFile
}

// indexFile is one file that a Release lists.
type indexFile struct {
	path   string // below dists/SUITE
	size   int64
	sha256 string
}

// Limits of what an archive may make us read before a size is known from something signed.
const (
	maxRelease   = 32 << 20 // bytes; Debian's is 150 KiB
	maxSignature = 1 << 20
)

// maxFuture is how far ahead of our clock the Date of a Release may be: apt's Acquire::Max-FutureTime.
const maxFuture = 10 * time.Second

// parseInRelease verifies a clear-signed Release (RFC 9580, 7). Only the text that was signed is looked at, and
// there may be nothing before or behind it.
func parseInRelease(url string, data []byte, src Source, now time.Time) (*Release, error) {
	if !bytes.HasPrefix(data, []byte("-----BEGIN PGP SIGNED MESSAGE-----")) {
		return nil, fmt.Errorf("%s: not a clear-signed text: starts with %.40q", url, data)
	}
	block, rest := clearsign.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("%s: its clear-signed text is malformed or cut off", url)
	}
	if len(bytes.TrimSpace(rest)) > 0 {
		return nil, fmt.Errorf("%s: there is text behind the signature", url)
	}
	signatures, err := io.ReadAll(block.ArmoredSignature.Body)
	if err != nil {
		return nil, fmt.Errorf("%s: signature: %w", url, err)
	}
	signers, err := src.Keys.verify(url, block.Bytes, signatures, now)
	if err != nil {
		return nil, err
	}
	return parseRelease(url, bytes.ReplaceAll(block.Bytes, []byte("\r\n"), []byte("\n")), signers, src, now)
}

// parseDetached verifies a Release with its Release.gpg.
func parseDetached(url string, data, signature []byte, src Source, now time.Time) (*Release, error) {
	packets, err := dearmorSignature(signature)
	if err != nil {
		return nil, fmt.Errorf("%s.gpg: %w", url, err)
	}
	signers, err := src.Keys.verify(url, data, packets, now)
	if err != nil {
		return nil, err
	}
	return parseRelease(url, data, signers, src, now)
}

// parseRelease reads text whose signature has been verified.
func parseRelease(url string, text []byte, signers []string, src Source, now time.Time) (*Release, error) {
	s, err := control.ReadOne(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", url, err)
	}
	sum := sha256.Sum256(text)
	r := &Release{
		Source:       src,
		Origin:       s.Get("Origin"),
		Label:        s.Get("Label"),
		Suite:        s.Get("Suite"),
		Codename:     s.Get("Codename"),
		Version:      s.Get("Version"),
		Components:   strings.Fields(s.Get("Components")),
		Archs:        strings.Fields(s.Get("Architectures")),
		NotAutomatic: isYes(s.Get("NotAutomatic")),
		ButAutomatic: isYes(s.Get("ButAutomaticUpgrades")),
		ByHash:       isYes(s.Get("Acquire-By-Hash")),
		NoArchAll:    slices.Contains(strings.Fields(s.Get("No-Support-for-Architecture-all")), "Packages"),
		SHA256:       hex.EncodeToString(sum[:]),
		SignedBy:     signers,
	}
	if r.Date, err = parseDate(s.Get("Date")); err != nil {
		return nil, fmt.Errorf("%s: Date: %w", url, err)
	}
	if v := s.Get("Valid-Until"); v != "" {
		if r.ValidUntil, err = parseDate(v); err != nil {
			return nil, fmt.Errorf("%s: Valid-Until: %w", url, err)
		}
	}
	r.ValidUntil = src.options.validUntil(r.Date, r.ValidUntil)
	if r.indexes, err = parseIndexList(s.Get("SHA256")); err != nil {
		return nil, fmt.Errorf("%s: SHA256: %w", url, err)
	}
	if err := r.check(url, now); err != nil {
		return nil, err
	}
	return r, nil
}

// check refuses a Release of the wrong time or suite.
func (r *Release) check(url string, now time.Time) error {
	if r.Date.After(now.Add(maxFuture)) {
		return &timeError{url, fmt.Sprintf("it is of %s, which is not yet", r.Date.Format(time.RFC1123)), now}
	}
	if !r.ValidUntil.IsZero() && now.After(r.ValidUntil) {
		return &timeError{url, fmt.Sprintf("it was valid until %s only", r.ValidUntil.Format(time.RFC1123)), now}
	}
	if r.Source.Flat() {
		return nil
	}
	asked, _, _ := strings.Cut(r.Source.Suite, "/") // of "buster/updates" the Release says "buster"
	if !slices.Contains([]string{r.Source.Suite, asked}, r.Suite) && !slices.Contains([]string{r.Source.Suite, asked}, r.Codename) {
		return fmt.Errorf("%s: asked for suite %s, but it is of suite %q, codename %q", url, r.Source.Suite, r.Suite, r.Codename)
	}
	return nil
}

// timeError means that a Release is too old or too new.
type timeError struct {
	url, what string
	now       time.Time
}

func (e *timeError) Error() string { return fmt.Sprintf("%s: %s", e.url, e.what) }

func (e *timeError) Hint() string {
	return fmt.Sprintf("the clock here says %s; if that is right, the mirror is out of date: name another with mirror:",
		e.now.UTC().Format(time.RFC1123))
}

// parseDate reads the dates of a Release, always UTC (RFC 5322, with a day of one digit too).
func parseDate(v string) (time.Time, error) {
	for _, layout := range []string{"Mon, _2 Jan 2006 15:04:05 MST", "Mon, 02 Jan 2006 15:04:05 MST", "Mon, _2 Jan 2006 15:04:05 -0700"} {
		t, err := time.Parse(layout, v)
		if err != nil {
			continue
		}
		if name, offset := t.Zone(); offset == 0 && (name == "UTC" || name == "GMT" || name == "Z" || name == "") {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no date in UTC", v)
}

// parseIndexList reads lines of digest, size and path.
func parseIndexList(v string) (map[string]indexFile, error) {
	files := make(map[string]indexFile)
	for _, line := range control.Lines(v) {
		w := strings.Fields(line)
		if len(w) == 0 {
			continue
		}
		if len(w) != 3 || !isSHA256(w[0]) {
			return nil, fmt.Errorf("line %.80q is not a digest, a size and a path", line)
		}
		size, err := strconv.ParseInt(w[1], 10, 64)
		if err != nil || size < 0 {
			return nil, fmt.Errorf("size %q of %s is no number", w[1], w[2])
		}
		files[path.Clean(w[2])] = indexFile{w[2], size, strings.ToLower(w[0])}
	}
	if len(files) == 0 {
		return nil, errors.New("lists no files")
	}
	return files, nil
}

func isSHA256(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == sha256.Size
}

// compressions are how a Packages file may be packed, the preferred first: gzip is a quarter larger than xz, and
// three times as fast to unpack, which every lock does, where few download.
var compressions = []string{".gz", ".xz", ""}

// packages returns the Packages file of a component for an architecture, and its size unpacked (-1 when the
// Release doesn't tell).
func (r *Release) packages(component, arch string) (indexFile, int64, bool) {
	name := "Packages"
	if !r.Source.Flat() {
		name = component + "/binary-" + arch + "/Packages"
	}
	plain := int64(-1)
	if f, ok := r.indexes[name]; ok {
		plain = f.size
	}
	for _, ext := range compressions {
		if f, ok := r.indexes[name+ext]; ok {
			return f, plain, true
		}
	}
	return indexFile{}, 0, false
}
