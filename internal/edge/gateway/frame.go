package gateway

import (
	"encoding/binary"
	"errors"
)

// Opcodes of frames (RFC 6455, 5.2). Those from opClose on are of control frames.
const (
	opText   = 1
	opBinary = 2
	opClose  = 8
)

// Bits of the first two bytes of a frame.
const (
	bitFin        = 0x80
	bitCompressed = 0x40 // RSV1: permessage-deflate, RFC 7692
	bitMasked     = 0x80
)

var errFrame = errors.New("a frame of more bytes than there are")

// header is that of a frame.
type header struct {
	first  byte // with the bits above
	masked bool
	key    [4]byte
	length int64
}

func (h header) op() byte      { return h.first & 0x0f }
func (h header) fin() bool     { return h.first&bitFin != 0 }
func (h header) control() bool { return h.op() >= opClose }

// plain reports whether the frame begins a message that is not compressed, be it text or
// binary: clients and relays take the one for the other.
func (h header) plain() bool { op := h.first &^ bitFin; return op == opText || op == opBinary }

// headerSize returns how long a header is that begins with these two bytes.
func headerSize(b []byte) int {
	n := 2
	switch b[1] &^ bitMasked {
	case 126:
		n += 2
	case 127:
		n += 8
	}
	if b[1]&bitMasked != 0 {
		n += 4
	}
	return n
}

// parseHeader reads a header of the size that [headerSize] says.
func parseHeader(b []byte) (header, error) {
	h := header{first: b[0], masked: b[1]&bitMasked != 0, length: int64(b[1] &^ bitMasked)}
	switch h.length {
	case 126:
		h.length = int64(binary.BigEndian.Uint16(b[2:]))
	case 127:
		n := binary.BigEndian.Uint64(b[2:])
		if n>>63 != 0 {
			return h, errFrame
		}
		h.length = int64(n)
	}
	if h.masked {
		copy(h.key[:], b[len(b)-4:])
	}
	return h, nil
}

// appendHeader writes a header.
func appendHeader(b []byte, h header) []byte {
	masked := byte(0)
	if h.masked {
		masked = bitMasked
	}
	switch {
	case h.length < 126:
		b = append(b, h.first, masked|byte(h.length))
	case h.length < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, h.first, masked|126), uint16(h.length))
	default:
		b = binary.BigEndian.AppendUint64(append(b, h.first, masked|127), uint64(h.length)) //nolint:gosec // not negative
	}
	if h.masked {
		b = append(b, h.key[:]...)
	}
	return b
}

// appendUnmasked appends a payload, of which it is the bytes from the offset on,
// without its mask.
func appendUnmasked(b, payload []byte, h header, offset int) []byte {
	from := len(b)
	b = append(b, payload...)
	if !h.masked {
		return b
	}
	rest := b[from:]
	var key [8]byte
	for i := range key {
		key[i] = h.key[(offset+i)%4]
	}
	word := binary.LittleEndian.Uint64(key[:])
	for ; len(rest) >= 8; rest = rest[8:] {
		binary.LittleEndian.PutUint64(rest, binary.LittleEndian.Uint64(rest)^word)
	}
	for i := range rest {
		rest[i] ^= key[i]
	}
	return b
}
