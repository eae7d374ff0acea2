package peers

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/testkit/hometest"
	"github.com/relaymesh/relaymesh/internal/testkit/hornets"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

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

// plain is a relay of NIP-01 alone, without live subscriptions.
type plain struct {
	mu    sync.Mutex
	list  []nostr.Event
	ok    func(id string) []any // answers a write; nil takes it
	says  func(label, id string) (answers []string, answered bool)
	hangs bool // up on whoever asks
}

// startPlain starts a relay that may speak no NIP-77.
func startPlain(t *testing.T, list []nostr.Event, speaks77 bool) string {
	t.Helper()
	if speaks77 {
		return hometest.Start(t, list...)
	}
	return serve(t, &plain{list: list})
}

func serve(t *testing.T, p *plain) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer ws.CloseNow()
		for {
			_, data, err := ws.Read(r.Context())
			if err != nil || p.hangs {
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
	if p.says != nil {
		if answers, ok := p.says(strings.Trim(string(msg[0]), `"`), strings.Trim(string(msg[1]), `"`)); ok {
			for _, answer := range answers {
				out = append(out, json.RawMessage(answer))
			}
			return out
		}
	}
	switch string(msg[0]) {
	case `"EVENT"`:
		var e nostr.Event
		if err := json.Unmarshal(msg[1], &e); p.ok != nil || err != nil {
			return []any{p.ok(e.ID)}
		}
		if !slices.ContainsFunc(p.list, func(have nostr.Event) bool { return have.ID == e.ID }) {
			p.list = append(p.list[:len(p.list):len(p.list)], e)
		}
		return []any{[]any{"OK", e.ID, true, ""}}
	case `"REQ"`:
		newest := slices.SortedStableFunc(slices.Values(p.list), func(a, b nostr.Event) int { return cmp.Compare(b.CreatedAt, a.CreatedAt) })
		for _, raw := range msg[2:] {
			var f nostr.Filter
			if json.Unmarshal(raw, &f) != nil {
				return nil
			}
			for n, e := 0, 0; e < len(newest) && (f.Limit == 0 || n < f.Limit); e++ {
				if f.Match(&newest[e]) {
					out = append(out, []any{"EVENT", msg[1], newest[e]})
					n++
				}
			}
		}
		return append(out, []any{"EOSE", msg[1]})
	case `"CLOSE"`:
		return nil
	}
	return []any{[]any{"NOTICE", "ERROR: bad msg: unknown cmd"}}
}
