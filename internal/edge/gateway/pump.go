package gateway

import (
	"errors"
	"time"

	"github.com/relaymesh/relaymesh/internal/edge/deflate"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	// maxInspected is how large a message is read along the way: an event of the
	// size that relaymesh handles, and its envelope.
	maxInspected = nostr.MaxEventBytes + 4<<10
	// freely is how large a message is held without being counted.
	freely = largeBuffer
	// maxControl is how long the payload of a control frame may be (RFC 6455, 5.5).
	maxControl = 125
)

var errControl = errors.New("a control frame that is too long or in parts")

// pump passes on what one side sends, message by message, until that side or the
// other ends.
type pump struct {
	conn *conn
	from *source
	to   *sink
	// look is told of each text of a size that is read. It must not keep it, and
	// says whether it is to pass.
	look func(text []byte) (pass bool)

	inflated *deflate.Meter // of what the client compresses; nil where it cannot
	wasted   *deflate.Meter // of frames that carry nothing of a message; nil for the relay's
	passed   *counted

	// Buffers that are used again.
	text, frame []byte
}

// run returns why it ended, which is never nil.
func (p *pump) run() error {
	for {
		if err := p.next(); err != nil {
			return err
		}
		if cap(p.text) > smallBuffer || cap(p.frame) > smallBuffer {
			p.text, p.frame = nil, nil
		}
		if p.to.held() >= flushAt {
			if err := p.to.flush(); err != nil {
				return err
			}
		}
	}
}

// header reads the header of a frame, and returns it as it stands, too. It ends a
// client that sends pings and empty frames on and on.
func (p *pump) header(mid bool) (h header, raw []byte, err error) {
	b, err := p.from.peek(2, mid)
	if err != nil {
		return h, nil, err
	}
	if raw, err = p.from.take(headerSize(b), mid); err != nil {
		return h, nil, err
	}
	if h, err = parseHeader(raw); err == nil && (h.control() || h.length == 0) {
		err = p.wasted.Came(len(raw) + int(min(h.length, maxControl)))
	}
	return h, raw, err
}

// next passes on a message, or a control frame.
func (p *pump) next() error {
	h, raw, err := p.header(false)
	if err != nil {
		return err
	}
	p.passed.Inc()
	switch {
	case h.control():
		return p.control(h, raw)
	case p.inflated != nil && h.first&bitCompressed != 0:
		return p.inflate(h)
	case !h.plain() || h.length > maxInspected:
		return p.stream(h, raw)
	case !h.fin():
		return p.gather(h, raw)
	}
	size := len(raw) + int(h.length)
	p.from.r -= len(raw)
	if h.length > freely {
		soon, err := p.reserve(size)
		if err != nil {
			return err
		}
		if !soon {
			raw, err := p.from.take(len(raw), true)
			if err != nil {
				return err
			}
			return p.stream(h, raw)
		}
		defer p.conn.held.give(2 * size)
	}
	frame, err := p.from.take(size, true)
	if err != nil {
		return err
	}
	payload := frame[len(raw):]
	text := payload
	if h.masked {
		if !promising(payload, h) {
			p.to.pass(frame)
			return nil
		}
		p.text = appendUnmasked(p.text[:0], payload, h, 0)
		text = p.text
	}
	if !p.look(text) {
		return nil
	}
	if p.to.compress {
		p.to.message(h.op(), text)
	} else {
		p.to.pass(frame)
	}
	return nil
}

// reserve counts a large message and waits until all of it has come. It gives up one
// that is too much or too slow, which then passes unread.
func (p *pump) reserve(size int) (soon bool, err error) {
	if !p.conn.held.take(2 * size) {
		return false, nil
	}
	if soon, err = p.from.soon(size, p.conn.gateway.patience.slow); !soon {
		p.conn.held.give(2 * size)
	}
	return soon, err
}

// promising reports whether a masked text may be of interest, by its first bytes.
func promising(payload []byte, h header) bool {
	var b [32]byte
	text := appendUnmasked(b[:0], payload[:min(len(payload), len(b))], h, 0)
	return labelOf(text) != labelOther || quotedLabel(text) == nil
}

// control passes on a control frame, at once: none is part of a message.
func (p *pump) control(h header, raw []byte) error {
	if h.length > maxControl || !h.fin() {
		return errControl
	}
	p.from.r -= len(raw)
	frame, err := p.from.take(len(raw)+int(h.length), true)
	if err != nil {
		return err
	}
	p.to.pass(frame)
	return nil
}

// continuation reads the header of the next frame of a message, and passes on the
// control frames before it.
func (p *pump) continuation() (header, error) {
	h, _, err := p.continued()
	return h, err
}

func (p *pump) continued() (h header, raw []byte, err error) {
	for {
		if h, raw, err = p.header(true); err != nil || !h.control() {
			return h, raw, err
		}
		if err := p.control(h, raw); err != nil {
			return h, nil, err
		}
	}
}

// stream passes a message on as it comes, unread.
func (p *pump) stream(h header, raw []byte) error {
	p.to.stream(raw)
	for {
		for left := h.length; left > 0; {
			part, err := p.from.some(min(left, flushAt))
			if err != nil {
				return err
			}
			left -= int64(len(part))
			p.to.stream(part)
			if p.to.held() >= flushAt {
				if err := p.to.flush(); err != nil {
					return err
				}
			}
		}
		if h.fin() {
			p.to.end()
			return nil
		}
		var err error
		if h, raw, err = p.continued(); err != nil {
			return err
		}
		p.to.stream(raw)
	}
}

// gather reads a message that comes in several frames, and passes them on when all
// are there, or when they are too much or too slow.
func (p *pump) gather(h header, raw []byte) error {
	parts := parts{until: time.Now().Add(p.conn.gateway.patience.slow)}
	defer func() { p.conn.held.give(parts.taken) }()
	for {
		parts.all = append(parts.all, raw...)
		for left := h.length; ; {
			if !parts.fit(p.conn.held) {
				p.to.stream(parts.all)
				p.conn.held.give(parts.taken)
				parts.text, parts.all, parts.taken = nil, nil, 0
				h.length = left
				return p.stream(h, nil)
			}
			if left == 0 {
				break
			}
			part, err := p.from.some(left)
			if err != nil {
				return err
			}
			parts.text = appendUnmasked(parts.text, part, h, int((h.length-left)%4))
			parts.all = append(parts.all, part...)
			left -= int64(len(part))
		}
		if h.fin() {
			if p.look(parts.text) {
				p.to.pass(parts.all)
			}
			return nil
		}
		var err error
		if h, raw, err = p.continued(); err != nil {
			return err
		}
	}
}

// parts are the frames of a message as they stand, and its text, which are held
// until a time.
type parts struct {
	text, all []byte
	taken     int // of the account
	until     time.Time
}

// fit counts what is held, and reports whether it may be.
func (m *parts) fit(account account) bool {
	if len(m.all) > maxInspected || time.Now().After(m.until) {
		return false
	}
	more := cap(m.text) + cap(m.all) - m.taken
	if more > 0 && !account.take(more) {
		return false
	}
	m.taken += max(more, 0)
	return true
}

// inspect is look, for a message of the client: all of them pass.
func (p *pump) inspect(text []byte) { p.look(text) }
