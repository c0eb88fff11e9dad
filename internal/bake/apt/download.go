package apt

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
)

// A File is something to download.
type File struct {
	URLs   []string // where it may be, tried in this order
	Dest   string   // where it goes; until it is whole and verified it is Dest + ".part"
	Size   int64    // in bytes, -1 when not known
	SHA256 string   // 64 lower-case hex digits, "" when not known
	Limit  int64    // of Size when it isn't known; 0: 4 GiB

	Elsewhere bool // no part of an archive: apt's proxies and logins are not for it
}

const defaultLimit = 4 << 30

// Downloaded is what came.
type Downloaded struct {
	URL    string // that gave it
	Size   int64
	SHA256 string
}

// A ContentError is a file that came, but is not what was asked for. The [FetchError] around it has the address.
type ContentError struct {
	Want, Got string // a size or a digest, in words
}

func (e *ContentError) Error() string {
	return fmt.Sprintf("wrong content: want %s, got %s", e.Want, e.Got)
}

// Download brings f to f.Dest. What an earlier Download left in the .part file is gone on with if SHA256 is known.
// progress, which may be nil, is told after every piece how many bytes of the file are there; the number falls
// back when an attempt starts again. Dest must not be downloaded twice at the same time.
//
// Errors: [FetchError] for the last address, [ContentError], ctx's. Nothing is at Dest then.
func (c *Client) Download(ctx context.Context, f File, progress func(bytes int64)) (Downloaded, error) {
	if progress == nil {
		progress = func(int64) {}
	}
	if len(f.URLs) == 0 {
		return Downloaded{}, fmt.Errorf("%s: no address to get it from", filepath.Base(f.Dest))
	}
	if f.Elsewhere {
		c = c.elsewhere()
	}
	var errs []error
	for _, address := range f.URLs {
		got, err := c.downloadFrom(ctx, address, f, progress)
		if err == nil {
			return got, nil
		}
		if ctx.Err() != nil {
			return Downloaded{}, context.Cause(ctx)
		}
		errs = append(errs, err)
	}
	return Downloaded{}, errors.Join(errs...)
}

func (c *Client) downloadFrom(ctx context.Context, address string, f File, progress func(int64)) (Downloaded, error) {
	part, err := openPart(f)
	if err != nil {
		return Downloaded{}, err
	}
	defer part.file.Close()
	part.progress = progress
	start := func() int64 {
		if f.SHA256 == "" { // nothing would tell a splice of two files
			part.err = part.reset()
		}
		return part.size
	}
	wrong := 0
	if !part.done() {
		err = c.try(ctx, address, start, func(r *response) error {
			err := part.read(r)
			if _, is := errors.AsType[*ContentError](err); is {
				if wrong++; wrong > 1 { // once it may be what an earlier Download left, or the way; twice it is what they have
					return permanentError{err}
				}
			}
			return err
		})
	}
	if err != nil {
		if f.SHA256 == "" || part.size == 0 {
			os.Remove(part.file.Name())
		}
		return Downloaded{}, err
	}
	if err := os.Rename(part.file.Name(), f.Dest); err != nil {
		return Downloaded{}, err
	}
	return Downloaded{URL: redact(address), Size: part.size, SHA256: part.digest()}, nil
}

// A part is a file that is still coming.
type part struct {
	want     File
	file     *os.File
	size     int64 // bytes that are there
	hash     hash.Hash
	progress func(int64)
	err      error // of a reset before the attempt
}

// openPart opens the .part file and hashes what is in it.
func openPart(f File) (*part, error) {
	file, err := os.OpenFile(f.Dest+".part", os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	p := &part{want: f, file: file, hash: sha256.New()}
	if p.size, err = io.Copy(p.hash, file); err == nil && p.size >= p.limit() && !p.done() {
		err = p.reset()
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return p, nil
}

func (p *part) limit() int64 {
	switch {
	case p.want.Size >= 0:
		return p.want.Size
	case p.want.Limit > 0:
		return p.want.Limit
	}
	return defaultLimit
}

// reset forgets what is there.
func (p *part) reset() error {
	p.size = 0
	p.hash.Reset()
	if _, err := p.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return p.file.Truncate(0)
}

// done says whether the file is there already, whole.
func (p *part) done() bool {
	return p.want.SHA256 != "" && p.size == p.want.Size && p.digest() == p.want.SHA256
}

func (p *part) digest() string { return hex.EncodeToString(p.hash.Sum(nil)) }

// read appends a response, and checks that the file is whole and right then. A wrong one is thrown away.
func (p *part) read(r *response) error {
	if p.err != nil {
		return permanentError{p.err}
	}
	if r.offset != p.size {
		if err := p.reset(); err != nil {
			return permanentError{err}
		}
	}
	p.progress(p.size)
	if r.size > p.limit() {
		return permanentError{&ContentError{fmt.Sprintf("at most %d bytes", p.limit()), fmt.Sprintf("%d", r.size)}}
	}
	if err := p.copy(r.body); err != nil {
		return err
	}
	err := p.check(r.size)
	if err != nil {
		if err := p.reset(); err != nil {
			return permanentError{err}
		}
		p.progress(0)
	}
	return err
}

// copy appends the body to the file. Errors of the disk are final.
func (p *part) copy(body io.Reader) error {
	buf := make([]byte, 64<<10)
	for {
		n, err := body.Read(buf)
		if p.size+int64(n) > p.limit() {
			got := fmt.Sprintf("%d or more", p.size+int64(n))
			return errors.Join(&ContentError{fmt.Sprintf("at most %d bytes", p.limit()), got}, p.reset())
		}
		if _, werr := p.file.Write(buf[:n]); werr != nil {
			return permanentError{werr}
		}
		p.hash.Write(buf[:n])
		p.size += int64(n)
		if n > 0 {
			p.progress(p.size)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// check compares what is there with what was asked for. told is the size that the server said, -1 for none.
func (p *part) check(told int64) error {
	want := p.want.Size
	if want < 0 {
		want = told
	}
	if want >= 0 && p.size != want {
		return &ContentError{fmt.Sprintf("%d bytes", want), fmt.Sprintf("%d", p.size)}
	}
	if got := p.digest(); p.want.SHA256 != "" && got != p.want.SHA256 {
		return &ContentError{"sha256 " + p.want.SHA256, got}
	}
	return nil
}
