package xz

// A window is the last bytes unpacked, round and round. It grows as it fills: what a stream says it needs costs
// nothing until it is used.
type window struct {
	buf   []byte // size bytes, and wideCopy that may be overwritten at any time
	size  int    // bytes in use before it goes round
	dict  int    // how far back a match may reach
	pos   int    // where the next byte goes
	total int64  // bytes since the dictionary was reset
}

const (
	firstWindow = 256 << 10
	wideCopy    = 16 // bytes that short matches are copied by: as many, less one, may be written past a match
	longMatch   = 64 // bytes from which copy is faster
)

// reset empties the window and says how far matches reach back.
func (w *window) reset(dict int) {
	w.dict = dict
	w.forget()
	w.fit(min(max(cap(w.buf)-wideCopy, firstWindow), dict+wideCopy))
}

// forget drops the content.
func (w *window) forget() { w.pos, w.total = 0, 0 }

func (w *window) fit(size int) {
	if cap(w.buf) < size+wideCopy {
		b := make([]byte, size+wideCopy)
		copy(b, w.buf[:w.pos])
		w.buf = b
	}
	w.size, w.buf = size, w.buf[:size+wideCopy]
}

// room makes place behind pos, and returns how much.
func (w *window) room() int {
	if w.pos == w.size {
		if full := w.dict + wideCopy; w.size < full {
			w.fit(min(2*w.size, full))
		} else {
			w.pos = 0
		}
	}
	return w.size - w.pos
}

// prev is the byte before pos.
func (w *window) prev(pos int) byte {
	if !w.has(pos, 0) {
		return 0
	}
	return w.buf[w.back(pos, 0)]
}

// repeat copies n bytes from dist+1 before pos to pos.
func (w *window) repeat(pos, n int, dist uint32) {
	src, end := w.back(pos, dist), pos+n
	if src > pos { // it may go round
		k := copy(w.buf[pos:end], w.buf[src:w.size])
		pos, src = pos+k, 0
	}
	for pos < end { // twice as much each time, if they overlap
		pos += copy(w.buf[pos:end], w.buf[src:pos])
	}
}

// has tells whether a match may reach dist+1 bytes back from pos.
func (w *window) has(pos int, dist uint32) bool {
	return uint(dist) < uint(w.dict) && (uint(dist) < uint(pos) || w.total >= int64(w.size))
}

// back is where the byte dist+1 before pos is.
func (w *window) back(pos int, dist uint32) int {
	if i := pos - int(dist) - 1; i >= 0 {
		return i
	}
	return pos - int(dist) - 1 + w.size
}

func (w *window) advance(n int) {
	w.pos += n
	w.total += int64(n)
}
