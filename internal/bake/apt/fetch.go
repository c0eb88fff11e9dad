package apt

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
	"golang.org/x/sync/errgroup"

	"brickyard/internal/bake/apt/xz"
)

// A Loader fetches what sources list.
type Loader struct {
	Client *Client
	Cache  string           // directory for indexes, named by sha256; made when it isn't there
	Arch   string           // Debian's name
	Now    func() time.Time // the clock that Date and Valid-Until are held against
	OnFile func(url string, bytes int64)
}

// maxIndex bounds an unpacked Packages file; Debian's main is 50 MiB.
const maxIndex = 1 << 30

// maxIndexDict is what unpacking an index may take in memory: xz -9 asks for as much.
const maxIndexDict = 64 << 20

// Load verifies the Release of every source and reads the indexes that it lists. A source of the host that turns
// out to be of another origin than the distribution asked for is left out; two that are the same suite of the
// same archive become one.
//
// Errors: [FetchError], [SignatureError], [NoSourceError], and others that name the address.
func (l *Loader) Load(ctx context.Context, sources []Source) (*Universe, error) {
	if err := os.MkdirAll(l.Cache, 0o777); err != nil {
		return nil, err
	}
	fetched := make([]*fetchedSource, len(sources))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(4) // sources at once; more don't make one mirror faster
	for i, s := range sources {
		g.Go(func() error {
			var err error
			fetched[i], err = l.fetch(gctx, s)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	kept, err := merge(sources, fetched)
	if err != nil {
		return nil, err
	}
	u := NewUniverse(l.Arch)
	for _, f := range kept {
		u.Releases = append(u.Releases, f.release)
		for _, index := range f.indexes {
			if err := index.addTo(u, f.release); err != nil {
				return nil, fmt.Errorf("%s: %w", index.url, err)
			}
		}
	}
	return u, nil
}

// fetchedSource is a verified Release with its indexes. One that is left out has none.
type fetchedSource struct {
	release *Release
	indexes []fetchedIndex
	leftOut string // why, "" when it isn't
}

// fetchedIndex is a verified Packages file as stored.
type fetchedIndex struct {
	url  string // redacted
	ext  string // ".xz", ".gz" or ""
	data []byte
	size int64 // unpacked, -1 when not told
}

// merge drops sources that are left out and joins those with one ID.
func merge(sources []Source, fetched []*fetchedSource) ([]*fetchedSource, error) {
	var kept []*fetchedSource
	for i, f := range fetched {
		if f.leftOut != "" {
			continue
		}
		same := slices.IndexFunc(kept, func(k *fetchedSource) bool { return k.release.Source.ID == sources[i].ID })
		if same < 0 {
			kept = append(kept, f)
			continue
		}
		first := &kept[same].release.Source
		first.URIs = append(slices.Clone(first.URIs), sources[i].URIs...)
	}
	for i, s := range sources {
		if why := fetched[i].leftOut; why != "" && !slices.ContainsFunc(kept, func(k *fetchedSource) bool { return k.release.Source.Origin == s.Origin }) {
			return nil, &NoSourceError{Distro: s.Origin, Suite: s.Suite, Why: fmt.Sprintf("%s, named in %s, %s", s, s.Where, why)}
		}
	}
	return kept, nil
}

// fetch reads one source. When the archive changes between Release and indexes, it is read once more.
func (l *Loader) fetch(ctx context.Context, s Source) (*fetchedSource, error) {
	if s.problem != nil {
		return nil, s.problem
	}
	if why := s.options.without(l.Arch); why != "" {
		return &fetchedSource{leftOut: why}, nil
	}
	f, err := l.fetchOnce(ctx, s)
	if _, wrong := errors.AsType[*ContentError](err); wrong || isNotFound(err) {
		f, err = l.fetchOnce(ctx, s)
	}
	if err != nil {
		where := s.ID
		if s.Where != "" {
			where += ", named in " + s.Where
		}
		return nil, fmt.Errorf("source %s: %w", where, err)
	}
	return f, nil
}

func (l *Loader) fetchOnce(ctx context.Context, s Source) (*fetchedSource, error) {
	var errs []error
	for i, uri := range s.URIs {
		f, err := l.fetchFrom(ctx, s, uri)
		if err == nil {
			// The mirror that works goes first.
			f.release.Source.URIs = slices.Concat(s.URIs[i:i+1], s.URIs[:i], s.URIs[i+1:])
			return f, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

func (l *Loader) fetchFrom(ctx context.Context, s Source, uri string) (*fetchedSource, error) {
	base := distURL(uri, strings.ReplaceAll(s.Suite, "$(ARCH)", l.Arch))
	rel, err := l.release(ctx, s, base)
	if err != nil {
		return nil, err
	}
	f := &fetchedSource{release: rel}
	if s.Origin != "" && !strings.EqualFold(rel.Origin, s.Origin) {
		if s.guess {
			f.leftOut = fmt.Sprintf("is of origin %q", rel.Origin)
			return f, nil
		}
		return nil, fmt.Errorf("%s: its origin is %q, not %q", redact(base), rel.Origin, s.Origin)
	}
	components := s.Components
	if s.Flat() {
		components = []string{""}
	}
	for _, c := range components {
		list, err := l.component(ctx, rel, base, c)
		if err != nil {
			return nil, err
		}
		f.indexes = append(f.indexes, list...)
	}
	return f, nil
}

// distURL is where the Release of a suite is, with "/" at the end.
func distURL(uri, suite string) string {
	if strings.HasSuffix(suite, "/") {
		return uri + "/" + strings.TrimLeft(escapePath(strings.TrimPrefix(suite, "./")), "/")
	}
	return uri + "/dists/" + escapePath(suite) + "/"
}

// release fetches and verifies InRelease, or Release and Release.gpg where there is none.
func (l *Loader) release(ctx context.Context, s Source, base string) (*Release, error) {
	now := l.Now()
	name := cmp.Or(s.options.inRelease, "InRelease")
	data, err := l.Client.readAll(ctx, base+escapePath(name), maxRelease)
	if err == nil {
		return parseInRelease(redact(base)+name, data, s, now)
	}
	if !isNotFound(err) || s.options.inRelease != "" {
		return nil, err
	}
	if data, err = l.Client.readAll(ctx, base+"Release", maxRelease); err != nil {
		return nil, err
	}
	signature, err := l.Client.readAll(ctx, base+"Release.gpg", maxSignature)
	if err != nil {
		if isNotFound(err) {
			return nil, &SignatureError{URL: redact(base) + "Release", Keys: s.Keys}
		}
		return nil, err
	}
	return parseDetached(redact(base)+"Release", data, signature, s, now)
}

// component fetches the Packages files of one component: for the architecture, and for "all" where the archive
// keeps these apart.
func (l *Loader) component(ctx context.Context, rel *Release, base, component string) ([]fetchedIndex, error) {
	var list []fetchedIndex
	archs := []string{l.Arch}
	if slices.Contains(rel.Archs, "all") && !rel.NoArchAll && !rel.Source.Flat() {
		archs = append(archs, "all")
	}
	for _, arch := range archs {
		file, plain, ok := rel.packages(component, arch)
		if !ok {
			continue
		}
		data, err := l.index(ctx, rel, base, file)
		if err != nil {
			return nil, err
		}
		list = append(list, fetchedIndex{redact(base) + file.path, filepath.Ext(file.path), data, plain})
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s: has no packages for component %q, architecture %s (components %s; architectures %s)",
			redact(base), component, l.Arch, strings.Join(rel.Components, " "), strings.Join(rel.Archs, " "))
	}
	return list, nil
}

// index returns a file that a Release lists, from the cache if it is there.
func (l *Loader) index(ctx context.Context, rel *Release, base string, file indexFile) ([]byte, error) {
	if file.size > maxIndex {
		return nil, fmt.Errorf("%s: %d bytes are too many for an index", redact(base)+file.path, file.size)
	}
	cached := filepath.Join(l.Cache, file.sha256)
	if data, err := os.ReadFile(cached); err == nil && file.matches(data) {
		return data, nil
	}
	addresses := []string{base + escapePath(file.path)}
	if rel.ByHash && rel.Source.options.byHash != "no" || rel.Source.options.byHash == "force" {
		dir := escapePath(file.path[:strings.LastIndexByte(file.path, '/')+1])
		addresses = slices.Insert(addresses, 0, base+dir+"by-hash/SHA256/"+file.sha256)
	}
	var data []byte
	var err error
	for _, address := range addresses {
		if data, err = l.readIndex(ctx, address, file); err == nil || !isNotFound(err) {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	return data, writeFile(cached, data)
}

func (l *Loader) readIndex(ctx context.Context, address string, file indexFile) ([]byte, error) {
	data := make([]byte, 0, file.size)
	err := l.Client.try(ctx, address, func() int64 { return 0 }, func(r *response) error {
		buf := bytes.NewBuffer(data[:0])
		if _, err := io.Copy(buf, io.LimitReader(r.body, file.size+1)); err != nil {
			return err
		}
		data = buf.Bytes()
		if !file.matches(data) {
			got := fmt.Sprintf("%d bytes, sha256 %x", len(data), sha256.Sum256(data))
			wrong := &ContentError{fmt.Sprintf("%d bytes, sha256 %s", file.size, file.sha256), got}
			return permanentError{wrong} // fetch tries once more, from the Release on
		}
		if l.OnFile != nil {
			l.OnFile(redact(address), int64(len(data)))
		}
		return nil
	})
	return data, err
}

func (f indexFile) matches(data []byte) bool {
	if int64(len(data)) != f.size {
		return false
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]) == f.sha256
}

// writeFile puts data at path, whole or not at all.
func writeFile(path string, data []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".index-")
	if err != nil {
		return err
	}
	_, err = tmp.Write(data)
	err = errors.Join(err, tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return nil
}

// addTo unpacks the index into u, no further than it said it would go. Unpacking takes longer than reading the
// paragraphs, so it has a goroutine of its own.
func (f *fetchedIndex) addTo(u *Universe, rel *Release) error {
	r, err := f.unpack()
	if err != nil {
		return err
	}
	limit := f.size
	if limit < 0 || limit > maxIndex {
		limit = maxIndex
	}
	bounded := &io.LimitedReader{R: r, N: limit + 1}
	pr, pw := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, err := io.CopyBuffer(struct{ io.Writer }{pw}, bounded, make([]byte, 1<<20))
		if err == nil && bounded.N == 0 {
			err = fmt.Errorf("unpacks to more than %d bytes", limit)
		}
		pw.CloseWithError(err)
	}()
	err = u.AddIndex(rel, pr)
	pr.CloseWithError(err) // ends the goroutine when there is an error here
	<-done
	f.data = nil
	return err
}

func (f *fetchedIndex) unpack() (io.Reader, error) {
	r := bytes.NewReader(f.data)
	switch f.ext {
	case ".xz":
		x := xz.NewReader(maxIndexDict)
		x.Reset(r)
		return x, nil
	case ".gz":
		return gzip.NewReader(r)
	}
	return r, nil
}

// URLs returns where a file of the source id may be had from, as p.Filename and p.SourceID of a [Package] name it.
func URLs(sources []Source, id, file string) []string {
	var list []string
	for _, s := range sources {
		if s.ID != id {
			continue
		}
		for _, uri := range s.URIs {
			list = append(list, uri+"/"+escapePath(file))
		}
	}
	return list
}

// escapePath writes a path as part of an address. "+" is escaped too: some servers take it for a space.
func escapePath(p string) string {
	parts := strings.Split(p, "/")
	for i := range parts {
		parts[i] = strings.ReplaceAll(url.PathEscape(parts[i]), "+", "%2B")
	}
	return strings.Join(parts, "/")
}
