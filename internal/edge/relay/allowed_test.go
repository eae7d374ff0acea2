package relay

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"golang.org/x/sync/semaphore"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// startModest starts a relay whose NIP-11 document allows so many
// subscriptions.
func startModest(t *testing.T, allowed int) (url string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			_, _ = fmt.Fprintf(w, `{"limitation":{"max_subscriptions":%d}}`, allowed)
			return
		}
		ws, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer ws.CloseNow()
		serve(nil)(&peer{t: t, ctx: r.Context(), ws: ws})
	}))
	t.Cleanup(server.Close)
	return "ws" + strings.TrimPrefix(server.URL, "http")
}

func TestARelayIsAskedNoMoreAtATimeThanItAllows(t *testing.T) {
	for _, c := range []struct{ allowed, want, live int }{
		{0, maxSubscriptions, maxLive},
		{-1, maxSubscriptions, maxLive},
		{1, 2, 1},
		{2, 2, 1},
		{3, 2, 1},
		{4, 4, 2},
		{20, maxSubscriptions, maxLive},
	} {
		for _, first := range []string{"the document", "a connection"} {
			t.Run(fmt.Sprintf("%d, after %s", c.allowed, first), func(t *testing.T) {
				url, ctx := startModest(t, c.allowed), testContext(t)
				p := newPool(t)
				if first == "a connection" {
					if _, err := p.Conn(ctx, url); err != nil {
						t.Fatal(err)
					}
				}
				if _, err := p.FetchInfo(ctx, url+"/"); err != nil {
					t.Fatal(err)
				}
				conn, err := p.Conn(ctx, url)
				if err != nil {
					t.Fatal(err)
				}
				fill := func(live bool, slots ...*semaphore.Weighted) (n int) {
					for fit(conn.subCost.Load(), slots...) {
						s, err := conn.open(ctx, request{filters: []nostr.Filter{filterAll}, live: live})
						if err != nil {
							t.Fatal(err)
						}
						t.Cleanup(s.close)
						n++
					}
					return n
				}
				live := fill(true, conn.liveSlots, conn.subSlots)
				if all := live + fill(false, conn.subSlots); live != c.live || all != c.want {
					t.Errorf("%d live ones and %d in all, want %d and %d", live, all, c.live, c.want)
				}
			})
		}
	}
}

// fit reports whether another subscription would not wait.
func fit(cost int64, slots ...*semaphore.Weighted) bool {
	for _, s := range slots {
		if !s.TryAcquire(cost) {
			return false
		}
		s.Release(cost)
	}
	return true
}
