package xz

// The range coder (LZMA specification, "LZMA Decoder"), one function for each way to write a value. Its state is the
// range, the code (always below the range) and how much of the chunk was taken in. It goes from function to function
// as arguments and results: these stay in registers, which is worth a third of the time.
//
// What a bit is can't be foretold, and a wrongly predicted branch costs as much as the rest of the bit. So in trees
// nothing branches on it: zero has all bits set if the bit is 0, none if it is 1, and selects. Both places that may
// be the next are read before it is known.

// A chunk is what the coder reads. There is no index out of its range, so it is never checked: a chunk may be read
// past its end, which [lzma.end] finds out.
type chunk [1 << 16]byte

const (
	rangeTop  = 1 << 24 // a smaller range takes in the next byte
	probInit  = 1024    // of 2048
	adaptZero = 1<<64 - 2048 + 31
)

// adapt makes a bit that was seen more probable, by a 32nd of what is missing: of p to 0 after a 1, of p to 2048
// after a 0. 31 is for the same rounding.
func adapt(p, zero uint64) uint16 { return uint16(p - uint64(int64(p+zero&adaptZero)>>5)) }

// bit reads one bit.
func bit(prob *uint16, in *chunk, rng, code uint64, at uint) (one bool, _, _ uint64, _ uint) {
	p := uint64(*prob)
	bound := rng >> 11 * p
	if one = code >= bound; one {
		rng -= bound
		code -= bound
		*prob = uint16(p - p>>5)
	} else {
		rng = bound
		*prob = uint16(p + (2048-p)>>5)
	}
	if rng < rangeTop {
		rng, code = rng<<8, code<<8|uint64(in[uint16(at)])
		at++
	}
	return one, rng, code, at
}

// bits reads a value below size, a power of two up to 256, and returns it plus size. The highest bit comes first.
func bits(tree *[512]uint16, size uint64, in *chunk, rng, code uint64, at uint) (uint64, uint64, uint64, uint) {
	v := uint64(1)
	p := uint64(tree[1])
	for v < size {
		bound := rng >> 11 * p
		p0, p1 := uint64(tree[(2*v)&511]), uint64(tree[(2*v+1)&511])
		d := code - bound
		zero := uint64(int64(d) >> 63)
		rng -= bound
		rng ^= (rng ^ bound) & zero
		code = d + bound&zero
		tree[v&511] = adapt(p, zero)
		v = v<<1 + 1 + zero
		p = p1 ^ (p0^p1)&zero
		if rng < rangeTop {
			rng, code = rng<<8, code<<8|uint64(in[uint16(at)])
			at++
		}
	}
	return v, rng, code, at
}

// literal reads a byte where match would be the next one if the last match went on. As long as its bits are the
// same, they choose the second or third tree.
func literal(trees *[0x400]uint16, match uint64, in *chunk, rng, code uint64, at uint) (uint64, uint64, uint64, uint) {
	v, same := uint64(1), uint64(0x100)
	for v < 0x100 {
		match <<= 1
		m := match & same
		i := (same + m + v) & 0x3ff
		p := uint64(trees[i])
		bound := rng >> 11 * p
		d := code - bound
		zero := uint64(int64(d) >> 63)
		rng -= bound
		rng ^= (rng ^ bound) & zero
		code = d + bound&zero
		trees[i] = adapt(p, zero)
		v = v<<1 + 1 + zero
		same &= m ^ zero
		if rng < rangeTop {
			rng, code = rng<<8, code<<8|uint64(in[uint16(at)])
			at++
		}
	}
	return v, rng, code, at
}

// lowBits reads a value of n bits, the lowest first.
func lowBits(tree *[64]uint16, n int, in *chunk, rng, code uint64, at uint) (uint64, uint64, uint64, uint) {
	v, i := uint64(0), uint64(1)
	for shift := range n {
		p := uint64(tree[i&63])
		bound := rng >> 11 * p
		d := code - bound
		zero := uint64(int64(d) >> 63)
		rng -= bound
		rng ^= (rng ^ bound) & zero
		code = d + bound&zero
		tree[i&63] = adapt(p, zero)
		i = i<<1 + 1 + zero
		v |= (1 &^ zero) << (shift & 63)
		if rng < rangeTop {
			rng, code = rng<<8, code<<8|uint64(in[uint16(at)])
			at++
		}
	}
	return v, rng, code, at
}

// evenBits reads a value of n bits that are as likely 0 as 1, the highest first.
func evenBits(n int, in *chunk, rng, code uint64, at uint) (uint64, uint64, uint64, uint) {
	v := uint64(0)
	for range n {
		rng >>= 1
		code -= rng
		zero := uint64(int64(code) >> 63)
		code += rng & zero
		v = v<<1 + 1 + zero
		if rng < rangeTop {
			rng, code = rng<<8, code<<8|uint64(in[uint16(at)])
			at++
		}
	}
	return v, rng, code, at
}
