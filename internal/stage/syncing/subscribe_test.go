package syncing

import (
	"bytes"
	"context"
	"iter"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// shelf is a relay that shows the first of its stored events only, as many as the
// limit says, whatever else is asked.
type shelf struct {
	reconcile.Relay

	stored []nostr.Event
}

func (shelf) Limits(context.Context) reconcile.Limits { return reconcile.Limits{} }

func (s shelf) Query(_ context.Context, filters ...nostr.Filter) iter.Seq2[nostr.Event, error] {
	return func(yield func(nostr.Event, error) bool) {
		for n, e := range s.stored {
			if n == filters[0].Limit || filters[0].Match(&e) && !yield(e, nil) {
				return
			}
		}
	}
}

func (s shelf) Subscribe(ctx context.Context, _ ...nostr.Filter) iter.Seq2[reconcile.Update, error] {
	return func(yield func(reconcile.Update, error) bool) {
		if yield(reconcile.Update{EOSE: true}, nil) {
			<-ctx.Done()
			yield(reconcile.Update{}, ctx.Err())
		}
	}
}

// A subscription whose relay does not show all that it has stored since the last sync
// is not caught up: its progress is not written down, and it is told why.
func TestASubscriptionThatCouldNotReadAllIsNotCaughtUp(t *testing.T) {
	second := make([]nostr.Event, 600)
	for i := range second {
		second[i] = nostr.Event{ID: strings.Repeat("0", 60) + string(rune('a'+i/100)) + string(rune('a'+i%100)), CreatedAt: 1000, Kind: 1}
	}
	for n, want := range map[int]bool{20: true, 600: false} {
		synctest.Test(t, func(t *testing.T) {
			var log bytes.Buffer
			s := &Stage{Log: slog.New(slog.NewTextHandler(&log, nil))}
			ctx, cancel := context.WithCancel(t.Context())
			caughtUp, done := false, make(chan error, 1)
			go func() {
				done <- s.subscribe(ctx, "wss://x", shelf{stored: second[:n]}, []nostr.Filter{{Kinds: []int{1}}}, 900,
					func() { caughtUp = true }, func(context.Context, nostr.Event) error { return nil })
			}()
			synctest.Wait()
			if caughtUp != want || strings.Contains(log.String(), "one second") == want {
				t.Errorf("%d events of one second: caught up %t; %s", n, caughtUp, log.String())
			}
			cancel()
			<-done
		})
	}
}
