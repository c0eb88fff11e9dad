package xz

import "encoding/binary"

// decode unpacks into w[pos:limit] and returns errData or nil.
func (d *lzma) decode(win *window, limit int) error {
	w, pos := win.buf, win.pos
	probs, in := &d.probs, &d.in
	rng, code, at := d.rng, d.code, d.at
	state, rep0 := d.state, d.reps[0]
	counter := uint32(win.total) - uint32(pos) // position in the stream = counter+pos
	n := min(d.left, limit-pos)
	win.repeat(pos, n, rep0)
	pos += n
	n = d.left - n
	prev := win.prev(pos)
	for pos < limit {
		posState := (counter + uint32(pos)) & d.pb
		i := uint32(isMatch+state<<4) + posState&15
		p := uint32(probs[i&probMask])
		bound := rng >> 11 * p
		if code < bound { // a literal
			rng = bound
			probs[i&probMask] = uint16(p + (2048-p)>>5)
			if rng < rangeTop {
				rng, code = rng<<8, code<<8|uint32(in[uint16(at)])
				at++
			}
			base := ((counter+uint32(pos))&d.lp)<<d.lc + uint32(prev)>>(8-d.lc)
			base = literals + 0x300*base
			sym := uint32(1)
			if state >= 7 {
				m := uint32(w[win.back(pos, rep0)])
				offs := uint32(0x100)
				for sym < 0x100 {
					m <<= 1
					mbit := m & offs
					i := base + offs + mbit + sym
					p := uint32(probs[i&probMask])
					bound := rng >> 11 * p
					if code < bound {
						rng = bound
						probs[i&probMask] = uint16(p + (2048-p)>>5)
						sym <<= 1
						offs &^= mbit
					} else {
						rng -= bound
						code -= bound
						probs[i&probMask] = uint16(p - p>>5)
						sym = sym<<1 | 1
						offs &= mbit
					}
					if rng < rangeTop {
						rng, code = rng<<8, code<<8|uint32(in[uint16(at)])
						at++
					}
				}
				if state < 10 {
					state -= 3
				} else {
					state -= 6
				}
			} else {
				for sym < 0x100 {
					i := base + sym
					p := uint32(probs[i&probMask])
					bound := rng >> 11 * p
					if code < bound {
						rng = bound
						probs[i&probMask] = uint16(p + (2048-p)>>5)
						sym <<= 1
					} else {
						rng -= bound
						code -= bound
						probs[i&probMask] = uint16(p - p>>5)
						sym = sym<<1 | 1
					}
					if rng < rangeTop {
						rng, code = rng<<8, code<<8|uint32(in[uint16(at)])
						at++
					}
				}
				state = max(state-3, 0)
			}
			prev = byte(sym)
			w[pos] = prev
			pos++
			continue
		}
		rng -= bound
		code -= bound
		probs[i&probMask] = uint16(p - p>>5)
		if rng < rangeTop {
			rng, code = rng<<8, code<<8|uint32(in[uint16(at)])
			at++
		}

		lens := uint32(matchLen)
		i = uint32(isRep + state)
		p = uint32(probs[i&probMask])
		bound = rng >> 11 * p
		isMatched := code < bound
		if isMatched {
			rng = bound
			probs[i&probMask] = uint16(p + (2048-p)>>5)
			if rng < rangeTop {
				rng, code = rng<<8, code<<8|uint32(in[uint16(at)])
				at++
			}
			d.reps[3], d.reps[2], d.reps[1] = d.reps[2], d.reps[1], rep0
			if state < 7 {
				state = 7
			} else {
				state = 10
			}
		} else {
			rng -= bound
			code -= bound
			probs[i&probMask] = uint16(p - p>>5)
			if rng < rangeTop {
				rng, code = rng<<8, code<<8|uint32(in[uint16(at)])
				at++
			}
			if !win.has(pos, rep0) {
				return errData
			}
			i = uint32(isRepG0 + state)
			p = uint32(probs[i&probMask])
			bound = rng >> 11 * p
			if code < bound {
				rng = bound
				probs[i&probMask] = uint16(p + (2048-p)>>5)
				if rng < rangeTop {
					rng, code = rng<<8, code<<8|uint32(in[uint16(at)])
					at++
				}
				i = uint32(isRep0Long+state<<4) + posState&15
				p = uint32(probs[i&probMask])
				bound = rng >> 11 * p
				if code < bound {
					rng = bound
					probs[i&probMask] = uint16(p + (2048-p)>>5)
					if rng < rangeTop {
						rng, code = rng<<8, code<<8|uint32(in[uint16(at)])
						at++
					}
					if state < 7 {
						state = 9
					} else {
						state = 11
					}
					prev = w[win.back(pos, rep0)]
					w[pos] = prev
					pos++
					continue
				}
				rng -= bound
				code -= bound
				probs[i&probMask] = uint16(p - p>>5)
				if rng < rangeTop {
					rng, code = rng<<8, code<<8|uint32(in[uint16(at)])
					at++
				}
			} else {
				rng -= bound
				code -= bound
				probs[i&probMask] = uint16(p - p>>5)
				if rng < rangeTop {
					rng, code = rng<<8, code<<8|uint32(in[uint16(at)])
					at++
				}
				i = uint32(isRepG1 + state)
				p = uint32(probs[i&probMask])
				bound = rng >> 11 * p
				dist := d.reps[1]
				if code < bound {
					rng = bound
					probs[i&probMask] = uint16(p + (2048-p)>>5)
				} else {
					rng -= bound
					code -= bound
					probs[i&probMask] = uint16(p - p>>5)
					if rng < rangeTop {
						rng, code = rng<<8, code<<8|uint32(in[uint16(at)])
						at++
					}
					i = uint32(isRepG2 + state)
					p = uint32(probs[i&probMask])
					bound = rng >> 11 * p
					dist = d.reps[2]
					if code < bound {
						rng = bound
						probs[i&probMask] = uint16(p + (2048-p)>>5)
					} else {
						rng -= bound
						code -= bound
						probs[i&probMask] = uint16(p - p>>5)
						dist = d.reps[3]
						d.reps[3] = d.reps[2]
					}
					d.reps[2] = d.reps[1]
				}
				if rng < rangeTop {
					rng, code = rng<<8, code<<8|uint32(in[uint16(at)])
					at++
				}
				d.reps[1] = rep0
				rep0 = dist
			}
			lens = repLen
			if state < 7 {
				state = 8
			} else {
				state = 11
			}
		}

		// The length: which tree, then the tree.
		tree, size := uint32(0), uint32(8)
		p = uint32(probs[lens&probMask])
		bound = rng >> 11 * p
		if code < bound {
			rng = bound
			probs[lens&probMask] = uint16(p + (2048-p)>>5)
			tree = lens + lenLow + posState<<3
			n = minMatch - 8
		} else {
			rng -= bound
			code -= bound
			probs[lens&probMask] = uint16(p - p>>5)
			if rng < rangeTop {
				rng, code = rng<<8, code<<8|uint32(in[uint16(at)])
				at++
			}
			p = uint32(probs[(lens+1)&probMask])
			bound = rng >> 11 * p
			if code < bound {
				rng = bound
				probs[(lens+1)&probMask] = uint16(p + (2048-p)>>5)
				tree = lens + lenMid + posState<<3
				n = minMatch + 8 - 8
			} else {
				rng -= bound
				code -= bound
				probs[(lens+1)&probMask] = uint16(p - p>>5)
				tree = lens + lenHigh
				size = 256
				n = minMatch + 16 - 256
			}
		}
		if rng < rangeTop {
			rng, code = rng<<8, code<<8|uint32(in[uint16(at)])
			at++
		}
		sym := uint32(1)
		for sym < size {
			i := tree + sym
			p := uint32(probs[i&probMask])
			bound := rng >> 11 * p
			if code < bound {
				rng = bound
				probs[i&probMask] = uint16(p + (2048-p)>>5)
				sym <<= 1
			} else {
				rng -= bound
				code -= bound
				probs[i&probMask] = uint16(p - p>>5)
				sym = sym<<1 | 1
			}
			if rng < rangeTop {
				rng, code = rng<<8, code<<8|uint32(in[uint16(at)])
				at++
			}
		}
		n += int(sym)

		if isMatched {
			tree = slotTrees + uint32(min(n-minMatch, 3))<<6
			sym = 1
			for sym < 64 {
				i := tree + sym
				p := uint32(probs[i&probMask])
				bound := rng >> 11 * p
				if code < bound {
					rng = bound
					probs[i&probMask] = uint16(p + (2048-p)>>5)
					sym <<= 1
				} else {
					rng -= bound
					code -= bound
					probs[i&probMask] = uint16(p - p>>5)
					sym = sym<<1 | 1
				}
				if rng < rangeTop {
					rng, code = rng<<8, code<<8|uint32(in[uint16(at)])
					at++
				}
			}
			rep0 = sym - 64
			if rep0 >= 4 {
				bits := rep0>>1 - 1
				slot := rep0
				rep0 = (2 | rep0&1) << bits
				if slot < 14 {
					tree = lowTrees + rep0 - slot
				} else {
					// Bits as likely 0 as 1, then a tree for the last four.
					rest := uint32(0)
					for ; bits > 4; bits-- {
						rng >>= 1
						code -= rng
						neg := uint32(int32(code) >> 31)
						code += rng & neg
						rest = rest<<1 + neg + 1
						if rng < rangeTop {
							rng, code = rng<<8, code<<8|uint32(in[uint16(at)])
							at++
						}
					}
					rep0 += rest << 4
					tree = alignTree
				}
				sym = 1
				for one := uint32(1); bits > 0; bits-- {
					i := tree + sym
					p := uint32(probs[i&probMask])
					bound := rng >> 11 * p
					if code < bound {
						rng = bound
						probs[i&probMask] = uint16(p + (2048-p)>>5)
						sym <<= 1
					} else {
						rng -= bound
						code -= bound
						probs[i&probMask] = uint16(p - p>>5)
						sym = sym<<1 | 1
						rep0 += one
					}
					one <<= 1
					if rng < rangeTop {
						rng, code = rng<<8, code<<8|uint32(in[uint16(at)])
						at++
					}
				}
			}
		}
		if !win.has(pos, rep0) {
			return errData
		}
		fit := min(n, limit-pos)
		n -= fit
		end := pos + fit
		src := pos - int(rep0) - 1
		if src >= 0 && rep0 >= wideCopy-1 && fit <= longMatch {
			for ; pos < end; pos, src = pos+wideCopy, src+wideCopy {
				binary.LittleEndian.PutUint64(w[pos:], binary.LittleEndian.Uint64(w[src:]))
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
