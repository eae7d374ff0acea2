package gateway

import (
	"bytes"
	"compress/flate"
	"errors"
	"io"
	"strings"
	"sync"
)

// compressed is the size from which a message to a client is compressed.
const compressed = 256

// extension is what we agree to: neither side goes on from one message to the
// next, so that a connection holds no memory for it.
const extension = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

// agrees reports whether a client offers compression that we can keep to
// (RFC 7692, 7.1): windows are of 32 KiB.
func agrees(offers []string) bool {
	for offer := range strings.SplitSeq(strings.Join(offers, ","), ",") {
		parts := strings.Split(offer, ";")
		good := strings.TrimSpace(parts[0]) == "permessage-deflate"
		for _, p := range parts[1:] {
			name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
			switch name {
			case "server_no_context_takeover", "client_no_context_takeover", "client_max_window_bits":
			case "server_max_window_bits":
				good = good && strings.Trim(value, `"`) == "15"
			default:
				good = false
			}
		}
		if good {
			return true
		}
	}
	return false
}

var deflaters = sync.Pool{New: func() any {
	w, err := flate.NewWriter(nil, flate.BestSpeed)
	if err != nil {
		panic(err) // of a level that does not exist
	}
	return &deflater{w: w}
}}

type deflater struct {
	w   *flate.Writer
	out bytes.Buffer
}

// appendCompressed appends a frame with a message, compressed.
func appendCompressed(b []byte, op byte, data []byte) []byte {
	d := deflaters.Get().(*deflater)
	defer func() {
		if d.out.Cap() <= keptBuffer {
			deflaters.Put(d)
		}
	}()
	d.out.Reset()
	d.w.Reset(&d.out)
	_, _ = d.w.Write(data) // a buffer takes all
	_ = d.w.Flush()
	text := bytes.TrimSuffix(d.out.Bytes(), []byte(flushed))
	return append(appendHeader(b, header{first: bitFin | bitCompressed | op, length: int64(len(text))}), text...)
}

const (
	// flushed is the end of what a flush writes; messages are sent without it.
	flushed = "\x00\x00\xff\xff"
	// ended ends the stream, for a reader that wants to know.
	ended = "\x01\x00\x00\xff\xff"
	// inflating is what an inflater takes, in bytes, besides the text.
	inflating = 44 << 10
	// mostInflated is how large a compressed message of a client may be.
	mostInflated = 16 << 20
	inflateStep  = 16 << 10
)

var (
	errTooLarge = errors.New("a compressed message of more than 16 MiB")
	inflaters   = sync.Pool{New: func() any { return flate.NewReader(nil) }}
)

// inflate passes a compressed message of the client on, as one frame, or piece by
// piece where it is large.
func (p *pump) inflate(first header) error {
	if !p.conn.held.take(inflating + inflateStep) {
		return errBusy
	}
	defer p.conn.held.give(inflating + inflateStep)
	from := &message{pump: p, frame: first, left: first.length}
	inflater := inflaters.Get().(io.ReadCloser)
	defer inflaters.Put(inflater)
	if err := inflater.(flate.Resetter).Reset(from, nil); err != nil {
		return err
	}
	op, total := first.op(), 0
	inflated := p.inflated.Text(p.conn.ctx, inflater)
	text := make([]byte, 0, inflateStep)
	streamed := false
	for {
		n, err := io.ReadFull(inflated, text[len(text):cap(text)])
		text = text[:len(text)+n]
		if total += n; total > mostInflated {
			return errTooLarge
		}
		last := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if last {
			err = from.drain()
		}
		if err != nil {
			return err
		}
		switch {
		case last && !streamed:
			p.inspect(text)
			p.to.pass(p.masked(bitFin|op, text))
			return nil
		case last:
			p.to.stream(p.masked(bitFin, text))
			p.to.end()
			return nil
		case !streamed && 2*cap(text) <= maxInspected && p.conn.held.take(2*cap(text)):
			defer p.conn.held.give(2 * cap(text))
			text = append(make([]byte, 0, 2*cap(text)), text...)
			continue
		case streamed:
			p.to.stream(p.masked(0, text))
		default:
			p.to.stream(p.masked(op, text))
			streamed = true
		}
		text = text[:0]
		if err := p.to.flush(); err != nil {
			return err
		}
	}
}

// masked returns a frame to the relay. Masks hide what browsers send from old
// proxies on the way (RFC 6455, 10.3), of which there are none: this one is zero.
func (p *pump) masked(first byte, data []byte) []byte {
	p.frame = appendHeader(p.frame[:0], header{first: first, masked: true, length: int64(len(data))})
	p.frame = append(p.frame, data...)
	frame := p.frame
	if cap(p.frame) > keptBuffer {
		p.frame = nil
	}
	return frame
}

// message reads the payload of a compressed message, frame by frame.
type message struct {
	pump  *pump
	frame header
	left  int64 // of the frame
	tail  bool  // what the sender leaves out has been read
	chunk []byte
}

// more has a chunk with at least one byte.
func (m *message) more() error {
	for len(m.chunk) == 0 {
		switch {
		case m.left > 0:
			from := int(m.frame.length - m.left)
			part, err := m.pump.from.some(min(m.left, inflateStep))
			if err != nil {
				return err
			}
			if err := m.pump.inflated.Came(len(part)); err != nil {
				return err
			}
			m.left -= int64(len(part))
			m.chunk = appendUnmasked(m.pump.text[:0], part, m.frame, from%4)
			m.pump.text = m.chunk
		case !m.frame.fin():
			next, err := m.pump.continuation()
			if err != nil {
				return err
			}
			m.frame, m.left = next, next.length
		case !m.tail:
			m.tail, m.chunk = true, []byte(flushed+ended)
		default:
			return io.ErrUnexpectedEOF
		}
	}
	return nil
}

// drain passes over what comes after the end of the stream.
func (m *message) drain() error {
	for !m.tail {
		m.chunk = nil
		if err := m.more(); err != nil {
			return err
		}
	}
	return nil
}

// Read is that of io.Reader.
func (m *message) Read(b []byte) (int, error) {
	if err := m.more(); err != nil {
		return 0, err
	}
	n := copy(b, m.chunk)
	m.chunk = m.chunk[n:]
	return n, nil
}

// ReadByte is that of io.ByteReader.
func (m *message) ReadByte() (byte, error) {
	if err := m.more(); err != nil {
		return 0, err
	}
	c := m.chunk[0]
	m.chunk = m.chunk[1:]
	return c, nil
}
