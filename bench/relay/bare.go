package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"

	"github.com/coder/websocket"

	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// serveBare runs the bare relay until the context ends, and prints its URL.
func serveBare(ctx context.Context, path string) error {
	run.BoundGarbage(run.AmpleForAll) // as the embedded one
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println("ws://" + ln.Addr().String())
	defer context.AfterFunc(ctx, func() { ln.Close() })()
	_ = http.Serve(ln, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { //nolint:gosec // a benchmark on loopback
		ws, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer ws.CloseNow() //nolint:errcheck // it is gone either way
		takeIn(ctx, ws, file)
	}))
	return ctx.Err()
}

// takeIn takes the events of a connection until it ends.
func takeIn(ctx context.Context, ws *websocket.Conn, file *os.File) {
	verified := make(chan nostr.Event, inFlight)
	defer close(verified)
	go store(ctx, ws, file, verified)
	for {
		_, data, err := ws.Read(ctx)
		if err != nil {
			return
		}
		var m []json.RawMessage
		var e nostr.Event
		if json.Unmarshal(data, &m) != nil || len(m) != 2 || json.Unmarshal(m[1], &e) != nil || schnorr.VerifySignature(&e) != nil {
			return
		}
		verified <- e
	}
}

// store writes events, all that wait at once, and says OK to each.
func store(ctx context.Context, ws *websocket.Conn, file *os.File, verified <-chan nostr.Event) {
	for e := range verified {
		group := []nostr.Event{e}
		for more := true; more; {
			select {
			case e, more = <-verified:
				if more {
					group = append(group, e)
				}
			default:
				more = false
			}
		}
		for _, e := range group {
			_, _ = file.Write(append(nostr.Encode(e), '\n'))
		}
		_ = file.Sync()
		_, _ = file.WriteString("\n") // in place of the page that leads to what is new
		_ = file.Sync()
		for _, e := range group {
			_ = ws.Write(ctx, websocket.MessageText, fmt.Appendf(nil, `["OK","%s",true,""]`, e.ID))
		}
	}
}
