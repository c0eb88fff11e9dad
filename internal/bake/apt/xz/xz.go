// Package xz reads .xz files.
//
// It is there for speed: unpacking packages is most of what a bake computes. Sources: "The .xz File Format" 1.2.1,
// whose sections are named where they are read, and the LZMA specification that comes with the LZMA SDK.
package xz

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"
	"math"
	"slices"
)

// ErrMemory means that a file needs a larger dictionary than allowed.
var ErrMemory = errors.New("xz: the dictionary is too large")

var (
	errMagic   = errors.New("xz: this is no .xz file")
	errOptions = errors.New("xz: made with options that are not known")
	errHeader  = errors.New("xz: a header is damaged")
	errIndex   = errors.New("xz: the index is damaged, or of other content")
	errCheck   = errors.New("xz: the content has another checksum")
)

const (
	// step is how many bytes are unpacked at once: they are summed and read while they are in the CPU's cache.
	step = 64 << 10

	maxBlockHeader = 1024
	streamHeader   = 12 // its footer too
)

var (
	headerMagic = []byte{0xfd, '7', 'z', 'X', 'Z', 0}
	footerMagic = []byte{'Y', 'Z'}
	crc64Table  = crc64.MakeTable(crc64.ECMA)
)

// A Reader unpacks a file, which is one stream or several. It is for one goroutine at a time.
type Reader struct {
	dictMax int
	buf     *bufio.Reader
	in      source
	next    func() error // reads on; what it unpacks goes to out
	out     []byte       // unpacked, not yet read
	err     error        // that ends it all

	flags  [2]byte   // of the stream
	check  hash.Hash // of its blocks' content, nil for none
	blocks hash.Hash // of their sizes
	count  uint64    // of them
	block  block
	chunks lzma2
}

// A block is the present one. Sizes that its header does not tell are -1.
type block struct {
	start            int64 // where it is in the file
	header           int64 // bytes
	packed, unpacked int64
	seen             int64 // bytes unpacked
}

// NewReader returns a reader to be used after Reset. dictMax bounds the dictionary, in bytes, below 4 GiB: it is what
// a file may make us allocate.
func NewReader(dictMax int) *Reader {
	z := &Reader{dictMax: dictMax, buf: bufio.NewReaderSize(nil, 16<<10), blocks: sha256.New()}
	z.in.r = z.buf
	z.chunks.in = &z.in
	return z
}

// Reset turns to another file and keeps the memory. It reads nothing yet. nil only lets go of the last file.
func (z *Reader) Reset(r io.Reader) {
	z.buf.Reset(r)
	z.in.n = 0
	z.next, z.out, z.err = z.open, nil, nil
}

// Read unpacks. A file that was changed is found out at the latest when Read returns an error in place of [io.EOF].
//
// Errors: [ErrMemory], [io.ErrUnexpectedEOF], what the file's own Read returns; others are about a damaged file.
func (z *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := z.more(); err != nil {
		return 0, err
	}
	n := copy(p, z.out)
	z.out = z.out[n:]
	return n, nil
}

// WriteTo unpacks everything to w, without copying it.
func (z *Reader) WriteTo(w io.Writer) (int64, error) {
	var total int64
	for {
		err := z.more()
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
		n, err := w.Write(z.out)
		total += int64(n)
		z.out = z.out[n:]
		if err != nil {
			return total, err
		}
	}
}

// more reads on until something is unpacked.
func (z *Reader) more() error {
	for len(z.out) == 0 && z.err == nil {
		z.err = z.next()
	}
	if len(z.out) > 0 {
		return nil
	}
	return z.err
}

// open reads the first stream's header.
func (z *Reader) open() error {
	if z.filtered() {
		return z.openFiltered()
	}
	var b [streamHeader]byte
	if err := z.in.fill(b[:]); err != nil {
		return err
	}
	return z.beginStream(b[:])
}

// beginStream takes a stream's header (section 2.1.1).
func (z *Reader) beginStream(b []byte) error {
	if !bytes.HasPrefix(b, headerMagic) {
		return errMagic
	}
	if !summed(b[6:]) {
		return errHeader
	}
	z.flags = [2]byte(b[6:8])
	var err error
	if z.check, err = newCheck(z.flags); err != nil {
		return err
	}
	z.blocks.Reset()
	z.count = 0
	z.next = z.beginBlock
	return nil
}

// newCheck returns what sums the content of a stream with these flags (section 2.1.1.2).
func newCheck(flags [2]byte) (hash.Hash, error) {
	switch flags {
	case [2]byte{0, 0x00}:
		return nil, nil
	case [2]byte{0, 0x01}:
		return crc32.NewIEEE(), nil
	case [2]byte{0, 0x04}:
		return crc64.New(crc64Table), nil
	case [2]byte{0, 0x0a}:
		return sha256.New(), nil
	}
	return nil, errOptions
}

// beginBlock reads a block's header (section 3.1), or the index that is in its place.
func (z *Reader) beginBlock() error {
	z.block = block{start: z.in.n}
	var b [maxBlockHeader]byte
	if err := z.in.fill(b[:1]); err != nil {
		return err
	}
	if b[0] == 0 {
		return z.index()
	}
	h := b[:4*(int(b[0])+1)]
	if err := z.in.fill(h[1:]); err != nil {
		return err
	}
	if !summed(h) {
		return errHeader
	}
	dict, err := z.block.parse(h[:len(h)-4])
	if err != nil {
		return err
	}
	if dict > int64(z.dictMax) {
		return ErrMemory
	}
	if z.check != nil {
		z.check.Reset()
	}
	z.chunks.begin(int(dict))
	z.next = z.content
	return nil
}

