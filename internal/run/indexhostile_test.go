package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/edge/relay"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/stage/index"
	"github.com/relaymesh/relaymesh/internal/testkit/hometest"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// startHostileIndex is an index that answers each REQ with what say sends, and never with EOSE.
func startHostileIndex(t *testing.T, say func(send func(e nostr.Event) bool)) (url string) {
	t.Helper()
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
			var msg []json.RawMessage
			if json.Unmarshal(data, &msg) != nil || len(msg) < 3 || string(msg[0]) != `"REQ"` {
				continue
			}
			say(func(e nostr.Event) bool {
				return ws.Write(r.Context(), websocket.MessageText, fmt.Appendf(nil, `["EVENT",%s,%s]`, msg[1], nostr.Encode(e))) == nil
			})
		}
	}))
	t.Cleanup(server.Close)
	return "ws" + strings.TrimPrefix(server.URL, "http")
}

// What a hostile index sends never counts, ends in time, and costs the others nothing: the list of an honest one is found.
func TestHostileIndexesAreFoundOut(t *testing.T) {
	t.Parallel()
	alice, list := newUser(t)
	_, foreign := newUser(t)
	signed := func(kind int, at int64) nostr.Event {
		e := nostr.Event{Kind: kind, CreatedAt: at, Tags: []nostr.Tag{{"r", "wss://evil.example"}}}
		if err := alice.SignEvent(&e); err != nil {
			t.Fatal(err)
		}
		return e
	}
	now := time.Now().Unix()
	honest := hometest.Start(t, list)
	once := func(e nostr.Event) func(func(nostr.Event) bool) {
		return func(send func(nostr.Event) bool) { send(e) }
	}
	again := func(e nostr.Event) func(func(nostr.Event) bool) { // a few are passed over, of whatever relay
		return func(send func(nostr.Event) bool) {
			for range 150 {
				send(e)
			}
		}
	}
	var many []nostr.Event // signing without end would be most of the test
	for n := range int64(100) {
		many = append(many, signed(nostr.KindRelayList, now-1000+n))
	}
	for what, c := range map[string]struct {
		say  func(send func(nostr.Event) bool)
		lies bool
	}{
		"another's list":      {again(foreign), true},
		"another kind":        {again(signed(1, now)), true},
		"from the future":     {once(signed(nostr.KindRelayList, now+3600)), false}, // what it means is decided by Judge
		"old, and never EOSE": {once(signed(nostr.KindRelayList, now-9999)), false},
		"without end": {func(send func(nostr.Event) bool) {
			for n := 0; send(many[n%len(many)]); n++ {
			}
		}, true},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			liar := startHostileIndex(t, c.say)
			at := newRelays(config.Config{}, relay.Options{AllowPrivate: true})
			t.Cleanup(at.close)
			within := 500 * time.Millisecond
			if c.lies { // which is found out; whoever only lags is waited for
				within = time.Minute
			}
			ctx, cancel := context.WithTimeout(t.Context(), within)
			defer cancel()
			filter := nostr.Filter{Authors: []string{alice.PublicKey()}, Kinds: []int{nostr.KindRelayList}}
			_, err := indexRelays{at}.Ask(ctx, liar, 3, filter)
			if err == nil || errors.Is(err, reconcile.ErrMisbehaving) != c.lies {
				t.Errorf("it is said to be %v", err)
			}
			known := indexFile(filepath.Join(t.TempDir(), "known.json"))
			if err := known.Save([]index.Known{{URL: liar, Network: "a", Verified: now}, {URL: honest, Network: "b", Verified: now}}); err != nil {
				t.Fatal(err)
			}
			conf := config.Config{AllowPrivate: true, Index: config.Index{KnownFile: string(known)}}
			r, err := newResolver(conf, at, nil, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(r.Close)
			ctx, cancel = context.WithTimeout(t.Context(), time.Minute) // who lags is waited for, to the end of a question
			defer cancel()
			if found, err := r.Resolve(ctx, alice.PublicKey(), nostr.KindRelayList); err != nil || found.Lists[nostr.KindRelayList].ID != list.ID {
				t.Errorf("beside it is found %+v, %v", found, err)
			}
		})
	}
}
