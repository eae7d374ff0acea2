package ingest

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/recent"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// overlap is how far behind its cursor a tail starts again: events reach a
// relay late, and clocks differ. What comes twice is deduplicated.
const overlap = 10 * time.Minute

// Tail reads one relay and publishes its events to the intake stream. It
// resumes where it stopped: the cursor in KV moves only over what JetStream
// has acknowledged.
type Tail struct {
	URL     string
	Cursors stage.Store[contract.Cursor]
	// Follow hands the relay's events to handle, from since on (Unix seconds),
	// until the connection or ctx ends, or handle or caughtUp fails. caughtUp says
	// through which time nothing is left out.
	Follow func(ctx context.Context, since int64,
		handle func(ctx context.Context, e nostr.Event) error,
		caughtUp func(ctx context.Context, through int64) error) error
	Publish func(ctx context.Context, out ...contract.Output) error
	// Seen are the ids of events that some tail has published. Tails share it.
	Seen *Seen
}

// Seen remembers ids of events, the last 130,000 at least. It may be used
// concurrently.
type Seen = recent.Map[string, struct{}]

// NewSeen returns an empty one.
func NewSeen() *Seen { return &Seen{Size: seenEvents} }

// Run tails until the connection or ctx ends, or KV or NATS fail. It may be
// called again then.
func (t *Tail) Run(ctx context.Context) error {
	key := nostr.RelayKey(t.URL)
	cursor, _, err := t.Cursors.Get(ctx, key)
	if err != nil {
		return fmt.Errorf("couldn't read the cursor of %s: %w", t.URL, err)
	}
	publishing := publishers(ctx)
	defer func() { _ = publishing.Wait() }() // the cursor stays behind what failed
	return t.Follow(
		ctx,
		max(cursor.Since-int64(overlap/time.Second), 0),
		func(_ context.Context, e nostr.Event) error { return t.handle(publishing, e) },
		func(ctx context.Context, now int64) error {
			err := publishing.Wait()
			publishing = publishers(ctx)
			if err != nil {
				return err
			}
			_, err = t.Cursors.Update(ctx, key, func(old contract.Cursor, _ bool) (contract.Cursor, bool) {
				return contract.Cursor{URL: t.URL, Since: now}, now > old.Since
			})
			if err != nil {
				return fmt.Errorf("couldn't write the cursor of %s: %w", t.URL, err)
			}
			return nil
		},
	)
}

// group runs goroutines until one fails.
type group struct {
	*errgroup.Group
	ctx context.Context //nolint:containedctx // of the goroutines
}

// publishers is a group of as many as publish at a time: more events wait, and
// behind them the relay.
func publishers(ctx context.Context) group {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(64)
	return group{g, ctx}
}

// handle begins to publish an event, or says why an earlier one was not.
func (t *Tail) handle(publishing group, e nostr.Event) error {
	if publishing.ctx.Err() != nil {
		return publishing.Wait()
	}
	if _, seen := t.Seen.Get(e.ID); seen || nostr.Ephemeral(e.Kind) {
		return nil
	}
	received, ok := stage.Received(e)
	if !ok {
		return nil
	}
	received.Sender = t.URL
	publishing.Go(func() error {
		err := t.Publish(publishing.ctx, received)
		if err == nil {
			t.Seen.Put(e.ID, struct{}{})
		}
		return err
	})
	return nil
}
