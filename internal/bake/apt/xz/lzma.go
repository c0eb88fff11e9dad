package xz

import (
	"encoding/binary"
	"errors"
)

// All probabilities that a bit is 0, in 2048ths, are in one array. Each constant is where one kind begins (LZMA
// specification, "The main loop of decoder"). A tree of n bits has 2^n places, of which the first is not used.
const (
	maxPosStates   = 16
	states         = 12
	maxLiteralBits = 4 // lc + lp: a rule of LZMA2

	isMatch    = 0                                // by state and position
	isRep0Long = isMatch + states*maxPosStates    // by state and position
	isRep      = isRep0Long + states*maxPosStates // by state; the next three too
	isRepG0    = isRep + states
	isRepG1    = isRepG0 + states
	isRepG2    = isRepG1 + states
	slotTrees  = isRepG2 + states // by length: trees of 6 bits
	lowTrees   = slotTrees + 4*64 // of distances below 128: one inside the other, as they are used from their root
	alignTree  = lowTrees + 128   // 4 bits
	matchLen   = alignTree + 16
	repLen     = matchLen + lenHigh + 256
	literals   = 2048 // by position and byte before: three trees of 8 bits
	probs      = 1 << 14
	probMask   = probs - 1
	probsUsed  = literals + 0x300<<maxLiteralBits

	// In matchLen and repLen, after the two bits that choose one of these.
	lenLow  = 2              // by position: trees of 3 bits
	lenMid  = lenLow + 16<<3 // by position: trees of 3 bits
	lenHigh = lenMid + 16<<3 // a tree of 8 bits
)

// What a state becomes (LZMA specification, "State machine").
var (
	afterLiteral = [16]uint8{0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 4, 5}
	afterMatch   = [16]uint8{7, 7, 7, 7, 7, 7, 7, 10, 10, 10, 10, 10}
	afterRep     = [16]uint8{8, 8, 8, 8, 8, 8, 8, 11, 11, 11, 11, 11}
	afterShort   = [16]uint8{9, 9, 9, 9, 9, 9, 9, 11, 11, 11, 11, 11}
)

var errData = errors.New("xz: the compressed data is damaged")

// An lzma unpacks the LZMA chunks of a block.
type lzma struct {
	probs [probs]uint16
	state uint
	reps  [4]uint32 // the last distances, less one
	left  int       // bytes of the last match that there was no room for
	lc    uint      // bits of the byte before a literal that choose its trees
	lp    uint      // mask of the bits of its position that do
	pb    uint      // mask of the bits of a position that choose everything else

	in   chunk
	size uint // of what is in it
	at   uint
	rng  uint64
	code uint64
}

// setProps takes the properties byte of a chunk.
func (d *lzma) setProps(b byte) error {
	lc, lp, pb := b%9, b/9%5, b/45
	if pb > 4 || lc+lp > maxLiteralBits {
		return errData
	}
	d.lc, d.lp, d.pb = uint(lc), 1<<lp-1, 1<<pb-1
	return nil
}

// reset forgets what was learnt.
func (d *lzma) reset() {
	for i := range d.probs[:probsUsed] {
		d.probs[i] = probInit
	}
	d.state = 0
	d.reps = [4]uint32{}
}

// begin starts a chunk of size bytes, which are in d.in.
func (d *lzma) begin(size int) error {
	d.size, d.at, d.left = uint(size), 5, 0
	d.rng, d.code = 1<<32-1, uint64(binary.BigEndian.Uint32(d.in[1:]))
	if d.size < d.at || d.in[0] != 0 || d.code >= d.rng {
		return errData
	}
	return nil
}

// end finds out whether the chunk was used up, and no more.
func (d *lzma) end() error {
	if d.left > 0 || d.code != 0 || d.at != d.size {
		return errData
	}
	return nil
}

