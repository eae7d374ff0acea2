package relay

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"net/http"

	"github.com/relaymesh/relaymesh/internal/reconcile"
)

// counting is a transport on whose websockets frames are counted, below the
// library: it answers pings and joins fragments without a word to its user.
type counting struct {
	http.RoundTripper

	charge func(bytes int) error
}

// RoundTrip is that of [http.RoundTripper].
func (c counting) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := c.RoundTripper.RoundTrip(req)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		return resp, err
	}
	if socket, ok := resp.Body.(io.ReadWriteCloser); ok {
		resp.Body = &wire{ReadWriteCloser: socket, charge: c.charge}
	}
	return resp, nil
}

// wire is the connection below a websocket, after TLS. It charges what never
// becomes a message: control frames, fragments of less than they cost, and reads
// of a few bytes. Whole messages are charged by who gets them.
type wire struct {
	io.ReadWriteCloser

	charge  func(bytes int) error
	header  []byte // of a frame, as far as it has come
	left    uint64 // of the frame's payload, in bytes
	message uint64 // payload of the message up to the end of this frame
	balance int    // of reads, see read
}

// maxBalance bounds what large reads make up for small ones, in bytes.
const maxBalance = 64 << 10

// Read is that of [io.Reader]; its error may be [reconcile.ErrMisbehaving].
func (w *wire) Read(p []byte) (int, error) {
	n, err := w.ReadWriteCloser.Read(p)
	if n == 0 {
		return n, err
	}
	frames, cost, tooLong := w.frames(p[:n])
	if tooLong != nil {
		return 0, tooLong
	}
	// A frame may come in two reads, and a large one in one read for each KiB.
	w.balance = min(w.balance+n+(2*frames-1)*frameCost, maxBalance)
	if w.balance < 0 {
		cost, w.balance = cost-w.balance, 0
	}
	if cost > 0 {
		if broke := w.charge(cost); broke != nil {
			return 0, broke
		}
	}
	return n, err
}

// frames counts the frames whose headers end in p, and what they cost.
func (w *wire) frames(p []byte) (count, cost int, err error) {
	for len(p) > 0 {
		if w.left > 0 {
			skip := min(w.left, uint64(len(p)))
			p, w.left = p[skip:], w.left-skip
			continue
		}
		w.header, p = append(w.header, p[0]), p[1:]
		opcode, length, whole := frameHeader(w.header)
		if !whole {
			continue
		}
		count++
		w.header, w.left = w.header[:0], length
		switch {
		case opcode >= opClose:
			cost += frameCost
			continue
		case opcode == opContinuation:
			cost += max(0, frameCost-int(min(length, frameCost)))
			w.message += min(length, math.MaxUint32)
		default:
			w.message = length
		}
		// The library bounds what a message inflates to, not what it inflates.
		if w.message > maxMessage+frameCost {
			return 0, 0, fmt.Errorf("%w: a message of %d bytes", reconcile.ErrMisbehaving, w.message)
		}
	}
	return count, cost, nil
}

// Opcodes of RFC 6455, section 5.2; control frames are from opClose on.
const (
	opContinuation = 0
	opClose        = 8
)

// frameHeader reads the header of a frame (RFC 6455, section 5.2), if it is whole.
func frameHeader(h []byte) (opcode byte, length uint64, whole bool) {
	if len(h) < 2 {
		return 0, 0, false
	}
	need, masked := 2, h[1]&0x80 != 0
	switch length = uint64(h[1] & 0x7f); length {
	case 126:
		need = 4
	case 127:
		need = 10
	}
	extended := need
	if masked {
		need += 4
	}
	if len(h) < need {
		return 0, 0, false
	}
	switch extended {
	case 4:
		length = uint64(binary.BigEndian.Uint16(h[2:]))
	case 10:
		length = binary.BigEndian.Uint64(h[2:])
	}
	return h[0] & 0xf, length, true
}
