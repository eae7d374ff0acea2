package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

func (m *memory[T]) Get(_ context.Context, key string) (T, bool, error) {
	v, found := m.values[key]
	return v, found, nil
}

// tailed is a bus that takes a second per event, and a relay of n events.
type tailed struct {
	Tail
	cursors *memory[contract.Cursor]
	mu      sync.Mutex
	stored  map[string]int
	fail    func(e contract.Output) error
	follows int
}

func newTailed(n int) *tailed {
	r := &tailed{cursors: &memory[contract.Cursor]{values: map[string]contract.Cursor{}}, stored: map[string]int{}}
	r.Tail = Tail{
		URL: "wss://relay.example.com", Cursors: r.cursors, Seen: NewSeen(), Log: slog.New(slog.DiscardHandler),
		Heard: &memory[contract.Heard]{values: map[string]contract.Heard{}},
		Relay: func(context.Context) (reconcile.Relay, error) { return nil, errors.New("nothing to compare") },
		Follow: func(ctx context.Context, _ int64, handle func(context.Context, nostr.Event) error,
			caughtUp func(context.Context, int64) error,
		) error {
			for i := range n {
				r.follows++
				if err := handle(ctx, textNote(alice, strconv.Itoa(i))); err != nil {
					return err
				}
			}
			return caughtUp(ctx, 1000)
		},
		Publish: func(_ context.Context, out ...contract.Output) error {
			time.Sleep(time.Second)
			r.mu.Lock()
			defer r.mu.Unlock()
			if r.fail != nil {
				return r.fail(out[0])
			}
			id, _ := nostr.PeekID(out[0].Data)
			r.stored[id]++
			if out[0].Sender != "wss://relay.example.com" {
				return fmt.Errorf("sender is %q", out[0].Sender)
			}
			return nil
		},
	}
	return r
}

func (r *tailed) cursor() int64 { return r.cursors.values[nostr.RelayKey(r.URL)].Since }

func TestTailMovesItsCursorOverWhatIsStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTailed(640)
		began := time.Now()
		if err := r.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); len(r.stored) != 640 || r.cursor() != 1000 || took != 10*time.Second {
			t.Errorf("stored %d, cursor at %d, after %s", len(r.stored), r.cursor(), took)
		}
		// Again, as after a reconnect, or from another relay.
		if err := r.Run(t.Context()); err != nil || time.Since(began) != 10*time.Second {
			t.Errorf("what is known was published again: %v, %s", err, time.Since(began))
		}
	})
}

func TestTailStopsWhenTheBusFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, away := newTailed(10_000), errors.New("away")
		r.fail = func(contract.Output) error { return away }
		if err := r.Run(t.Context()); !errors.Is(err, away) || r.cursor() != 0 {
			t.Errorf("%v, cursor at %d", err, r.cursor())
		}
		if r.follows > 200 {
			t.Errorf("read %d events of the relay in vain", r.follows)
		}
		r.fail = nil
		if err := r.Run(t.Context()); err != nil || len(r.stored) != 10_000 || r.cursor() != 1000 {
			t.Errorf("then: %v, stored %d, cursor at %d", err, len(r.stored), r.cursor())
		}
	})
}

// A tail that ends in the midst of a long past, and so has no cursor, knows what it
// has handed on all the same.
func TestATailThatIsCutInItsFirstBackfillHandsOnNothingTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, cut := newTailed(640), errors.New("cut")
		whole := r.Follow
		r.Follow = func(ctx context.Context, since int64, handle func(context.Context, nostr.Event) error,
			_ func(context.Context, int64) error,
		) error {
			return errors.Join(whole(ctx, since, handle, func(context.Context, int64) error { return cut }), cut)
		}
		if err := r.Run(t.Context()); !errors.Is(err, cut) || r.cursor() != 0 {
			t.Fatalf("%v, cursor at %d", err, r.cursor())
		}
		r.Follow, r.Seen = whole, NewSeen() // of another process
		if err := r.Run(t.Context()); err != nil || r.cursor() != 1000 {
			t.Fatalf("%v, cursor at %d", err, r.cursor())
		}
		for id, n := range r.stored {
			if n != 1 {
				t.Fatalf("%s was handed on %d times", id, n)
			}
		}
	})
}
