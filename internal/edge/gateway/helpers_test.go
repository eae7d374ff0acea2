package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/testkit/khatrutest"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/fiatjaf/khatru.(*expirationManager).start"),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"))
}

// start runs a gateway before a relay until the test ends.
func start(t testing.TB, relay string, c Config) *Gateway {
	t.Helper()
	c.Relay = relay
	if c.Verify == nil {
		c.Verify = schnorr.Verify
	}
	g, err := Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
		if n := heldBy(g); n != 0 || len(g.held.held) != 0 {
			t.Errorf("%d bytes are held of nobody", n)
		}
	})
	return g
}

func khatru(t testing.TB) *khatrutest.Relay {
	t.Helper()
	r, err := khatrutest.Start(t.Context(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// peer is one end of a websocket.
type peer struct {
	t   testing.TB
	ctx context.Context
	ws  *websocket.Conn
}

// scripted is a relay that does with each connection as serve says.
func scripted(t testing.TB, serve func(p *peer, req *http.Request)) (url string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		ws, err := websocket.Accept(w, req, &websocket.AcceptOptions{InsecureSkipVerify: true})
		if err != nil {
			t.Error(err)
			return
		}
		ws.SetReadLimit(-1)
		defer ws.CloseNow()
		serve(&peer{t, req.Context(), ws}, req)
	}))
	t.Cleanup(server.Close)
	return "ws" + strings.TrimPrefix(server.URL, "http")
}

// patient is how long a test waits for what must come, on a machine however busy.
const patient = 3 * time.Minute

// dial connects a client; header may be nil.
func dial(t testing.TB, url string, mode websocket.CompressionMode, header http.Header) *peer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patient)
	t.Cleanup(cancel)
	//nolint:bodyclose // Dial has read it
	ws, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{CompressionMode: mode, CompressionThreshold: 1, HTTPHeader: header})
	if err != nil {
		t.Fatal(err)
	}
	ws.SetReadLimit(-1)
	t.Cleanup(func() { ws.CloseNow() })
	return &peer{t, ctx, ws}
}

func (p *peer) send(text string) {
	p.t.Helper()
	if err := p.ws.Write(p.ctx, websocket.MessageText, []byte(text)); err != nil {
		p.t.Error(err)
	}
}

// read returns the next message.
func (p *peer) read() string {
	p.t.Helper()
	_, data, err := p.ws.Read(p.ctx)
	if err != nil {
		p.t.Errorf("read: %v", err)
	}
	return strings.TrimSuffix(string(data), "\n") // khatru ends messages with one
}

// expect fails unless the next messages are these.
func (p *peer) expect(want ...string) {
	p.t.Helper()
	for _, w := range want {
		if got := p.read(); got != w {
			p.t.Fatalf("got %.300s, want %.300s", got, w)
		}
	}
}

// ended waits for the end of the connection and returns why it ended.
func (p *peer) ended() websocket.StatusCode {
	p.t.Helper()
	for {
		if _, _, err := p.ws.Read(p.ctx); err != nil {
			if errors.Is(p.ctx.Err(), context.DeadlineExceeded) {
				p.t.Error("left hanging")
			}
			return websocket.CloseStatus(err)
		}
	}
}

// signed returns a signed event of a new author.
func signed(t testing.TB, e nostr.Event) nostr.Event {
	t.Helper()
	key, err := schnorr.NewSecret()
	if err != nil {
		t.Fatal(err)
	}
	if e.CreatedAt == 0 {
		e.CreatedAt = 1_700_000_000
	}
	if err := key.SignEvent(&e); err != nil {
		t.Fatal(err)
	}
	return e
}

func quote(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}
