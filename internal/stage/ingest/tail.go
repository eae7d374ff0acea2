package ingest

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/pkg/events"
)

// overlap is how far behind its cursor a tail starts again: events reach a
// relay late, and clocks differ. What comes twice is deduplicated.
const overlap = 10 * time.Minute

// Tail reads one relay and publishes its events to the intake stream. It
// resumes where it stopped: the cursor in KV moves only over what JetStream
// has acknowledged.
type Tail struct {
	URL     string
	Cursors stage.Store[events.Cursor]
	// Follow hands the relay's events to handle, from what since returns at
	// each connection (Unix seconds), over reconnects, until ctx ends or
	// handle or caughtUp fails. caughtUp says through which time nothing is
	// left out.
	Follow func(ctx context.Context, since func() int64,
		handle func(ctx context.Context, e events.Event) error,
		caughtUp func(ctx context.Context, through int64) error) error
	Publish func(ctx context.Context, out ...events.Output) error
}

// Run tails until ctx ends or KV or NATS fail. It may be called again then.
func (t *Tail) Run(ctx context.Context) error {
	key := events.RelayKey(t.URL)
	cursor, _, err := t.Cursors.Get(ctx, key)
	if err != nil {
		return fmt.Errorf("couldn't read the cursor of %s: %w", t.URL, err)
	}
	var through atomic.Int64
	through.Store(cursor.Since)
	return t.Follow(
		ctx,
		func() int64 { return max(through.Load()-int64(overlap/time.Second), 0) },
		t.handle,
		func(ctx context.Context, now int64) error {
			_, err := t.Cursors.Update(ctx, key, func(old events.Cursor, _ bool) (events.Cursor, bool) {
				return events.Cursor{URL: t.URL, Since: now}, now > old.Since
			})
			if err != nil {
				return fmt.Errorf("couldn't write the cursor of %s: %w", t.URL, err)
			}
			through.Store(now)
			return nil
		},
	)
}

func (t *Tail) handle(ctx context.Context, e events.Event) error {
	if events.Ephemeral(e.Kind) {
		return nil
	}
	received, ok := stage.Received(e)
	if !ok {
		return nil
	}
	return t.Publish(ctx, received)
}
