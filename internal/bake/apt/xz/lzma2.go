package xz

import "encoding/binary"

// Bits of a chunk's control byte (The .xz File Format, section 5.3.1, and what the xz program does).
const (
	endOfChunks  = 0x00
	plainAfresh  = 0x01 // not compressed, and the dictionary is reset
	plain        = 0x02
	compressed   = 0x80
	resetState   = 0xa0 // and what is above
	resetProps   = 0xc0
	resetAll     = 0xe0
	highUnpacked = 0x1f
)

// An lzma2 unpacks the content of a block.
type lzma2 struct {
	in     *source
	window window
	lzma   lzma

	plain     bool // the present chunk isn't compressed
	left      int  // bytes of it to be unpacked
	needReset bool // of the dictionary
	needProps bool
}

// begin starts a block with a dictionary of dict bytes.
func (c *lzma2) begin(dict int) {
	c.window.reset(dict)
	c.left, c.needReset, c.needProps = 0, true, true
}

// next unpacks some bytes, which are good until it is called again. At the end of the block there are none.
func (c *lzma2) next() ([]byte, error) {
	if c.left == 0 {
		if err := c.chunk(); c.left == 0 || err != nil {
			return nil, err
		}
	}
	w := &c.window
	n := min(w.room(), c.left, step)
	from := w.pos
	if c.plain {
		if err := c.in.fill(w.buf[from : from+n]); err != nil {
			return nil, err
		}
		w.advance(n)
	} else if err := c.lzma.decode(w, from+n); err != nil {
		return nil, err
	}
	if c.left -= n; c.left == 0 && !c.plain {
		if err := c.lzma.end(); err != nil {
			return nil, err
		}
	}
	return w.buf[from:w.pos], nil
}

// chunk reads a chunk's header, and all of it if it is compressed.
func (c *lzma2) chunk() error {
	control, err := c.in.ReadByte()
	if err != nil || control == endOfChunks {
		return err
	}
	if control == plainAfresh || control >= resetAll {
		c.window.forget()
		c.needReset, c.needProps = false, true
	}
	if c.needReset || control > plain && control < compressed {
		return errData
	}
	if control < compressed {
		return c.beginPlain()
	}
	return c.beginPacked(control)
}

func (c *lzma2) beginPlain() error {
	var size [2]byte
	if err := c.in.fill(size[:]); err != nil {
		return err
	}
	c.plain, c.left = true, int(binary.BigEndian.Uint16(size[:]))+1
	return nil
}

func (c *lzma2) beginPacked(control byte) error {
	var size [4]byte
	if err := c.in.fill(size[:]); err != nil {
		return err
	}
	switch {
	case control >= resetProps:
		props, err := c.in.ReadByte()
		if err != nil {
			return err
		}
		if err := c.lzma.setProps(props); err != nil {
			return err
		}
		c.needProps = false
		c.lzma.reset()
	case c.needProps:
		return errData
	case control >= resetState:
		c.lzma.reset()
	}
	packed := int(binary.BigEndian.Uint16(size[2:])) + 1
	if err := c.in.fill(c.lzma.in[:packed]); err != nil {
		return err
	}
	c.plain, c.left = false, int(control&highUnpacked)<<16+int(binary.BigEndian.Uint16(size[:]))+1
	return c.lzma.begin(packed)
}
