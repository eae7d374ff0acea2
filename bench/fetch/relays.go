package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sync"

	"github.com/fasthttp/websocket"
	"github.com/fiatjaf/khatru"
	gonostr "github.com/nbd-wtf/go-nostr"
)

// holding is how many relays have some of the notes.
const holding = 15

// world is what the process of the relays tells: their addresses, the holding
// ones first, and the ids of the notes, of which the i-th is at relay i % holding.
type world struct {
	Relays []string
	Author string
	Notes  []string
}

// serveRelays runs the relays until the parent closes the standard input.
func serveRelays(notes int) error {
	w := world{}
	stores := make([]sync.Map, holding)
	secret := gonostr.GeneratePrivateKey()
	w.Author, _ = gonostr.GetPublicKey(secret)
	for i := range notes {
		e := &gonostr.Event{Kind: 1, CreatedAt: gonostr.Timestamp(1_700_000_000 + i), Tags: gonostr.Tags{}, Content: fmt.Sprint("note ", i)}
		if err := e.Sign(secret); err != nil {
			return err
		}
		stores[i%holding].Store(e.ID, e)
		w.Notes = append(w.Notes, e.ID)
	}
	for i := range stores {
		rl := newRelay()
		rl.QueryEvents = append(rl.QueryEvents, func(_ context.Context, f gonostr.Filter) (chan *gonostr.Event, error) {
			out := make(chan *gonostr.Event, len(f.IDs))
			for _, id := range f.IDs {
				if e, ok := stores[i].Load(id); ok {
					out <- e.(*gonostr.Event)
				}
			}
			close(out)
			return out, nil
		})
		if err := w.serve(rl); err != nil {
			return err
		}
	}
	restricted := newRelay()
	restricted.RejectFilter = append(restricted.RejectFilter, func(context.Context, gonostr.Filter) (bool, string) {
		return true, "restricted: members only"
	})
	var upgrade websocket.Upgrader
	for _, h := range []http.Handler{
		http.HandlerFunc(func(http.ResponseWriter, *http.Request) { select {} }),
		http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if ws, err := upgrade.Upgrade(rw, r, nil); err == nil {
				for err == nil {
					_, _, err = ws.ReadMessage()
				}
			}
		}),
		restricted,
		http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { http.Error(rw, "no", http.StatusForbidden) }),
	} {
		if err := w.serve(h); err != nil {
			return err
		}
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	w.Relays = append(w.Relays, "ws://"+closed.Addr().String())
	if err := closed.Close(); err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(w); err != nil {
		return err
	}
	_, _ = os.Stdin.Read(make([]byte, 1))
	return nil
}

func newRelay() *khatru.Relay {
	rl := khatru.NewRelay()
	rl.Log = log.New(io.Discard, "", 0)
	return rl
}

func (w *world) serve(h http.Handler) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go func() { _ = http.Serve(ln, h) }() //nolint:gosec // a benchmark on loopback
	w.Relays = append(w.Relays, "ws://"+ln.Addr().String())
	return nil
}
