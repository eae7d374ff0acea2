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
	// stuckAfter is how long all handlers of a consumer may run, and none end. The
	// longest work there is, a sync, takes half an hour.
	stuckAfter = time.Hour
	// stalledAfter is how long a stream may take nothing before that is told.
	stalledAfter = time.Minute
)

// pulse is when the loop of a consumer turned last: it pulled, or had one of its
// messages in work. The zero value has not begun.
type pulse struct {
	last atomic.Int64 // Unix time in ns, 0 for one that may stand
	full atomic.Int64 // since when no more fit in work, 0 for not
}

func (p *pulse) beat() { p.last.Store(time.Now().UnixNano()) }

// rest lets the loop stand until the next beat: it waits for messages.
func (p *pulse) rest() { p.last.Store(0) }

// fill says that all that fits is in work, which must end; end, that something of it has.
func (p *pulse) fill() { p.full.Store(time.Now().UnixNano()) }
func (p *pulse) end()  { p.full.Store(0) }

// longerThan reports whether it is longer than d since a time, unless that is 0.
func longerThan(d time.Duration, since *atomic.Int64, now time.Time) bool {
	at := since.Load()
	return at != 0 && now.Sub(time.Unix(0, at)) > d
}

// Alive says which consumer's loop stands still, or has handlers that do not end and lets
// nothing else be done, nil for none. It depends on nothing
// outside the process: while NATS is away, the loops wait for messages.
func (b *Bus) Alive() error {
	b.pulsesMu.Lock()
	defer b.pulsesMu.Unlock()
	now := time.Now()
	for name, p := range b.pulses {
		if longerThan(stillAfter, &p.last, now) {
			return fmt.Errorf("consumer %s has stood still for more than %s", name, stillAfter)
		}
		if b.waiting.Load() == 0 && longerThan(stuckAfter, &p.full, now) {
			return fmt.Errorf("consumer %s: all that it has in work has not ended in %s", name, stuckAfter)
		}
	}
	return nil
}

// waits counts a caller that waits for a full stream or server, which may last: no
// handler is to blame for it. The returned function ends it.
func (b *Bus) waits() (done func()) {
	b.waiting.Add(1)
	return func() {
		b.pulsesMu.Lock()
		defer b.pulsesMu.Unlock()
		for _, p := range b.pulses {
			if p.full.Load() != 0 {
				p.fill()
			}
		}
		b.waiting.Add(-1)
	}
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
