package homerelay

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/relaymesh/relaymesh/internal/edge/deflate"
	"github.com/relaymesh/relaymesh/internal/testkit/flood"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// dialCompressed is [dialRaw] with an offer of compression.
func dialCompressed(t testing.TB, url string) (c *rawClient, agreed string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	ws, resp, err := websocket.Dial(ctx, url, &websocket.DialOptions{ //nolint:bodyclose // Dial has read it
		HTTPClient: hasty, CompressionMode: websocket.CompressionContextTakeover, CompressionThreshold: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	ws.SetReadLimit(4 << 20)
	t.Cleanup(func() { ws.CloseNow() })
	return &rawClient{t, ctx, ws}, resp.Header.Get("Sec-WebSocket-Extensions")
}

// A client that offers compression gets it, and neither side's window: messages
// and the bound on them are as ever.
func TestCompressesForThoseWhoOffer(t *testing.T) {
	t.Parallel()
	r := startRelay(t, "")
	c, agreed := dialCompressed(t, r.URL())
	if want := "permessage-deflate; client_no_context_takeover; server_no_context_takeover"; agreed != want {
		t.Fatalf("agreed on %q, want %q", agreed, want)
	}
	mustInsert(t, r.store, newSigner(t).event(1, 1_700_000_000, strings.Repeat("a", 1000)))
	for range 3 {
		c.send(`["REQ","a",{"limit":1}]`)
		c.expect("EVENT", "a")
		c.expect("EOSE", "a")
	}
	blank := strings.Repeat(" ", maxMessage-2)
	c.send("[" + blank + "]")
	c.expect("NOTICE")
	c.alive()
	c.send("[" + blank + " ]") // a byte more, and a thousandth of it on the wire
	if _, _, err := c.ws.Read(c.ctx); websocket.CloseStatus(err) != websocket.StatusMessageTooBig {
		t.Errorf("a message of more than the bound: %v", err)
	}
}

// What compression takes of memory is shared by the connections: each of those
// that have used it, both ways, holds little more than one that has not.
func TestCompressionTakesNoMemoryPerConnection(t *testing.T) {
	r := startRelay(t, "")
	tag := nostr.Tag{"t", strings.Repeat("a", 1000)}
	mustInsert(t, r.store, newSigner(t).event(1, 1_700_000_000, "", tag))
	const conns, most = 60, 64 << 10 // a compressor takes 1.2 MB
	held := func(dial func() *rawClient) (each int64) {
		runtime.GC()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range conns {
			c := dial()
			c.send(`["REQ","a",{"limit":1,"#t":["` + strings.Repeat("a", 1000) + `"]}]`)
			c.expect("EVENT", "a")
		}
		runtime.GC()
		runtime.GC() // empties the pools
		runtime.ReadMemStats(&after)
		return (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / conns
	}
	plain := held(func() *rawClient { return dialRaw(t, r.URL()) })
	compressed := held(func() *rawClient {
		c, _ := dialCompressed(t, r.URL())
		return c
	})
	if compressed > plain+most {
		t.Errorf("%d bytes for a connection, %d without compression", compressed, plain)
	}
}

// What decompression takes while a message comes is counted, and given back.
func TestDecompressionIsCounted(t *testing.T) {
	t.Parallel()
	r := startRelay(t, "")
	c, _ := dialCompressed(t, r.URL())
	c.alive()
	idle := subscriptionBytes([]nostr.Filter{{IDs: []string{}}})
	for used := 0; used != idle; time.Sleep(time.Millisecond) { // until the answer has left
		r.ledger.mu.Lock()
		used = r.ledger.used[heldBytes]
		r.ledger.mu.Unlock()
		if c.ctx.Err() != nil {
			t.Fatalf("%d bytes are counted when idle, want %d", used, idle)
		}
	}
	w, err := c.ws.Writer(c.ctx, websocket.MessageText)
	if err != nil {
		t.Fatal(err)
	}
	random := make([]byte, 100_000) // which the library does not keep for itself
	for i := range random {
		random[i] = "abcdefghijklmnopqrstuvwxyz"[rand.IntN(26)]
	}
	if _, err := fmt.Fprintf(w, `["%s`, random); err != nil {
		t.Fatal(err)
	}
	held := func() int {
		r.ledger.mu.Lock()
		defer r.ledger.mu.Unlock()
		return r.ledger.used[heldBytes] - idle
	}
	buffer := func() int { return held() - deflate.Memory(agreeing{}) } // a power of two
	for n := buffer(); n < firstRead || n&(n-1) != 0; n = buffer() {
		if c.ctx.Err() != nil {
			t.Fatalf("%d bytes are counted for half a message", held())
		}
		time.Sleep(time.Millisecond)
	}
	_, _ = w.Write([]byte(`"]`))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	c.expect("NOTICE")
	for c.alive(); held() > 40<<10; time.Sleep(time.Millisecond) {
		if c.ctx.Err() != nil {
			t.Fatalf("%d bytes are counted after the message", held())
		}
	}
}

// A message without end that inflates to nothing is cut off, and so are many small
// ones; others are not held up.
func TestWhatInflatesToNothingIsCutOff(t *testing.T) {
	t.Parallel()
	r := startRelay(t, "")
	t.Run("clients", func(t *testing.T) { flood.Nothing(t, strings.TrimPrefix(r.URL(), "ws://")) })
	dialRaw(t, r.URL()).alive()
}

// agreeing has answered a handshake with compression.
type agreeing struct{ http.ResponseWriter }

func (agreeing) Header() http.Header {
	h := http.Header{}
	h.Set("Sec-WebSocket-Extensions", "permessage-deflate")
	return h
}