// parse takes a header without its checksum, and returns the size of the dictionary.
func (b *block) parse(h []byte) (dict int64, err error) {
	b.header = int64(len(h)) + 4
	b.packed, b.unpacked = -1, -1
	f := bytes.NewReader(h[2:])
	flags := h[1]
	if flags&0x40 != 0 {
		if b.packed, err = number(f); err != nil || b.packed == 0 {
			return 0, errHeader
		}
	}
	if flags&0x80 != 0 {
		if b.unpacked, err = number(f); err != nil {
			return 0, errHeader
		}
	}
	// One filter, LZMA2, with a property of one byte (section 5.3.1); what follows is padding.
	rest := h[len(h)-f.Len():]
	if flags&0x3f != 0 || len(rest) < 3 || rest[0] != 0x21 || rest[1] != 1 || rest[2] > 40 || !zeros(rest[3:]) {
		return 0, errOptions
	}
	bits := rest[2]
	if bits == 40 {
		return math.MaxUint32, nil
	}
	return int64(2|bits&1) << (bits/2 + 11), nil
}

// content unpacks a part of the block.
func (z *Reader) content() error {
	out, err := z.chunks.next()
	if err != nil {
		return err
	}
	if len(out) == 0 {
		return z.endBlock()
	}
	b := &z.block
	b.seen += int64(len(out))
	if b.unpacked >= 0 && b.seen > b.unpacked {
		return errHeader
	}
	if z.check != nil {
		z.check.Write(out)
	}
	z.out = out
	return nil
}

// endBlock reads what follows a block's content (sections 3.3 and 3.4).
func (z *Reader) endBlock() error {
	b := &z.block
	packed := z.in.n - b.start - b.header
	if b.packed >= 0 && packed != b.packed || b.unpacked >= 0 && b.seen != b.unpacked {
		return errHeader
	}
	if err := z.in.padding(packed); err != nil {
		return err
	}
	size := 0
	if z.check != nil {
		size = z.check.Size()
		var want [sha256.Size]byte
		if err := z.in.fill(want[:size]); err != nil {
			return err
		}
		if !bytes.Equal(checksum(z.check), want[:size]) {
			return errCheck
		}
	}
	record(z.blocks, b.header+packed+int64(size), b.seen)
	z.count++
	z.next = z.beginBlock
	return nil
}

// checksum is as it stands in a file: the CRCs are little-endian there (section 2.1.1.2).
func checksum(h hash.Hash) []byte {
	sum := h.Sum(nil)
	if len(sum) < sha256.Size {
		slices.Reverse(sum)
	}
	return sum
}

// record adds a block's sizes, as the index lists them.
func record(h hash.Hash, unpadded, unpacked int64) {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:], uint64(unpadded))
	binary.LittleEndian.PutUint64(b[8:], uint64(unpacked))
	h.Write(b[:])
}

// index reads the index (section 4), whose first byte was read, and then the footer (section 2.1.2).
func (z *Reader) index() error {
	r := &summing{in: &z.in, crc: crc32.ChecksumIEEE([]byte{0})}
	if n, err := number(r); err != nil || uint64(n) != z.count {
		return cmp.Or(err, errIndex)
	}
	listed := sha256.New()
	for range z.count {
		unpadded, err := number(r)
		if err != nil {
			return err
		}
		unpacked, err := number(r)
		if err != nil {
			return err
		}
		record(listed, unpadded, unpacked)
	}
	if !bytes.Equal(listed.Sum(nil), z.blocks.Sum(nil)) {
		return errIndex
	}
	for (z.in.n-z.block.start)%4 != 0 {
		if b, err := r.ReadByte(); err != nil || b != 0 {
			return cmp.Or(err, errIndex)
		}
	}
	size := z.in.n - z.block.start + 4
	var b [4 + streamHeader]byte
	if err := z.in.fill(b[:]); err != nil {
		return err
	}
	if binary.LittleEndian.Uint32(b[:]) != r.crc {
		return errIndex
	}
	return z.footer(b[4:], size)
}

// footer compares the footer with the header and the size of the index.
func (z *Reader) footer(b []byte, index int64) error {
	if binary.LittleEndian.Uint32(b) != crc32.ChecksumIEEE(b[4:10]) {
		return errHeader
	}
	if 4*(int64(binary.LittleEndian.Uint32(b[4:]))+1) != index || [2]byte(b[8:10]) != z.flags || !bytes.Equal(b[10:], footerMagic) {
		return errHeader
	}
	z.next = z.betweenStreams
	return nil
}

// betweenStreams reads padding (section 2.2) to the end of the file or the next stream.
func (z *Reader) betweenStreams() error {
	var b [streamHeader]byte
	for zeros(b[:4]) {
		if _, err := z.buf.Peek(1); err != nil {
			return err // the end
		}
		if err := z.in.fill(b[:4]); err != nil {
			return err
		}
	}
	if err := z.in.fill(b[4:]); err != nil {
		return err
	}
	return z.beginStream(b[:])
}

// summed tells whether the last four bytes are the CRC32 of those before.
func summed(b []byte) bool {
	n := len(b) - 4
	return binary.LittleEndian.Uint32(b[n:]) == crc32.ChecksumIEEE(b[:n])
}

func zeros(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }
