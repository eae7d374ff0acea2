package interop

import (
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	gosync "sync"
	"testing"

	"github.com/coder/websocket"

	"github.com/relaymesh/relaymesh/internal/edge/gateway"
	"github.com/relaymesh/relaymesh/internal/edge/homerelay"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/testkit/hometest"
	"github.com/relaymesh/relaymesh/internal/testkit/khatrutest"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// tap passes messages on and writes them down.
type tap struct {
	url string

	mu       gosync.Mutex
	messages []string // "up" or "down" and the message
	auth     string   // id of the event that answered a challenge
	open     gosync.WaitGroup
}

// newTap stands before a relay or a gateway until the test ends.
func newTap(t *testing.T, to string) *tap {
	t.Helper()
	p := &tap{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		p.open.Add(1)
		defer p.open.Done()
		client, err := websocket.Accept(w, req, &websocket.AcceptOptions{InsecureSkipVerify: true})
		if err != nil {
			t.Error(err)
			return
		}
		defer client.CloseNow()
		ctx, cancel := context.WithCancel(context.WithoutCancel(req.Context()))
		defer cancel()
		relay, _, err := websocket.Dial(ctx, to, nil) //nolint:bodyclose // Dial has read it
		if err != nil {
			t.Error(err)
			return
		}
		defer relay.CloseNow()
		go p.pass(ctx, cancel, "down ", relay, client)
		p.pass(ctx, cancel, "up ", client, relay)
	}))
	t.Cleanup(server.Close)
	p.url = "ws" + strings.TrimPrefix(server.URL, "http")
	return p
}

func (p *tap) pass(ctx context.Context, end func(), way string, from, to *websocket.Conn) {
	defer end()
	from.SetReadLimit(-1)
	for {
		typ, data, err := from.Read(ctx)
		if err != nil {
			return
		}
		p.mu.Lock()
		p.messages = append(p.messages, way+p.same(data))
		p.mu.Unlock()
		if to.Write(ctx, typ, data) != nil {
			return
		}
	}
}

// heard returns the messages of each way; in their order if that is the client's and
// the relay's alone.
func (p *tap) heard(ordered bool) (up, down []string) {
	p.open.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.messages {
		switch {
		case strings.HasPrefix(m, `up ["CLOSE"`): // clients may leave before they have sent the last
		case strings.HasPrefix(m, "up "):
			up = append(up, m)
		default:
			down = append(down, m)
		}
	}
	if !ordered {
		slices.Sort(up)
		slices.Sort(down)
	}
	return up, down
}

// same leaves out of a message what is another one each time: ids of subscriptions
// that clients draw, challenges, and the events that answer them.
func (p *tap) same(data []byte) string {
	var m []any
	if json.Unmarshal(data, &m) != nil || len(m) < 2 {
		return string(data)
	}
	switch m[0] {
	case "AUTH":
		if e, is := m[1].(map[string]any); is {
			p.auth, _ = e["id"].(string)
		}
		m[1] = "…"
	case "OK":
		if m[1] == p.auth {
			m[1] = "…"
		}
	case "EVENT":
		if len(m) > 2 {
			m[1] = "…"
		}
	default:
		m[1] = "…"
	}
	return string(nostr.Encode(m))
}

// inProcess are the conversations of clients in this process, by name.
var inProcess = map[string]func(t *testing.T, url string, holds []nostr.Event, plain bool){}

// known is the URL by which relays that ask who a client is are known.
const known = "wss://relay.example.com"

// conversations are what clients do, with events that they hold; plain is with a
// relay that knows neither COUNT nor AUTH.
func conversations(dir string) map[string]func(t *testing.T, url string, holds []nostr.Event, plain bool) {
	node := func(script ...string) func(*testing.T, string, []nostr.Event, bool) {
		return func(t *testing.T, url string, holds []nostr.Event, plain bool) {
			sync(t, dir, url, holds, script[0], append(slices.Clone(script[1:]), strconv.FormatBool(plain))...)
		}
	}
	all := maps.Clone(inProcess)
	if dir != "" {
		all["nostr-tools"] = node("conversation.mjs")
		all["nostr-tools, NIP-77"] = node("nostr-tools.mjs", "4096")
		all["rust-nostr, NIP-77"] = node("rust-nostr.mjs")
	}
	return all
}

// Clients that others wrote have the same conversations with a relay and with the
// gateway before it, message by message; a fetcher that finds nothing is asked for
// what they lack.
func TestClientsMeetTheRelayThroughTheGateway(t *testing.T) {
	dir := os.Getenv("NIP77_INTEROP")
	notes := hometest.Notes(60)
	if len(conversations(dir)) == 0 {
		t.Skip("go-nostr has races of its own, and NIP77_INTEROP names no folder with others' clients")
	}
	relays := map[string]func(t *testing.T) string{
		"ours": func(t *testing.T) string {
			r, err := homerelay.Start(t.Context(), homerelay.Config{
				Path: filepath.Join(t.TempDir(), "relay.db"), URL: known, Log: slog.New(slog.DiscardHandler),
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { r.Close() })
			hometest.Publish(t, r.URL(), notes[30:]...)
			return r.URL()
		},
		"khatru":             func(t *testing.T) string { return khatru(t, khatrutest.Config{}, notes[30:]) },
		"khatru that guards": func(t *testing.T) string { return khatru(t, khatrutest.Config{Guards: known}, notes[30:]) },
	}
	for client, converse := range conversations(dir) {
		for name, start := range relays {
			t.Run(client+"/"+name, func(t *testing.T) {
				ordered := !strings.Contains(client, "NIP-77")
				direct := newTap(t, start(t))
				converse(t, direct.url, notes[:40], name == "khatru")
				g, err := gateway.Start(t.Context(), gateway.Config{
					Relay: start(t), Verify: schnorr.Verify, Hear: func([]byte) {},
					Fetch: func(context.Context, events.MissingNoteRequest) (events.MissingNoteResponse, error) {
						return events.MissingNoteResponse{}, nil
					},
				})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { g.Close() })
				through := newTap(t, g.URL())
				converse(t, through.url, notes[:40], name == "khatru")
				up, down := direct.heard(ordered)
				upThrough, downThrough := through.heard(ordered)
				differ(t, "the client says", up, upThrough)
				differ(t, "the relay says", down, downThrough)
			})
		}
	}
}

func khatru(t *testing.T, c khatrutest.Config, holds []nostr.Event) string {
	t.Helper()
	c.Log = slog.New(slog.DiscardHandler)
	r, err := khatrutest.StartWith(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	hometest.Publish(t, r.URL(), holds...)
	return r.URL()
}

func differ(t *testing.T, what string, direct, through []string) {
	t.Helper()
	if len(direct) == 0 {
		t.Errorf("%s nothing", what)
	}
	for i := range max(len(direct), len(through)) {
		var d, g string
		if i < len(direct) {
			d = direct[i]
		}
		if i < len(through) {
			g = through[i]
		}
		if d != g {
			t.Fatalf("%s, message %d of %d and %d:\ndirectly            %.300s\nthrough the gateway %.300s",
				what, i, len(direct), len(through), d, g)
		}
	}
}
