package negentropy

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
)

// ErrMalformed is returned for a message that is not protocol v1: cut short, a
// number or prefix out of bounds, an unknown mode, or ranges out of order.
var ErrMalformed = errors.New("negentropy: malformed message")

// ErrVersion is returned to an initiator whose peer does not speak protocol v1.
var ErrVersion = errors.New("negentropy: peer does not speak protocol version 1")

// version is the first byte of every message: protocol v1.
const version = 0x61

// Modes say what follows a range's upper bound.
const (
	modeSkip        = 0 // nothing: the range is settled
	modeFingerprint = 1 // 16 bytes
	modeIDList      = 2 // varint count, then 32 bytes each
)

const (
	fingerprintSize = len(Fingerprint{})
	idSize          = len(ID{})
	maxVarintLen    = 10 // ceil(64 / 7)
)

// bound is the exclusive upper end of a range and the inclusive lower end of the
// next. Its prefix of n bytes stands, padded with zeroes, in Item.ID.
type bound struct {
	Item
	n uint8
}

// before reports whether b lies below c. Bounds of different prefix length with
// the same padded value are the same place.
func (b *bound) before(c *bound) bool {
	if b.Timestamp != c.Timestamp {
		return b.Timestamp < c.Timestamp
	}
	return bytes.Compare(b.ID[:], c.ID[:]) < 0
}

// wireSize returns the most that a range's head with this bound takes.
func (b *bound) wireSize() int { return varintLen(b.Timestamp) + 1 + int(b.n) + 2 }

func endBound() bound { return bound{Item: Item{Timestamp: infinity}} }

// reader decodes one message. Everything it reads is hostile: nothing is
// allocated, and every count is checked against the bytes that are left.
type reader struct {
	buf  []byte
	last bound // bounds are deltas against the previous one
}

func (r *reader) more() bool { return len(r.buf) > 0 }

// next reads a range's upper bound and mode; what the mode promises comes after.
func (r *reader) next() (b bound, mode uint64, err error) {
	if b, err = r.bound(); err != nil {
		return b, 0, err
	}
	if mode, err = r.varint(); err != nil {
		return b, 0, err
	}
	if mode > modeIDList {
		return b, 0, fmt.Errorf("%w: unknown mode %d", ErrMalformed, mode)
	}
	return b, mode, nil
}

func (r *reader) bound() (b bound, err error) {
	delta, err := r.varint()
	if err != nil {
		return b, err
	}
	if ts := r.last.Timestamp + delta - 1; delta == 0 || ts < r.last.Timestamp {
		b.Timestamp = infinity
	} else {
		b.Timestamp = ts
	}
	n, err := r.varint()
	if err != nil {
		return b, err
	}
	if n > uint64(idSize) {
		return b, fmt.Errorf("%w: id prefix of %d bytes", ErrMalformed, n)
	}
	prefix, err := r.take(int(n))
	if err != nil {
		return b, err
	}
	b.n = uint8(copy(b.ID[:], prefix))
	if b.before(&r.last) {
		return b, fmt.Errorf("%w: bounds out of order", ErrMalformed)
	}
	r.last = b
	return b, nil
}

func (r *reader) fingerprint() (Fingerprint, error) {
	p, err := r.take(fingerprintSize)
	if err != nil {
		return Fingerprint{}, err
	}
	return Fingerprint(p), nil
}

// ids returns the ids of a list, packed, as a part of the message.
func (r *reader) ids() ([]byte, error) {
	n, err := r.varint()
	if err != nil {
		return nil, err
	}
	if n > uint64(len(r.buf)/idSize) {
		return nil, fmt.Errorf("%w: list of %d ids in %d bytes", ErrMalformed, n, len(r.buf))
	}
	return r.take(int(n) * idSize)
}

func (r *reader) take(n int) ([]byte, error) {
	if n > len(r.buf) {
		return nil, fmt.Errorf("%w: cut short", ErrMalformed)
	}
	p := r.buf[:n]
	r.buf = r.buf[n:]
	return p, nil
}

func (r *reader) varint() (uint64, error) {
	var v uint64
	for i, c := range r.buf {
		if i == maxVarintLen || v>>57 != 0 {
			return 0, fmt.Errorf("%w: number above 64 bits", ErrMalformed)
		}
		v = v<<7 | uint64(c&0x7f)
		if c < 0x80 {
			r.buf = r.buf[i+1:]
			return v, nil
		}
	}
	return 0, fmt.Errorf("%w: cut short", ErrMalformed)
}

// writer encodes one message by appending; rewind takes the last ranges back.
type writer struct {
	buf  []byte
	last uint64 // timestamp of the last bound
}

// mark is a position to rewind to.
type mark struct {
	size int
	last uint64
}

func (w *writer) reset() {
	w.buf = append(w.buf[:0], version)
	w.last = 0
}

// grow makes space for n bytes. A buffer at least doubles, where append would add a
// quarter and copy a message of megabytes many times.
func (w *writer) grow(n int) {
	if cap(w.buf)-len(w.buf) < n {
		w.buf = slices.Grow(w.buf, max(n, len(w.buf)))
	}
}

func (w *writer) mark() mark { return mark{len(w.buf), w.last} }

func (w *writer) rewind(m mark) {
	w.buf = w.buf[:m.size]
	w.last = m.last
}

func (w *writer) skip(b *bound) { w.head(b, modeSkip) }

func (w *writer) fingerprint(b *bound, f Fingerprint) {
	w.head(b, modeFingerprint)
	w.buf = append(w.buf, f[:]...)
}

// list opens a list of n ids, which the caller appends to buf.
func (w *writer) list(b *bound, n int) {
	w.head(b, modeIDList)
	w.varint(uint64(n))
}

func (w *writer) head(b *bound, mode byte) {
	if b.Timestamp == infinity {
		w.buf = append(w.buf, 0)
	} else {
		w.varint(b.Timestamp - w.last + 1)
	}
	w.last = b.Timestamp
	w.buf = append(w.buf, b.n)
	w.buf = append(w.buf, b.ID[:b.n]...)
	w.buf = append(w.buf, mode)
}

func (w *writer) varint(v uint64) {
	var tmp [maxVarintLen]byte
	w.buf = append(w.buf, tmp[:putVarint(tmp[:], v)]...)
}

// putVarint writes v in base 128, most significant digit first, all but the
// last with the high bit set, and returns the number of bytes.
func putVarint(dst []byte, v uint64) int {
	n := varintLen(v)
	dst[n-1] = byte(v & 0x7f)
	for i := n - 2; i >= 0; i-- {
		v >>= 7
		dst[i] = byte(v) | 0x80
	}
	return n
}

func varintLen(v uint64) int {
	n := 1
	for v >>= 7; v != 0; v >>= 7 {
		n++
	}
	return n
}
