package deflate

import (
	"context"
	"io"
	"sync/atomic"

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

// Meter measures a connection: what has come over the wire, and what it has
// inflated to. The zero value is ready; it is of one connection. A nil one is of
// a connection without compression, and measures nothing.
type Meter struct {
	wire  atomic.Int64 // bytes that have come since the last message
	saved int64        // of the goroutine that reads messages
}

// Came tells of bytes that have come over the wire, where the meter measures no
// connection.
func (m *Meter) Came(n int) { m.wire.Add(int64(n)) }

// Read tells of a message of that many bytes, inflated, and waits while
// connections have inflated too much. It is called by one goroutine at a time,
// after each message; a message must not be larger than [ExcessPerSecond].
func (m *Meter) Read(ctx context.Context, message int) error {
	if m == nil {
		return nil
	}
	m.saved = min(m.saved+ordinary*m.wire.Swap(0), saved) - int64(message)
	if m.saved >= 0 {
		return nil
	}
	over := int(-m.saved)
	m.saved = 0
	return excess.WaitN(ctx, over)
}

// counted counts what is read of a connection.
type counted struct {
	io.ReadWriteCloser

	m *Meter
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.ReadWriteCloser.Read(p)
	c.m.wire.Add(int64(n))
	return n, err
}
