package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// stillAfter is when a loop that should turn is held to stand.
	stillAfter = time.Minute
	// stalledAfter is how long a stream may take nothing before that is told.
	stalledAfter = time.Minute
)

// pulse is when the loop of a consumer turned last: it pulled, or had one of its
// messages in work. The zero value has not begun.
type pulse struct{ last atomic.Int64 } // Unix time in ns, 0 for one that may stand

func (p *pulse) beat() { p.last.Store(time.Now().UnixNano()) }

// rest lets the loop stand until the next beat: it waits for messages.
func (p *pulse) rest() { p.last.Store(0) }

func (p *pulse) still(now time.Time) bool {
	last := p.last.Load()
	return last != 0 && now.Sub(time.Unix(0, last)) > stillAfter
}

// Alive says which consumer's loop stands still, nil for none. It depends on nothing
// outside the process: while NATS is away, the loops wait for messages.
func (b *Bus) Alive() error {
	b.pulsesMu.Lock()
	defer b.pulsesMu.Unlock()
	now := time.Now()
	for name, p := range b.pulses {
		if p.still(now) {
			return fmt.Errorf("consumer %s has stood still for more than %s", name, stillAfter)
		}
	}
	return nil
}

// pulseOf is the pulse of a consumer.
func (b *Bus) pulseOf(name string) *pulse {
	b.pulsesMu.Lock()
	defer b.pulsesMu.Unlock()
	p := &pulse{}
	b.pulses[name] = p
	return p
}

// writes are since when streams have taken nothing that was published to them.
type writes struct {
	mu    sync.Mutex
	since map[string]time.Time
	why   map[string]error
}

// note takes in an attempt to publish. A stream that refuses a message lives.
func (w *writes) note(stream string, err error, now time.Time) {
	silent := errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, jetstream.ErrNoStreamResponse)
	w.mu.Lock()
	defer w.mu.Unlock()
	switch _, failing := w.since[stream]; {
	case !silent:
		delete(w.since, stream)
	case !failing:
		w.since[stream] = now
	}
	w.why[stream] = err
}

// Stalled says which streams have taken nothing for a minute that was published to
// them, nil for none: where the server has lost its disk, say, it keeps its connections,
// and answers no publisher.
func (b *Bus) Stalled() error {
	b.writes.mu.Lock()
	defer b.writes.mu.Unlock()
	var stalled []error
	for stream, since := range b.writes.since {
		if wait := time.Since(since); wait > stalledAfter {
			stalled = append(stalled, fmt.Errorf("stream %s has taken nothing for %s: %w", stream, wait.Round(time.Second), b.writes.why[stream]))
		}
	}
	return errors.Join(stalled...)
}