// decode unpacks to the window, from its position to limit.
func (d *lzma) decode(win *window, limit int) error {
	w, pos := win.buf, win.pos
	probs, in := &d.probs, &d.in
	rng, code, at := d.rng, d.code, d.at
	state, rep0 := d.state, d.reps[0]
	unwound := uint(win.total) - uint(pos) // a position in the stream, less the one in the window

	n := min(d.left, limit-pos)
	win.repeat(pos, n, rep0)
	pos += n
	n = d.left - n
	prev := win.prev(pos)
	for pos < limit {
		var one bool
		posState := (unwound + uint(pos)) & d.pb
		one, rng, code, at = bit(&probs[(isMatch+state<<4+posState)&probMask], in, rng, code, at)
		if !one {
			tree := (unwound+uint(pos))&d.lp<<d.lc + uint(prev)>>(8-d.lc)
			tree = (literals + 0x300*tree) & probMask
			var v uint64
			if state < 7 {
				v, rng, code, at = bits((*[512]uint16)(probs[tree:]), 0x100, in, rng, code, at)
			} else {
				v, rng, code, at = literal((*[0x400]uint16)(probs[tree:]), uint64(w[win.back(pos, rep0)]), in, rng, code, at)
			}
			state = uint(afterLiteral[state&15])
			prev = byte(v)
			w[pos] = prev
			pos++
			continue
		}

		var rep bool
		lens := uint(matchLen)
		rep, rng, code, at = bit(&probs[(isRep+state)&probMask], in, rng, code, at)
		if rep {
			if !win.has(pos, rep0) {
				return errData
			}
			one, rng, code, at = bit(&probs[(isRepG0+state)&probMask], in, rng, code, at)
			if one {
				var which uint
				which, rng, code, at = older(probs, state, in, rng, code, at)
				dist := d.reps[which&3]
				copy(d.reps[2:], d.reps[1:which&3])
				d.reps[1], rep0 = rep0, dist
			} else {
				one, rng, code, at = bit(&probs[(isRep0Long+state<<4+posState)&probMask], in, rng, code, at)
				if !one { // a match of one byte
					state = uint(afterShort[state&15])
					prev = w[win.back(pos, rep0)]
					w[pos] = prev
					pos++
					continue
				}
			}
			lens = repLen
			state = uint(afterRep[state&15])
		}
		var length uint64
		length, rng, code, at = lengthOf(probs, lens, posState, in, rng, code, at)
		if !rep {
			d.reps[3], d.reps[2], d.reps[1] = d.reps[2], d.reps[1], rep0
			state = uint(afterMatch[state&15])
			rep0, rng, code, at = distance(probs, length, in, rng, code, at)
		}
		if !win.has(pos, rep0) {
			return errData
		}

		fit := min(int(length), limit-pos)
		n = int(length) - fit
		src, end := pos-int(rep0)-1, pos+fit
		if src >= 0 && rep0 >= wideCopy-1 && fit <= longMatch {
			for ; pos < end; pos, src = pos+wideCopy, src+wideCopy {
				to, from := w[pos:][:wideCopy], w[src:][:wideCopy]
				a, b := binary.LittleEndian.Uint64(from), binary.LittleEndian.Uint64(from[8:])
				binary.LittleEndian.PutUint64(to, a)
				binary.LittleEndian.PutUint64(to[8:], b)
			}
		} else {
			win.repeat(pos, fit, rep0)
		}
		pos = end
		prev = w[pos-1]
	}
	win.advance(pos - win.pos)
	d.rng, d.code, d.at = rng, code, at
	d.state, d.reps[0], d.left = state, rep0, n
	return nil
}

// older reads which of the last distances but the last is meant: 1, 2 or 3.
func older(probs *[probs]uint16, state uint, in *chunk, rng, code uint64, at uint) (uint, uint64, uint64, uint) {
	one, rng, code, at := bit(&probs[(isRepG1+state)&probMask], in, rng, code, at)
	if !one {
		return 1, rng, code, at
	}
	if one, rng, code, at = bit(&probs[(isRepG2+state)&probMask], in, rng, code, at); !one {
		return 2, rng, code, at
	}
	return 3, rng, code, at
}

// lengthOf reads the length of a match. lens is matchLen or repLen.
func lengthOf(probs *[probs]uint16, lens, posState uint, in *chunk, rng, code uint64, at uint) (uint64, uint64, uint64, uint) {
	// What bits returns is more by the size of the tree.
	tree, size, least := lens+lenLow+posState<<3, uint64(8), uint64(2)
	one, rng, code, at := bit(&probs[lens&probMask], in, rng, code, at)
	if one {
		tree, least = lens+lenMid+posState<<3, 2+8
		if one, rng, code, at = bit(&probs[(lens+1)&probMask], in, rng, code, at); one {
			tree, size, least = lens+lenHigh, 256, 2+8+8
		}
	}
	v, rng, code, at := bits((*[512]uint16)(probs[tree&probMask:]), size, in, rng, code, at)
	return v - size + least, rng, code, at
}

// distance reads the distance of a match, less one (LZMA specification, "Distance decoding").
func distance(probs *[probs]uint16, length uint64, in *chunk, rng, code uint64, at uint) (uint32, uint64, uint64, uint) {
	tree := slotTrees + min(length-2, 3)<<6
	slot, rng, code, at := bits((*[512]uint16)(probs[tree&probMask:]), 64, in, rng, code, at)
	slot -= 64
	if slot < 4 {
		return uint32(slot), rng, code, at
	}
	n := int(slot>>1 - 1)
	dist := (2 | slot&1) << n
	var v uint64
	if slot < 14 {
		v, rng, code, at = lowBits((*[64]uint16)(probs[(lowTrees+dist-slot)&probMask:]), n, in, rng, code, at)
		return uint32(dist + v), rng, code, at
	}
	v, rng, code, at = evenBits(n-4, in, rng, code, at)
	dist += v << 4
	v, rng, code, at = lowBits((*[64]uint16)(probs[alignTree:]), 4, in, rng, code, at)
	return uint32(dist + v), rng, code, at
}
