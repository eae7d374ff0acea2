package ingest

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/recent"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	// overlap is how far behind its cursor a tail starts again: events reach a
	// relay late, and clocks differ. What comes twice is deduplicated.
	overlap = 10 * time.Minute
	// maxPending is how many events are held that are not in the heard set yet.
	maxPending = 4096
	// recalledParts of the heard set are as much as [Seen] holds.
	recalledParts = seenEvents / partSize
	// lastWords is how long a tail that ends may write down what it has heard.
	lastWords = 5 * time.Second
)

// Tail reads one relay and publishes its events to the intake stream, each once,
// whatever its date. It resumes where it stopped: the cursor in KV moves only over
// what JetStream has acknowledged. What the relay received meanwhile and is dated
// before the cursor is found by comparing the relay with what was heard of it.
type Tail struct {
	URL     string
	Cursors stage.Store[contract.Cursor]
	Heard   stage.Store[contract.Heard]
	// Follow hands the relay's events to handle, from since on (Unix seconds),
	// until the connection or ctx ends, or handle or caughtUp fails. caughtUp says
	// through which time nothing is left out, but for what is dated before since.
	Follow func(ctx context.Context, since int64,
		handle func(ctx context.Context, e nostr.Event) error,
		caughtUp func(ctx context.Context, through int64) error) error
	// Relay is the same relay, to be compared.
	Relay   func(ctx context.Context) (reconcile.Relay, error)
	Publish func(ctx context.Context, out ...contract.Output) error
	// Seen are the ids of events that some tail has published. Tails share it.
	Seen *Seen
	Log  *slog.Logger

	compared time.Time // when the last comparison began
	speaks   bool      // the relay speaks NIP-77
}

// Seen remembers ids of events, the last 130,000 at least. It may be used
// concurrently.
type Seen = recent.Map[string, struct{}]

// NewSeen returns an empty one.
func NewSeen() *Seen { return &Seen{Size: seenEvents} }

// Run tails until the connection or ctx ends, or KV or NATS fail. It may be
// called again then, but not twice at a time.
func (t *Tail) Run(ctx context.Context) error {
	key := nostr.RelayKey(t.URL)
	cursor, _, err := t.Cursors.Get(ctx, key)
	if err != nil {
		return fmt.Errorf("couldn't read the cursor of %s: %w", t.URL, err)
	}
	set, err := openHeard(ctx, t.Heard, key)
	if err != nil {
		return fmt.Errorf("couldn't read what was heard of %s: %w", t.URL, err)
	}
	ctx, end := context.WithCancelCause(ctx)
	r := &tailRun{Tail: t, key: key, heard: set, ctx: ctx, publishing: publishers(ctx)}
	var comparing sync.WaitGroup
	defer func() {
		end(nil)
		comparing.Wait()
		_ = r.publishing.Wait() // the cursor stays behind what failed
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
		defer cancel()
		if err := r.heard.add(ctx, r.pending); err != nil {
			t.Log.WarnContext(ctx, "some events are heard again", "err", err)
		}
	}()
	since := max(cursor.Since-int64(overlap/time.Second), 0)
	if err := r.recall(since); err != nil {
		return err
	}
	compare := sync.OnceFunc(func() { comparing.Go(func() { end(r.keepComparing()) }) })
	err = t.Follow(ctx, since, r.handle, func(_ context.Context, through int64) error {
		err := r.caughtUp(through)
		if err == nil {
			compare()
		}
		return err
	})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// tailRun is one run of a tail.
type tailRun struct {
	*Tail

	key string
	ctx context.Context //nolint:containedctx // of the run

	mu         sync.Mutex // guards these
	heard      *heard
	publishing group

	pendingMu sync.Mutex
	pending   []negentropy.Item // published, and not in the heard set yet
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

// recall notes which of the events that will come again were heard by a tail of
// before, the newest ones.
func (r *tailRun) recall(since int64) error {
	items, err := r.heard.load(r.ctx, max(since, r.heard.span(0, recalledParts)), 0)
	for _, item := range items {
		r.Seen.Put(item.ID.String(), struct{}{})
	}
	return err
}

// handle begins to publish an event, or says why an earlier one was not.
func (r *tailRun) handle(_ context.Context, e nostr.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.publishing.ctx.Err() != nil {
		return r.publishing.Wait()
	}
	id, err := negentropy.ParseID(e.ID)
	if err != nil || nostr.Ephemeral(e.Kind) {
		return err
	}
	item := negentropy.Item{Timestamp: uint64(max(e.CreatedAt, 0)), ID: id}
	received, ok := stage.Received(e)
	if r.full() {
		if err := r.flush(); err != nil {
			return err
		}
	}
	if _, seen := r.Seen.LoadOrStore(e.ID, struct{}{}); seen || !ok {
		r.published(item)
		return nil
	}
	received.Sender = r.URL
	publishing := r.publishing.ctx
	r.publishing.Go(func() error {
		err := r.Publish(publishing, received)
		if err != nil {
			r.Seen.Delete(e.ID)
			return err
		}
		r.published(item)
		return nil
	})
	return nil
}

// published notes an event that is to be in the heard set.
func (r *tailRun) published(item negentropy.Item) {
	r.pendingMu.Lock()
	defer r.pendingMu.Unlock()
	r.pending = append(r.pending, item)
}

func (r *tailRun) full() bool {
	r.pendingMu.Lock()
	defer r.pendingMu.Unlock()
	return len(r.pending) >= maxPending
}

// flush waits until all is published that was handled, and writes down that it was
// heard; mu is held.
func (r *tailRun) flush() error {
	err := r.publishing.Wait()
	r.publishing = publishers(r.ctx)
	if err == nil {
		err = r.heard.add(r.ctx, r.pending)
	}
	if err == nil {
		r.pending = nil
	}
	return err
}

// caughtUp moves the cursor.
func (r *tailRun) caughtUp(through int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.flush(); err != nil {
		return err
	}
	return r.move(func(c *contract.Cursor) { c.Since = max(c.Since, through) })
}

// move writes a change of the cursor.
func (r *tailRun) move(change func(*contract.Cursor)) error {
	_, err := r.Cursors.Update(r.ctx, r.key, func(old contract.Cursor, _ bool) (contract.Cursor, bool) {
		moved := old
		moved.URL = r.URL
		change(&moved)
		return moved, moved != old
	})
	if err != nil {
		return fmt.Errorf("couldn't write the cursor of %s: %w", r.URL, err)
	}
	return nil
}
