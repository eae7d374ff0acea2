package run

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/relaymesh/relaymesh/pkg/events"
)

// startQuirk passes messages on to a real relay, but for sessions that refuse
// answers: then the reply, if there is one, goes back instead.
func startQuirk(t *testing.T, url string, refuse func(id string, filter events.Filter) (reply string, refused bool)) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		client, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer client.CloseNow()
		relay, _, err := websocket.Dial(r.Context(), url, nil) //nolint:bodyclose // the library closes it
		if err != nil {
			return
		}
		defer relay.CloseNow()
		client.SetReadLimit(4 << 20)
		relay.SetReadLimit(4 << 20)
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		go func() {
			defer cancel()
			for {
				_, data, err := relay.Read(ctx)
				if err != nil || client.Write(ctx, websocket.MessageText, data) != nil {
					return
				}
			}
		}()
		for {
			_, data, err := client.Read(ctx)
			if err != nil {
				return
			}
			var msg []json.RawMessage
			var id string
			var filter events.Filter
			if json.Unmarshal(data, &msg) == nil && string(msg[0]) == `"NEG-OPEN"` &&
				json.Unmarshal(msg[1], &id) == nil && json.Unmarshal(msg[2], &filter) == nil {
				if reply, refused := refuse(id, filter); refused {
					_ = client.Write(ctx, websocket.MessageText, []byte(reply))
					continue
				}
			}
			if relay.Write(ctx, websocket.MessageText, data) != nil {
				return
			}
		}
	}))
	t.Cleanup(server.Close)
	return "ws" + strings.TrimPrefix(server.URL, "http")
}

// The ways in which relays refuse sessions: what they have is synced all the same.
func TestSyncWithRelaysThatRefuseSessions(t *testing.T) {
	always := func(reply string) func(string, events.Filter) (string, bool) {
		return func(id string, _ events.Filter) (string, bool) { return strings.ReplaceAll(reply, "ID", id), true }
	}
	for name, refuse := range map[string]func(string, events.Filter) (string, bool){
		"strfry, disabled":   always(`["NOTICE","ERROR: bad msg: negentropy disabled"]`),
		"unknown command":    always(`["NOTICE","ERROR: bad msg: unknown cmd"]`),
		"closed":             always(`["CLOSED","ID","error: unsupported message"]`),
		"by policy":          always(`["NEG-ERR","ID","blocked: sync is for friends"]`),
		"for the connection": always(`["NEG-ERR","","disabled"]`),
		"khatru's label":     always(`["NEG-ERROR","ID","no "negentropy" here"]`),
		"too many events, but in a short time": func(id string, f events.Filter) (string, bool) {
			return fmt.Sprintf(`["NEG-ERR",%q,"blocked: too many query results",1000]`, id), f.Until == 0 || f.Until-f.Since > 100
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := signed()
			a, b := startHome(t, all[:150]), startHome(t, all[100:300])
			result, err := Sync{A: a, B: startQuirk(t, b, refuse), Down: true, Up: true}.Run(t.Context())
			if err != nil || !result.Complete || result.ToA != 150 || result.ToB != 100 {
				t.Errorf("%v; %+v", err, result)
			}
			want := idsOf(all[:300])
			if !slices.Equal(idsAt(t, a), want) || !slices.Equal(idsAt(t, b), want) {
				t.Error("they differ")
			}
		})
	}
}
