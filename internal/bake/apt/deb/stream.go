package deb

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"brickyard/internal/bake/apt/xz"
)

// Memory that a stream may ask of us to be uncompressed.
const (
	maxXzDict     = 64 << 20  // "xz -9", the most that dpkg-deb asks for
	maxZstdWindow = 128 << 20 // "zstd --ultra -22"
)

// A stream is a member's content, uncompressed and counted.
type stream struct {
	*bufio.Reader // of the counted bytes

	ctx     context.Context
	name    string // of the member
	in      *input
	out     io.Reader // uncompressed
	limit   int64     // bytes that may come
	left    int64     // bytes that may still come
	release func()    // gives what is pooled back
}

// open starts to read a member. The caller must close the stream.
func (p *Package) open(ctx context.Context, m member, limit int64) (*stream, error) {
	s := &stream{ctx: ctx, name: m.name, limit: limit, left: limit, in: &input{r: io.NewSectionReader(p.r, m.off, m.size)}}
	var err error
	if s.out, s.release, err = uncompress(s.in, path.Ext(m.name)); err != nil {
		return nil, s.fault(err)
	}
	s.Reader = buffers.Get().(*bufio.Reader)
	s.Reader.Reset(counted{s})
	return s, nil
}

func (s *stream) close() {
	if s.Reader == nil {
		return
	}
	s.Reader.Reset(nil)
	buffers.Put(s.Reader)
	s.release()
	s.Reader, s.out = nil, nil
}

// counted is what is below the stream's buffer.
type counted struct{ s *stream }

func (c counted) Read(p []byte) (int, error) {
	s := c.s
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := s.out.Read(p)
	if s.left -= int64(n); s.left < 0 {
		return 0, fmt.Errorf("%s: %w", s.name, ErrLimit)
	}
	if err != nil && err != io.EOF {
		err = s.fault(err)
	}
	return n, err
}

// fault tells a broken member from a file that can't be read.
func (s *stream) fault(err error) error {
	switch {
	case s.in.err != nil:
		return fmt.Errorf("%s: %w", s.name, s.in.err)
	case errors.Is(err, xz.ErrMemory), errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return fmt.Errorf("%s needs too much memory to uncompress: %w", s.name, ErrLimit)
	}
	return fmt.Errorf("%w: %s: %w", ErrFormat, s.name, err)
}

// end reads to the end, so that the compressed format's own checksum is checked. After a tar archive's end
// there is padding: anything else is hidden from one program or the other.
func (s *stream) end() error {
	for {
		b, err := s.Peek(s.Size())
		if len(bytes.Trim(b, "\x00")) > 0 {
			return fmt.Errorf("%w: %s: something follows the end of the archive", ErrFormat, s.name)
		}
		if err == io.EOF && s.left == s.limit {
			return fmt.Errorf("%w: %s is empty", ErrFormat, s.name)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := s.Discard(len(b)); err != nil {
			return err
		}
	}
}

// An input is the compressed bytes. It remembers why they could not be read.
type input struct {
	r   io.Reader
	err error
}

func (in *input) Read(p []byte) (int, error) {
	n, err := in.r.Read(p)
	if err != nil && err != io.EOF {
		in.err = err
	}
	return n, err
}

// What costs to be made is kept: a bake opens hundreds of packages, and an xz dictionary has 8 MiB.
var (
	buffers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 128<<10) }}
	inputs  = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 32<<10) }}
	gzips   = sync.Pool{New: func() any { return new(gzip.Reader) }}
	xzs     = sync.Pool{New: func() any { return xz.NewReader(maxXzDict) }}
	zstds   sync.Pool // of *zstd.Decoder
)

// uncompress returns a reader by the suffix of a member's name, and what to call when it is no longer used.
func uncompress(r io.Reader, suffix string) (io.Reader, func(), error) {
	switch suffix {
	case ".gz":
		return openGzip(r)
	case ".xz":
		return openXz(r)
	case ".zst":
		return openZstd(r)
	case ".bz2":
		return bzip2.NewReader(r), func() {}, nil
	}
	return r, func() {}, nil
}

func openGzip(r io.Reader) (io.Reader, func(), error) {
	in := inputs.Get().(*bufio.Reader)
	in.Reset(r)
	z := gzips.Get().(*gzip.Reader)
	release := func() {
		in.Reset(nil)
		inputs.Put(in)
		gzips.Put(z)
	}
	if err := z.Reset(in); err != nil {
		release()
		return nil, nil, noEOF(err)
	}
	return z, release, nil
}

func openXz(r io.Reader) (io.Reader, func(), error) {
	z := xzs.Get().(*xz.Reader)
	z.Reset(r)
	return z, func() {
		z.Reset(nil)
		xzs.Put(z)
	}, nil
}

func openZstd(r io.Reader) (io.Reader, func(), error) {
	z, ok := zstds.Get().(*zstd.Decoder)
	if !ok {
		var err error
		// With a concurrency of one the decoder has no goroutines to be waited for.
		z, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxZstdWindow))
		if err != nil {
			return nil, nil, err
		}
	}
	release := func() {
		if z.Reset(nil) == nil {
			zstds.Put(z)
		}
	}
	if err := z.Reset(r); err != nil {
		release()
		return nil, nil, noEOF(err)
	}
	return z, release, nil
}

// noEOF is for a place where the input may not end.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
