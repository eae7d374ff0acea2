package relay

import (
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/relaymesh/relaymesh/internal/edge/homerelay"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// BenchmarkConn publishes to and reads from a real relay over one connection;
// an operation is one event.
func BenchmarkConn(b *testing.B) {
	r, err := homerelay.Start(b.Context(), homerelay.Config{Path: filepath.Join(b.TempDir(), "relay.db"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	c, err := Dial(b.Context(), r.URL(), testOptions())
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	sk, err := schnorr.NewSecret()
	if err != nil {
		b.Fatal(err)
	}
	b.Run("publish", func(b *testing.B) {
		all := make(chan nostr.Event, b.N)
		for i := range b.N {
			e := nostr.Event{Kind: 1, CreatedAt: int64(1_000_000_000 + i), Content: b.Name()}
			if err := schnorr.Sign(&e, sk); err != nil {
				b.Fatal(err)
			}
			all <- e
		}
		b.ResetTimer()
		b.SetParallelism(50)
		b.RunParallel(func(p *testing.PB) {
			for p.Next() {
				if err := reconcile.Write(b.Context(), c, <-all); err != nil {
					b.Error(err)
				}
			}
		})
	})
	// So that the queries have something to read, whichever of these run.
	first := nostr.Event{Kind: 1, CreatedAt: 1, Content: "first"}
	if err := schnorr.Sign(&first, sk); err != nil {
		b.Fatal(err)
	}
	if err := reconcile.Write(b.Context(), c, first); err != nil {
		b.Fatal(err)
	}
	for name, trusted := range map[string]bool{"query": false, "query trusted": true} {
		b.Run(name, func(b *testing.B) {
			for left := b.N; left > 0; {
				r := request{filters: []nostr.Filter{{Kinds: []int{1}, Limit: min(left, 5000)}}, trusted: trusted}
				err := c.request(b.Context(), r, func(reconcile.Update) bool {
					left--
					return true
				})
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
