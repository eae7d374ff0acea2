package relay

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"

	"github.com/relaymesh/relaymesh/internal/edge/homerelay"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// One per khatru relay, which has no way to end it.
		goleak.IgnoreAnyFunction("github.com/fiatjaf/khatru.(*expirationManager).start"))
}

// fake is a scripted relay: script runs once per connection, and the
// connection ends when it returns.
type fake struct {
	t      *testing.T
	url    string
	script func(*peer)
	dials  chan struct{} // one for each connection
}

// peer is the relay's end of one connection.
type peer struct {
	t   *testing.T
	ctx context.Context
	ws  *websocket.Conn
}

func startFake(t *testing.T, script func(*peer)) *fake {
	t.Helper()
	f := &fake{t: t, script: script, dials: make(chan struct{}, 1000)}
	ctx, cancel := context.WithCancel(context.Background())
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			f.dials <- struct{}{} // before the client knows that it is connected
		}
		ws, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer ws.CloseNow()
		ws.SetReadLimit(16 << 20)
		f.script(&peer{t: t, ctx: ctx, ws: ws})
	}))
	f.url = "ws" + strings.TrimPrefix(server.URL, "http")
	t.Cleanup(func() {
		cancel()
		server.Close()
	})
	return f
}

// next reads a client message; nil is the end of the connection.
func (p *peer) next() []json.RawMessage {
	_, data, err := p.ws.Read(p.ctx)
	if err != nil {
		return nil
	}
	var msg []json.RawMessage
	if err := json.Unmarshal(data, &msg); err != nil || len(msg) == 0 {
		p.t.Errorf("the client sent %q", data)
		return nil
	}
	return msg
}

// expect reads client messages up to one with the label and returns its
// further elements; nil is the end of the connection.
func (p *peer) expect(label string) []json.RawMessage {
	for msg := p.next(); msg != nil; msg = p.next() {
		if unquote(msg[0]) == label {
			return msg[1:]
		}
	}
	return nil
}

// send sends a message; a []byte or string goes out as it is.
func (p *peer) send(elements ...any) {
	var text []byte
	if raw, ok := elements[0].(raw); ok {
		text = []byte(raw)
	} else {
		var err error
		if text, err = json.Marshal(elements); err != nil {
			p.t.Error(err)
		}
	}
	_ = p.ws.Write(p.ctx, websocket.MessageText, text) // the client may be gone
}

// drain reads until the client is gone.
func (p *peer) drain() {
	for p.next() != nil {
	}
}

type raw string

func unquote(m json.RawMessage) string {
	var s string
	_ = json.Unmarshal(m, &s)
	return s
}

// testOptions are short in waits and permit loopback.
func testOptions() Options {
	return Options{AllowPrivate: true, timing: timing{
		handshake: 5 * time.Second, answer: 10 * time.Second, stall: 5 * time.Second, ping: time.Hour,
	}}
}

func dial(t *testing.T, url string, change ...func(*Options)) *Conn {
	t.Helper()
	o := testOptions()
	for _, c := range change {
		c(&o)
	}
	c, err := Dial(testContext(t), url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// testContext ends a test that hangs.
func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// newPool returns a pool that the test's end closes.
func newPool(t *testing.T) *Pool {
	p := NewPool(testOptions())
	t.Cleanup(p.Close)
	return p
}

// startHome returns the address of a real relay.
func startHome(t *testing.T) string {
	t.Helper()
	r, err := homerelay.Start(t.Context(), homerelay.Config{
		Path: filepath.Join(t.TempDir(), "relay.db"), Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r.URL()
}

func newKey(t *testing.T) *schnorr.SecretKey {
	t.Helper()
	sk, err := schnorr.NewSecret()
	if err != nil {
		t.Fatal(err)
	}
	return sk
}

func note(t *testing.T, sk *schnorr.SecretKey, kind int, at int64, content string, tags ...nostr.Tag) nostr.Event {
	t.Helper()
	e := nostr.Event{Kind: kind, CreatedAt: at, Content: content, Tags: tags}
	if err := schnorr.Sign(&e, sk); err != nil {
		t.Fatal(err)
	}
	return e
}

// notes signs n events of one author, one a second, oldest first.
func notes(t *testing.T, n int) []nostr.Event {
	t.Helper()
	sk, all := newKey(t), []nostr.Event{}
	for i := range n {
		all = append(all, note(t, sk, 1, int64(1_700_000_000+i), "note"))
	}
	return all
}

func ids(all []nostr.Event) []string {
	out := []string{}
	for _, e := range all {
		out = append(out, e.ID)
	}
	return out
}

func collect(t *testing.T, c *Conn, filters ...nostr.Filter) ([]nostr.Event, error) {
	t.Helper()
	var all []nostr.Event
	for e, err := range c.Query(testContext(t), filters...) {
		if err != nil {
			return all, err
		}
		all = append(all, e)
	}
	return all, nil
}
