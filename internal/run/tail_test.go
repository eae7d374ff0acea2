package run

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/relay"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/stage/ingest"
	"github.com/relaymesh/relaymesh/internal/testkit/hometest"
	"github.com/relaymesh/relaymesh/internal/testkit/khatrutest"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// hearing is a relay, and the tail that hears it, over the real KV.
type hearing struct {
	*testing.T
	url  string
	nats *natsServer
	key  *schnorr.SecretKey

	mu    sync.Mutex
	heard map[string]int // how often, by id
}

func newHearing(t *testing.T, url string) *hearing {
	key, err := schnorr.NewSecret()
	if err != nil {
		t.Fatal(err)
	}
	return &hearing{T: t, url: url, nats: startNATS(t), key: key, heard: map[string]int{}}
}

// publish has the relay accept events of a kind, made at these times.
func (h *hearing) publish(kind int, dates ...int64) (list []nostr.Event) {
	h.Helper()
	for _, at := range dates {
		e := nostr.Event{Kind: kind, CreatedAt: at, Tags: []nostr.Tag{{"d", time.Now().String()}}}
		if err := h.key.SignEvent(&e); err != nil {
			h.Fatal(err)
		}
		list = append(list, e)
	}
	hometest.Publish(h, h.url, list...)
	return list
}

// tail runs a tail, as a process does, until it has heard all of some events.
func (h *hearing) tail(want ...nostr.Event) {
	h.Helper()
	ctx, cancel := context.WithCancel(h.Context())
	log, js := slog.New(slog.NewTextHandler(h.Output(), nil)), h.nats.js()
	cursors, err := OpenStore[contract.Cursor](ctx, js, contract.BucketCursors, log)
	if err != nil {
		h.Fatal(err)
	}
	set, err := OpenStore[contract.Heard](ctx, js, contract.BucketHeard, log)
	if err != nil {
		h.Fatal(err)
	}
	relays := newRelays(config.Config{Relay: h.url}, relay.Options{AllowPrivate: true, Log: log})
	defer relays.close()
	t := &ingest.Tail{
		URL: h.url, Cursors: cursors, Heard: set, Follow: relays.follow(h.url), Seen: ingest.NewSeen(), Log: log,
		Relay: func(ctx context.Context) (reconcile.Relay, error) { return relays.At(ctx, h.url) },
		Publish: func(_ context.Context, out ...contract.Output) error {
			h.mu.Lock()
			defer h.mu.Unlock()
			id, _ := nostr.PeekID(out[0].Data)
			h.heard[id]++
			return nil
		},
	}
	ended := make(chan error, 1)
	go func() { ended <- t.Run(ctx) }()
	all := until(h.T, time.Minute, func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, e := range want {
			if h.heard[e.ID] == 0 {
				return false
			}
		}
		return true
	})
	cancel()
	if err := <-ended; !all {
		h.Fatalf("of %d events some were not heard: %v", len(want), err)
	}
}

// What a relay receives while the tail is away is heard when it is back, once,
// whatever its date, and whether the relay speaks NIP-77 or not.
func TestTailHearsOnceWhatCameWhileItWasAwayWhateverItsDate(t *testing.T) {
	t.Parallel()
	for name, plain := range map[string]bool{"NIP-77": false, "plain": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := khatrutest.StartWith(t.Context(), khatrutest.Config{Log: slog.New(slog.DiscardHandler), Plain: plain})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = r.Close() })
			h, now := newHearing(t, r.URL()), time.Now().Unix()
			old := []int64{now - 3600, now - 3600, now - 400*86400, 1_600_000_000, 1, 0}
			h.tail(h.publish(1, append([]int64{now, now - 60, now - 700}, old...)...)...)
			h.tail(h.publish(10002, old[0])...)
			h.tail(h.publish(30023, old...)...)    // in a row of restarts
			h.tail(h.publish(1, now, now-1000)...) // and for the last one to show that nothing comes again
			h.mu.Lock()
			defer h.mu.Unlock()
			if times := maps.Clone(h.heard); len(times) < 3+6+1+6+2 {
				t.Errorf("heard %d events", len(times))
			}
			for id, n := range h.heard {
				if n != 1 {
					t.Errorf("%s was heard %d times", id, n)
				}
			}
		})
	}
}
