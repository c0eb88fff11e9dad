package xz

import (
	"hash/crc32"
	"io"
)

// A source is the file, with a count of the bytes taken. Where it is asked, nothing may end: an end is
// [io.ErrUnexpectedEOF].
type source struct {
	r interface {
		io.Reader
		io.ByteReader
	}
	n int64
}

// ReadByte returns the next byte.
func (s *source) ReadByte() (byte, error) {
	b, err := s.r.ReadByte()
	if err != nil {
		return 0, noEOF(err)
	}
	s.n++
	return b, nil
}

func (s *source) fill(p []byte) error {
	n, err := io.ReadFull(s.r, p)
	s.n += int64(n)
	return noEOF(err)
}

// padding reads the zeros that fill size bytes up to a multiple of four.
func (s *source) padding(size int64) error {
	var b [3]byte
	pad := b[:-size&3]
	if err := s.fill(pad); err != nil {
		return err
	}
	if !zeros(pad) {
		return errHeader
	}
	return nil
}

func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// summing reads bytes and sums them.
type summing struct {
	in  *source
	crc uint32
}

func (s *summing) ReadByte() (byte, error) {
	b, err := s.in.ReadByte()
	s.crc = crc32.Update(s.crc, crc32.IEEETable, []byte{b})
	return b, err
}

// number reads an integer of up to 63 bits, seven a byte, the lowest first (The .xz File Format, section 1.2).
func number(r io.ByteReader) (int64, error) {
	var n int64
	for shift := 0; shift < 63; shift += 7 {
		b, err := r.ReadByte()
		if err != nil {
			return 0, err
		}
		n |= int64(b&0x7f) << shift
		if b == 0 && shift > 0 {
			return 0, errHeader // there is a shorter way to write it
		}
		if b < 0x80 {
			return n, nil
		}
	}
	return 0, errHeader
}
