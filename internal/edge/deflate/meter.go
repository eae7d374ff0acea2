package deflate

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// ordinary is how many times its size on the wire a message may have without
	// being waited for. Events and negentropy messages have about 2, lists of one
	// and the same word up to 30.
	ordinary = 32
	// saved is how many bytes above that a connection may have saved up: a few
	// events of one letter.
	saved = 8 << 20
	// ExcessPerSecond is how many bytes above that all connections together may
	// inflate to in a second: inflating and reading them takes a tenth of a core.
	ExcessPerSecond = 32 << 20
)

// excess is what is left of [ExcessPerSecond], for all connections: they share
// the CPU.
var excess = rate.NewLimiter(ExcessPerSecond, ExcessPerSecond)

// What comes and inflates to nothing is work, too: DEFLATE blocks without a byte
// in them, of which those with codes of their own take 135 ns a byte to read, and
// what is no message.
const (
	// maxWaste is how many bytes that became no text may have come. Of honest ones
	// what waits in the inflater and in buffers counts, up to 40 KiB.
	maxWaste = 64 << 10
	// forgiven is how many of them are forgotten in a second: pings.
	forgiven = 64
	// header is how much a frame takes besides its text.
	header = 14
	// wasteful is how much of [ExcessPerSecond] a wasted byte costs.
	wasteful = 32
	// piece is how much of a message is read at once.
	piece = 16 << 10
)

// ErrWasteful says that a connection's messages are far larger than what they
// inflate to, which none of an honest compressor is.
var ErrWasteful = errors.New("messages that inflate to less than they are")

// Meter measures a connection: what has come over the wire, and what it has
// inflated to. The zero value is ready; it is of one connection, and safe for
// concurrent use. A nil one is of a connection without compression, and measures
// nothing.
type Meter struct {
	mu     sync.Mutex
	wire   int64     // bytes that have come since the last call of Read
	saved  int64     // bytes that may be inflated to without waiting
	wasted int64     // bytes that have come and became no text, at the time of at
	at     time.Time // when some of it was forgiven
}

// Came tells of bytes that have come over the wire, where the meter measures no
// connection. The error is [ErrWasteful] if too many have come before for what
// was read of them.
func (m *Meter) Came(n int) error {
	if m == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.at.IsZero() {
		m.at = time.Now()
	}
	if m.wasted > maxWaste && m.forgive() > maxWaste {
		return ErrWasteful
	}
	m.wire += int64(n)
	m.wasted += int64(n)
	return nil
}

// forgive returns what is wasted by now; mu is held.
func (m *Meter) forgive() int64 {
	now := time.Now()
	past := max(0, min(now.Sub(m.at), time.Hour)) // an hour forgives everything
	m.wasted, m.at = max(0, m.wasted-int64(past.Seconds()*forgiven)), now
	return m.wasted
}

// Read tells of so many bytes of a message, inflated, and waits while connections
// have inflated too much. It is called after each part of a message, which must
// not be larger than [ExcessPerSecond].
func (m *Meter) Read(ctx context.Context, part int) error {
	if m == nil {
		return nil
	}
	if over := m.read(int64(part)); over > 0 {
		return excess.WaitN(ctx, int(over))
	}
	return nil
}

// read returns how much of a part is to be waited for.
func (m *Meter) read(part int64) (over int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.wasted = max(0, m.wasted-part-header)
	m.saved = min(m.saved+ordinary*m.wire, saved) - part
	m.wire = 0
	if m.saved >= 0 {
		return 0
	}
	over, m.saved = -m.saved, 0
	return over
}

// Atone waits for what a connection has cost that ended with [ErrWasteful], so that
// connecting again and again gains nothing. With any other error it does not wait.
func (m *Meter) Atone(ctx context.Context, err error) {
	if errors.Is(err, ErrWasteful) {
		_ = excess.WaitN(ctx, wasteful*maxWaste)
	}
}

// Text returns a message that is read with the meter told.
func (m *Meter) Text(ctx context.Context, message io.Reader) io.Reader {
	if m == nil {
		return message
	}
	return text{message, m, ctx}
}

type text struct {
	io.Reader

	m   *Meter
	ctx context.Context //nolint:containedctx // of one message
}

func (t text) Read(p []byte) (int, error) {
	n, err := t.Reader.Read(p[:min(len(p), piece)])
	if waited := t.m.Read(t.ctx, n); waited != nil {
		return n, waited
	}
	return n, err
}

// counted counts what is read of a connection.
type counted struct {
	io.ReadWriteCloser

	m *Meter
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.ReadWriteCloser.Read(p)
	if wasteful := c.m.Came(n); wasteful != nil {
		return 0, wasteful
	}
	return n, err
}
