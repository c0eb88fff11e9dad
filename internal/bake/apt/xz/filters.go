package xz

import (
	"errors"

	"github.com/mikelolasagasti/xz"
)

// Filters in front of LZMA2, as for machine code, are rare: Debian's packages have none. A file whose first block
// has some is left to a library.

// filtered looks at the first block's header, whose flags tell how many filters there are (section 3.1.2).
func (z *Reader) filtered() bool {
	head, err := z.buf.Peek(streamHeader + 2)
	return err == nil && head[streamHeader] != 0 && head[streamHeader+1]&3 != 0
}

func (z *Reader) openFiltered() error {
	r, err := xz.NewReader(z.buf, uint32(z.dictMax))
	if err != nil {
		return ours(err)
	}
	buf := make([]byte, step)
	z.next = func() error {
		n, err := r.Read(buf)
		z.out = buf[:n]
		return ours(err)
	}
	return nil
}

// ours is the library's error by the name it has here.
func ours(err error) error {
	if errors.Is(err, xz.ErrMemlimit) {
		return ErrMemory
	}
	return err
}
