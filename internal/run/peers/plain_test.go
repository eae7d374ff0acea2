package peers

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"iter"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/testkit/hometest"
	"github.com/relaymesh/relaymesh/internal/testkit/hornets"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// at is a relay of a world as a side of a sync.
type at struct {
	w   *world
	url string
}

func (a at) Open(ctx context.Context, f nostr.Filter, first []byte) (reconcile.Session, []byte, error) {
	return a.w.stage.Net.Negentropy(ctx, a.url, f, first)
}

func (a at) Query(ctx context.Context, f nostr.Filter) iter.Seq2[nostr.Event, error] {
	return a.w.stage.Net.Query(ctx, a.url, f)
}

func (a at) Publish(ctx context.Context, e nostr.Event) (string, error) {
	return a.w.stage.Net.Publish(ctx, a.url, e)
}

// extension is what the relay says of its peer in its NIP-11 document, signed.
func extension(t *testing.T, p *hornets.Peer) *contract.Hornets {
	t.Helper()
	id, err := peer.Decode(p.ID())
	if err != nil {
		t.Fatal(err)
	}
	key, err := id.ExtractPublicKey()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := key.Raw()
	if err != nil {
		t.Fatal(err)
	}
	return &contract.Hornets{PubKey: hex.EncodeToString(raw[1:]), PeerID: p.ID(), Addrs: p.Addrs()}
}

// plain is a relay of NIP-01 alone.
type plain struct {
	mu   sync.Mutex
	list []nostr.Event
}

// startPlain starts a relay that may speak no NIP-77.
func startPlain(t *testing.T, list []nostr.Event, speaks77 bool) string {
	t.Helper()
	if speaks77 {
		return hometest.Start(t, list...)
	}
	p := &plain{list: list}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer ws.CloseNow()
		for {
			_, data, err := ws.Read(r.Context())
			if err != nil {
				return
			}
			for _, answer := range p.answer(data) {
				text, err := json.Marshal(answer)
				if err != nil || ws.Write(r.Context(), websocket.MessageText, text) != nil {
					return
				}
			}
		}
	}))
	t.Cleanup(server.Close)
	return "ws" + strings.TrimPrefix(server.URL, "http")
}

func (p *plain) answer(data []byte) (out []any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var msg []json.RawMessage
	if json.Unmarshal(data, &msg) != nil || len(msg) < 2 {
		return nil
	}
	switch string(msg[0]) {
	case `"EVENT"`:
		var e nostr.Event
		if json.Unmarshal(msg[1], &e) == nil {
			p.list = append(p.list[:len(p.list):len(p.list)], e)
		}
		return []any{[]any{"OK", e.ID, true, ""}}
	case `"REQ"`:
		var f nostr.Filter
		if json.Unmarshal(msg[2], &f) != nil {
			return nil
		}
		for i := len(p.list) - 1; i >= 0; i-- { // signed() is oldest first
			if f.Match(&p.list[i]) && (f.Limit == 0 || len(out) < f.Limit) {
				out = append(out, []any{"EVENT", msg[1], p.list[i]})
			}
		}
		return append(out, []any{"EOSE", msg[1]})
	case `"CLOSE"`:
		return nil
	}
	return []any{[]any{"NOTICE", "ERROR: bad msg: unknown cmd"}}
}
