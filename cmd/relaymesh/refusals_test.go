package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"

	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/internal/testkit/hometest"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// plainRelay speaks neither NIP-11 nor NIP-77. It answers a message of one of the
// labels as answer says, in which ID is the message's, and a REQ with the events.
func plainRelay(t *testing.T, all []nostr.Event, answer func(label string) string) (url string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer ws.CloseNow()
		ws.SetReadLimit(4 << 20)
		say := func(text string) { _ = ws.Write(r.Context(), websocket.MessageText, []byte(text)) }
		for {
			_, text, err := ws.Read(r.Context())
			var msg []json.RawMessage
			if err != nil || json.Unmarshal(text, &msg) != nil || len(msg) < 2 {
				return
			}
			var label string
			var e nostr.Event
			_ = json.Unmarshal(msg[0], &label)
			id := string(msg[1])
			if label == "EVENT" {
				_ = json.Unmarshal(msg[1], &e)
				id = `"` + e.ID + `"`
			}
			if said := answer(label); said != "" {
				say(strings.ReplaceAll(said, "ID", id))
				continue
			}
			var filter nostr.Filter
			switch label {
			case "REQ":
				_ = json.Unmarshal(msg[2], &filter)
				for _, e := range all {
					if filter.Match(&e) {
						text, _ := json.Marshal([]any{"EVENT", msg[1], e})
						say(string(text))
					}
				}
				say(`["EOSE",` + id + `]`)
			case "NEG-OPEN":
				say(`["NOTICE","ERROR: bad msg: unknown cmd"]`)
			}
		}
	}))
	t.Cleanup(server.Close)
	return "ws" + strings.TrimPrefix(server.URL, "http")
}

func nothing(string) string { return "" }

// What a listed relay delivers and cannot be read is counted with the reason, and
// the exit code is 3.
func TestSyncTellsOfUnreadableEvents(t *testing.T) {
	t.Parallel()
	all := hometest.Notes(5)
	all[0].Sig = strings.Repeat("0", 128)
	all[1].Content += "!"
	all[2].Content = strings.Repeat("z", nostr.MaxEventBytes+1)
	for _, dir := range []string{"down", "both", "none"} {
		home := hometest.Start(t)
		code, stdout, stderr := relaymesh(t, "sync", home, plainRelay(t, all, nothing), "--dir", dir, "--until", "2030-01-01")
		for _, want := range []string{"cannot be read: larger than", "cannot be read: its id is not its hash", "signature", "but for 3 events"} {
			if !strings.Contains(stdout, want) {
				t.Errorf("%s: no %q in %s%s", dir, want, stdout, stderr)
			}
		}
		if code != run.ExitPartly {
			t.Errorf("%s: exit code %d", dir, code)
		}
	}
}

// What the report says about events that stay behind, it explains.
func TestSyncExplainsWhatStaysBehind(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	explain(&b, []run.SyncRefusal{
		{To: "wss://b", Why: "private", By: run.ByRules},
		{To: "wss://b", Why: "private", By: run.ByRules},
		{To: "wss://a", Why: "wss://b lists it and does not deliver it", By: run.BySource},
		{To: "wss://a", Why: "blocked: no\u009b", By: run.ByRelay},
	})
	const want = `     2 not in wss://b: private (kept back by our rules)
     1 not in wss://a: blocked: no\uFFFD
     1 not in wss://a: wss://b lists it and does not deliver it
     → what our rules keep back is no failure: it alone makes no exit code 3
     → direct messages are written to the second relay with --upload-private
     → relays list direct messages, but deliver them to their parties only: --nsec-file with the key of one
`
	if b.String() != strings.ReplaceAll(want, `\uFFFD`, "\uFFFD") {
		t.Errorf("%s", b.String())
	}
	b.Reset()
	if explain(&b, []run.SyncRefusal{{To: "wss://a", Why: "private", By: run.ByRelay}}); strings.Contains(b.String(), "→") {
		t.Errorf("the words of a relay are taken for a rule: %s", b.String())
	}
}

// Whatever a relay says in place of true, the event is not written.
func TestSyncTellsOfRefusalsWithoutAReason(t *testing.T) {
	t.Parallel()
	source := hometest.Start(t, hometest.Notes(1)...)
	for _, ok := range []string{
		`["OK",ID,false,""]`, `["OK",ID,false]`, `["OK",ID]`, `["OK",ID,"false",""]`, `["OK",ID,"yes",""]`, `["OK",ID,1,""]`,
		`["OK",ID,null,null]`,
	} {
		home := plainRelay(t, nil, func(label string) string {
			if label == "EVENT" {
				return ok
			}
			return ""
		})
		code, stdout, stderr := relaymesh(t, "sync", home, source, "--dir", "down")
		if code != run.ExitPartly || !strings.Contains(stdout, "written 0 to A") || !strings.Contains(stdout, "refused without a reason") {
			t.Errorf("%s: exit code %d, %s%s", ok, code, stdout, stderr)
		}
	}
}

// A REQ that is refused for the moment is asked again.
func TestRefusalsForTheMoment(t *testing.T) {
	t.Parallel()
	for _, closed := range []string{`["CLOSED",ID,"rate-limited: slow down"]`, `["CLOSED",ID,"error: shutting down idle subscription"]`} {
		for _, args := range [][]string{
			{"sync", hometest.Start(t), "URL", "--dir", "down"}, {"fetch", "NOTE", "--relay", "URL", "--allow-private"},
		} {
			var asked atomic.Int32
			all := hometest.Notes(1)
			url := plainRelay(t, all, func(label string) string {
				if label == "REQ" && asked.Add(1) == 1 {
					return closed
				}
				return ""
			})
			for i := range args {
				args[i] = strings.NewReplacer("URL", url, "NOTE", all[0].ID).Replace(args[i])
			}
			if code, stdout, stderr := relaymesh(t, args...); code != run.ExitOK {
				t.Errorf("%s, %s: exit code %d, %s%s", args[0], closed, code, stdout, stderr)
			}
		}
	}
}

// A relay that goes on refusing for the moment has answered, and a fetch tells how.
func TestFetchTellsWhyARelayIsAskedAgain(t *testing.T) {
	t.Parallel()
	url := plainRelay(t, nil, func(string) string { return `["CLOSED",ID,"error: shutting down"]` })
	args := []string{"fetch", hometest.Notes(1)[0].ID, "--relay", url, "--allow-private", "--timeout", "500ms"}
	code, stdout, stderr := relaymesh(t, args...)
	if code != run.ExitFailed || !strings.Contains(stderr, "the deadline has passed: ") ||
		!strings.Contains(stderr, `refused: "error: shutting down"`) {
		t.Errorf("exit code %d, %s%s", code, stdout, stderr)
	}
}
