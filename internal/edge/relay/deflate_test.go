package relay

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"

	"github.com/relaymesh/relaymesh/internal/edge/deflate"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// scale is a relay that compresses as it is told to and weighs what it sends and
// gets, in bytes on the wire.
type scale struct {
	*fake

	sent, got atomic.Int64
	agreed    chan string // what the handshakes came to
}

func startScale(t *testing.T, mode websocket.CompressionMode, script func(*peer)) *scale {
	t.Helper()
	s := &scale{agreed: make(chan string, 10)}
	ctx, cancel := context.WithCancel(context.Background())
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := websocket.Accept(w, r, &websocket.AcceptOptions{CompressionMode: mode, CompressionThreshold: 1})
		if err != nil {
			return
		}
		defer ws.CloseNow()
		ws.SetReadLimit(16 << 20)
		s.agreed <- w.Header().Get("Sec-WebSocket-Extensions")
		script(&peer{t: t, ctx: ctx, ws: ws})
	}))
	server.Listener = weighed{server.Listener, s}
	server.Start()
	s.fake = &fake{t: t, url: "ws" + strings.TrimPrefix(server.URL, "http")}
	t.Cleanup(func() {
		cancel()
		server.Close()
	})
	return s
}

type weighed struct {
	net.Listener

	s *scale
}

func (l weighed) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return weighedConn{c, l.s}, err
}

type weighedConn struct {
	net.Conn

	s *scale
}

func (c weighedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.s.got.Add(int64(n))
	return n, err
}

func (c weighedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.s.sent.Add(int64(n))
	return n, err
}

// With a relay that compresses, both ways of a session take little more than half
// the bytes; with one that does not, and with the local relay, it goes on as ever.
func TestSessionsAreCompressed(t *testing.T) {
	const rounds, size = 10, 20_000
	for _, c := range []struct {
		name  string
		mode  websocket.CompressionMode
		local bool
		most  float64 // bytes on the wire, of those of the messages
	}{
		{"context takeover", websocket.CompressionContextTakeover, false, 0.6},
		{"no context takeover", websocket.CompressionNoContextTakeover, false, 0.6},
		{"disabled", websocket.CompressionDisabled, false, 1.1},
		{"the local relay", websocket.CompressionContextTakeover, true, 1.1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := startScale(t, c.mode, func(p *peer) {
				for m := p.next(); m != nil; m = p.next() {
					if label := unquote(m[0]); label == "NEG-OPEN" || label == "NEG-MSG" {
						p.send("NEG-MSG", unquote(m[1]), hex.EncodeToString(random(size)))
					}
				}
			})
			conn := dial(t, s.url, func(o *Options) { o.Local = c.local })
			session, answer, err := conn.Open(testContext(t), nostr.Filter{}, random(size))
			for range rounds - 1 {
				if err != nil || len(answer) != size {
					t.Fatalf("answer of %d bytes, %v", len(answer), err)
				}
				answer, err = session.Exchange(testContext(t), random(size))
			}
			if err != nil || len(answer) != size {
				t.Fatalf("answer of %d bytes, %v", len(answer), err)
			}
			agreed := <-s.agreed
			if (agreed != "") != (c.most < 1) {
				t.Errorf("agreed on %q", agreed)
			}
			for way, bytes := range map[string]int64{"to the relay": s.got.Load(), "from it": s.sent.Load()} {
				if ratio := float64(bytes) / (2 * rounds * size); ratio > c.most || ratio < 0.4 {
					t.Errorf("%s: %.2f of the messages' bytes, want <= %g", way, ratio, c.most)
				}
			}
		})
	}
}

func random(n int) []byte {
	out := make([]byte, n)
	_, _ = rand.Read(out)
	return out
}

// A relay that agrees to what nobody offered is talked to without compression.
func TestUnknownCompressionIsNotUsed(t *testing.T) {
	for _, agreed := range []string{
		"permessage-deflate; client_max_window_bits=10", "permessage-deflate, permessage-deflate", "permessage-deflate; mode=7",
	} {
		t.Run(agreed, func(t *testing.T) {
			t.Parallel()
			var offers atomic.Int64
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Sec-WebSocket-Extensions") != "" {
					offers.Add(1)
					w.Header().Set("Sec-WebSocket-Extensions", agreed)
				}
				ws, err := websocket.Accept(w, r, nil)
				if err != nil {
					return
				}
				defer ws.CloseNow()
				p := &peer{t: t, ctx: r.Context(), ws: ws}
				if m := p.expect("REQ"); m != nil {
					p.send("EOSE", unquote(m[0]))
				}
				p.drain()
			}))
			t.Cleanup(server.Close)
			conn := dial(t, "ws"+strings.TrimPrefix(server.URL, "http"))
			if got, err := collect(t, conn, nostr.Filter{}); err != nil || len(got) != 0 || offers.Load() != 1 {
				t.Errorf("%d events, %v, %d offers", len(got), err, offers.Load())
			}
			conn.Close()
		})
	}
}

// What inflates to nothing is work that nobody asked for, be it a message of its own
// or padding before a good one, and bars the host.
func TestWhatInflatesToNothingEndsTheConnection(t *testing.T) {
	const compressedText = textFrame | 0x40
	empty := strings.Repeat("\x02\x08\x20\x80\x00", 10_000) // four empty blocks each
	padded := empty + "\x00\x02\x00\xfd\xff[]" + "\x00"     // a stored block of two bytes
	for name, what := range map[string]string{
		"empty messages": frame(compressedText, empty), "padded messages": frame(compressedText, padded),
		"in parts": frame(compressedText&^fin, empty[:1000]) + strings.Repeat(frame(0, empty[:1000]), 1000),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, _ := startWire(t, flood("", what), "Sec-WebSocket-Extensions: permessage-deflate\r\n")
			p := newPool(t)
			c, err := p.Conn(testContext(t), url)
			if err != nil {
				t.Fatal(err)
			}
			ended(t, c)
			if !errors.Is(c.Err(), deflate.ErrWasteful) {
				t.Error(c.Err())
			}
			if _, err := p.Conn(testContext(t), url); !errors.Is(err, reconcile.ErrMisbehaving) {
				t.Errorf("dialled again: %v", err)
			}
		})
	}
}

// The bound on a message holds for what it inflates to.
func TestDecompressionBombEndsTheConnection(t *testing.T) {
	for size, want := range map[int]bool{maxMessage: true, maxMessage + 1: false, 4 * maxMessage: false} {
		s := startScale(t, websocket.CompressionContextTakeover, func(p *peer) {
			if m := p.expect("REQ"); m != nil {
				text := `["NOTICE",""]`
				p.send(raw(text[:11] + strings.Repeat("a", size-len(text)) + text[11:]))
				p.send("EOSE", unquote(m[0]))
			}
			p.drain()
		})
		conn := dial(t, s.url)
		_, err := collect(t, conn, nostr.Filter{})
		if (err == nil) != want || err != nil && !strings.Contains(err.Error(), "a message of more than 4 MiB") {
			t.Errorf("a message of %d bytes: %v", size, err)
		}
		if sent := s.sent.Load(); sent > 100_000 {
			t.Errorf("a message of %d bytes took %d on the wire", size, sent)
		}
	}
}
