package xz

import (
	"encoding/binary"
	"errors"
)

// The adaptive probabilities that a bit is 0, in 2048ths, all in one array. Each constant is where a kind begins
// (LZMA specification, "The main loop"; a tree of n bits has 2^n places, its root in place 1).
const (
	maxPosStates = 16
	states       = 12

	isMatch    = 0                                       // by state and position
	isRep0Long = isMatch + states*maxPosStates           // by state and position
	isRep      = isRep0Long + states*maxPosStates        // by state
	isRepG0    = isRep + states                          // by state
	isRepG1    = isRepG0 + states                        // by state
	isRepG2    = isRepG1 + states                        // by state
	slotTrees  = isRepG2 + states                        // by length: trees of 6 bits
	lowTrees   = slotTrees + 4*64                        // of distances below 128, each slot's tree by itself
	alignTree  = lowTrees + 128                          // 4 bits
	matchLen   = alignTree + 16                          // of matches
	repLen     = matchLen + lenHigh + 256                // of repeated matches
	literals   = 2048                                    // trees of 0x300 places
	probs      = literals + 0x300<<maxLiteralBits + 2048 // a power of two, so that a mask keeps an index inside

	// Where in matchLen or repLen.
	lenLow  = 2             // by position: trees of 3 bits. Before it: the two choices
	lenMid  = lenLow + 16*8 // by position: trees of 3 bits
	lenHigh = lenMid + 16*8 // a tree of 8 bits

	maxLiteralBits = 4 // lc + lp, a rule of LZMA2
	probMask       = probs - 1
)

const (
	probInit  = 1024
	rangeTop  = 1 << 24 // a range below it takes in the next byte
	minMatch  = 2
	wideCopy  = 8  // bytes copied at once: a match may write that many past its end, less one
	longMatch = 64 // bytes from which copy is faster
)

var errData = errors.New("xz: compressed data is damaged")

// An lzma decodes the LZMA chunks of an LZMA2 stream.
type lzma struct {
	probs [probs]uint16
	state int
	reps  [4]uint32 // last distances, less one
	left  int       // bytes of the last match that did not fit
	lc    uint      // bits of the previous byte that choose a literal's tree
	lp    uint32    // mask of the position, the same
	pb    uint32    // mask of the position for everything else

	in   [1 << 16]byte // the chunk, compressed
	at   uint          // how much of it was taken in; it may be more than there was
	size uint          // of the chunk
	rng  uint32
	code uint32
}

// setProps takes the properties byte of a chunk.
func (d *lzma) setProps(b byte) error {
	if b >= 9*5*5 {
		return errData
	}
	lc, lp, pb := uint(b%9), b/9%5, b/45
	if lc+uint(lp) > maxLiteralBits {
		return errData
	}
	d.lc, d.lp, d.pb = lc, 1<<lp-1, 1<<pb-1
	return nil
}

// reset forgets what was learnt.
func (d *lzma) reset() {
	for i := range d.probs[:literals+0x300<<maxLiteralBits] {
		d.probs[i] = probInit
	}
	d.state = 0
	d.reps = [4]uint32{}
}

// begin starts a chunk of n bytes, which are in d.in.
func (d *lzma) begin(n int) error {
	if n < 5 || d.in[0] != 0 {
		return errData
	}
	d.rng, d.code = 1<<32-1, binary.BigEndian.Uint32(d.in[1:])
	d.at, d.size, d.left = 5, uint(n), 0
	return nil
}

// end tells whether a chunk was used up exactly.
func (d *lzma) end() error {
	if d.left > 0 || d.code != 0 || d.at != d.size {
		return errData
	}
	return nil
}
