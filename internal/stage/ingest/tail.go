package ingest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/pkg/events"
)

const (
	// overlap is how far behind its cursor a tail starts again: events reach
	// a relay late, and clocks differ. What comes twice is deduplicated.
	overlap = 10 * time.Minute
	// saveEvery is how often a tail writes its cursor while events come in.
	saveEvery = 5 * time.Second
)

// Tail reads one relay and publishes its events to the intake stream. It
// resumes where it stopped: the cursor in KV moves only over events that
// JetStream has acknowledged, and only once the relay has sent all it had
// stored, since stored events come newest first.
type Tail struct {
	URL     string
	Cursors stage.Store[events.Cursor]
	// Follow delivers the relay's events from since (Unix seconds) on, over
	// reconnects, until ctx ends or deliver fails. caughtUp is called each
	// time that everything stored has been delivered.
	Follow  func(ctx context.Context, url string, since int64, deliver func(context.Context, events.Event) error, caughtUp func()) error
	Publish func(ctx context.Context, out ...events.Output) error
	Now     func() time.Time

	mu     sync.Mutex
	newest int64 // created_at of the newest event delivered, never ahead of the clock
	live   bool  // everything stored has been delivered
	saved  time.Time
}

// Run tails until ctx ends; it returns an error when KV or NATS fail, and may
// be called again then.
func (t *Tail) Run(ctx context.Context) error {
	key := events.RelayKey(t.URL)
	cursor, _, err := t.Cursors.Get(ctx, key)
	if err != nil {
		return fmt.Errorf("couldn't read the cursor of %s: %w", t.URL, err)
	}
	t.newest, t.live, t.saved = cursor.Since, false, t.Now()
	since := max(cursor.Since-int64(overlap/time.Second), 0)
	err = t.Follow(ctx, t.URL, since, t.deliver, func() { t.caughtUp(ctx) })
	if ctx.Err() != nil {
		return nil //nolint:nilerr // asked to stop
	}
	return err
}

func (t *Tail) deliver(ctx context.Context, e events.Event) error {
	if !events.Ephemeral(e.Kind) {
		out := events.Output{Subject: events.SubjectEventReceived, Data: events.Encode(e), ID: e.ID}
		if err := t.Publish(ctx, out); err != nil {
			return err
		}
	}
	t.mu.Lock()
	now := t.Now()
	t.newest = max(t.newest, min(e.CreatedAt, now.Unix()))
	due := t.live && now.Sub(t.saved) >= saveEvery
	t.mu.Unlock()
	if due {
		return t.save(ctx)
	}
	return nil
}

func (t *Tail) caughtUp(ctx context.Context) {
	t.mu.Lock()
	t.live = true
	t.mu.Unlock()
	// If the cursor cannot be written now, the next event tries again.
	_ = t.save(ctx)
}

func (t *Tail) save(ctx context.Context) error {
	t.mu.Lock()
	newest := t.newest
	t.saved = t.Now()
	t.mu.Unlock()
	_, err := t.Cursors.Update(ctx, events.RelayKey(t.URL), func(old events.Cursor, _ bool) (events.Cursor, bool) {
		return events.Cursor{URL: t.URL, Since: newest}, newest > old.Since
	})
	if err != nil {
		return fmt.Errorf("couldn't write the cursor of %s: %w", t.URL, err)
	}
	return nil
}
