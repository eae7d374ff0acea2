package homerelay

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"
	"unicode/utf8"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// keep counts bytes that the client makes us hold, and reports whether it may.
// Where it may not, the connection ends.
func (c *client) keep(bytes int) bool {
	err := c.relay.ledger.take(c.hold, heldBytes, bytes)
	if err != nil {
		c.cutOff(err)
	}
	return err == nil
}

// drop undoes keep.
func (c *client) drop(bytes int) { c.relay.ledger.give(c.hold, heldBytes, bytes) }

// work is [Relay.work] for this client.
func (c *client) work(cost int, do func()) bool { return c.relay.work(c.ctx, c.hold.party, cost, do) }

// work does what takes the processor for a while, when it is a party's turn, and
// reports whether it did before the context ended. Turns go round by party; cost is
// in bytes. What waits for anything else must not be done in it.
func (r *Relay) work(ctx context.Context, p party, cost int, do func()) bool {
	if !r.working.enter(ctx, p, 1, cost+minWork) {
		return false
	}
	defer r.working.leave(1)
	do()
	return true
}

// decodeFilters is [decodeFilters] when it is this client's turn.
func (c *client) decodeFilters(texts []json.RawMessage) (filters []nostr.Filter, err error) {
	size := 0
	for _, text := range texts {
		size += len(text)
	}
	if !c.work(size, func() { filters, err = decodeFilters(texts) }) {
		return nil, c.ctx.Err()
	}
	if err == nil {
		err = c.relay.store.unsupported(filters)
	}
	return filters, err
}

// readMessage reads the next message, whose capacity is counted as memory.
func (c *client) readMessage() ([]byte, error) {
	_, r, err := c.ws.Reader(c.ctx) // some clients send their text in binary messages
	if err != nil {
		return nil, err
	}
	stalled := time.AfterFunc(messageTimeout, func() { c.cutOff(errors.New("a message that does not end")) })
	defer stalled.Stop()
	if !c.keep(c.inflating + firstRead) {
		return nil, c.ctx.Err()
	}
	defer c.drop(c.inflating)
	data := make([]byte, 0, firstRead)
	r = c.meter.Text(c.ctx, r)
	for {
		n, err := r.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		switch {
		case errors.Is(err, io.EOF):
			// Text that is not UTF-8 would be served to clients that refuse it.
			if !utf8.Valid(data) {
				return nil, errors.New("a message that is not text")
			}
			return data, nil
		case err != nil:
			return nil, err
		case len(data) < cap(data):
			continue
		}
		if !c.keep(cap(data)) {
			return nil, c.ctx.Err()
		}
		data = append(make([]byte, 0, 2*cap(data)), data...)
	}
}
