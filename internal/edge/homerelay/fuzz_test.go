package homerelay

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// FuzzMessage sends one message to a live relay. It must answer a question
// that follows, or close the connection, and whatever it sends is JSON. A
// panic ends the process or, in the goroutine that reads, reaches the log.
//
//	go test -fuzz FuzzMessage -fuzzminimizetime 1x ./internal/edge/homerelay
func FuzzMessage(f *testing.F) {
	for _, frame := range hostileFrames {
		f.Add(fmt.Appendf(nil, `["NEG-OPEN","d",{},%q]`, frame))
		f.Add(fmt.Appendf(nil, `["NEG-MSG","open",%q]`, frame))
	}
	for _, text := range []string{
		crashKhatru, `["NEG-OPEN","a",[{"kinds":[1]},{"#t":["x"]}],16,"6100000200"]`, `["NEG-CLOSE","open"]`,
		`["REQ","a",{"ids":["00"],"authors":[],"kinds":[1,-5,1e3],"#t":["x",""],"since":-1,"until":9223372036854775807,"limit":3}]`,
		`["REQ","a",{"kinds":null},{}]`, `["COUNT","a",{}]`, `["CLOSE","a"]`, `["AUTH",{"kind":22242,"tags":[["relay"],["challenge"]]}]`,
		`["EVENT",{"kind":5,"tags":[["e"],["a",":::"],["a","30023:x:y"],[]]}]`, `[[[[`, `["\ud800"]`,
	} {
		f.Add([]byte(text))
	}
	for _, e := range recorded()[:3] {
		f.Add(nostr.Message("EVENT", e))
	}
	var complained atomic.Bool
	log := slog.New(slog.NewTextHandler(flag{&complained}, nil))
	r, err := Start(f.Context(), Config{Path: filepath.Join(f.TempDir(), "relay.db"), Log: log})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { r.Close() })
	for _, e := range recorded()[10:40] {
		_ = r.store.Insert(e) // some are refused
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		c := dialRaw(t, r.URL())
		c.send(`["NEG-OPEN","open",{},"61"]`)
		c.expect("NEG-MSG", "open", "61")
		if c.ws.Write(c.ctx, websocket.MessageText, message) == nil {
			_ = c.ws.Write(c.ctx, websocket.MessageText, []byte(`["REQ","last",{"ids":[]}]`))
		}
		for {
			_, data, err := c.ws.Read(c.ctx)
			if err != nil && c.ctx.Err() == nil {
				break // closed
			}
			var m []any
			if err != nil || json.Unmarshal(data, &m) != nil || len(m) < 2 {
				t.Fatalf("after %q: %q, %v", message, data, err)
			}
			if m[0] == "EOSE" && m[1] == "last" {
				break
			}
		}
		if complained.Load() {
			t.Fatalf("the relay complains of %q", message)
		}
	})
}

// flag is a log that remembers that it was written to.
type flag struct{ raised *atomic.Bool }

func (f flag) Write(line []byte) (int, error) {
	f.raised.Store(true)
	fmt.Printf("%s %s", time.Now().Format(time.TimeOnly), line)
	return len(line), nil
}
