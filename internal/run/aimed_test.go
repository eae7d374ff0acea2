package run

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/testkit/hometest"
	"github.com/relaymesh/relaymesh/internal/testkit/natstest"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// startVictim accepts connections, says nothing, and counts them.
func startVictim(t *testing.T) (url string, reached *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	reached = &atomic.Int64{}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			reached.Add(1)
			context.AfterFunc(t.Context(), func() { conn.Close() })
		}
	}()
	return "ws://" + l.Addr().String(), reached
}

// listBy is a relay list of a key that nobody knows.
func listBy(t *testing.T, key *schnorr.SecretKey, urls ...string) nostr.Event {
	t.Helper()
	e := nostr.Event{Kind: 10002, CreatedAt: time.Now().Unix()}
	for _, url := range urls {
		e.Tags = append(e.Tags, nostr.Tag{"r", url})
	}
	if err := key.SignEvent(&e); err != nil {
		t.Fatal(err)
	}
	return e
}

// newKey is of a user whom nobody knows.
func newKey(t *testing.T) *schnorr.SecretKey {
	t.Helper()
	key, err := schnorr.NewSecret()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// noteBy is a note of a key.
func noteBy(t *testing.T, key *schnorr.SecretKey, content string, tags ...nostr.Tag) nostr.Event {
	t.Helper()
	e := nostr.Event{Kind: 1, CreatedAt: time.Now().Unix(), Content: content, Tags: tags}
	if err := key.SignEvent(&e); err != nil {
		t.Fatal(err)
	}
	return e
}

// startStages runs some stages beside a relay until the test ends.
func startStages(t *testing.T, local string, stages ...string) {
	t.Helper()
	js := natstest.Start(t)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- Run(ctx, config.Config{
			Relay: local, AllowPrivate: true, Drain: time.Second, SyncEvery: 24 * time.Hour, ResolveEvery: time.Hour,
			Policy: config.Policy{MissingPerMinute: 100},
		}, js, slog.New(slog.DiscardHandler), stages, func() {})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// A hundred lists of fresh keys name one silent host by two thousand paths. It gets
// the connections of one host, and the relay of another list, as unknown, is synced
// meanwhile.
func TestAHundredListsAimUsAtNobody(t *testing.T) {
	t.Parallel()
	victim, reached := startVictim(t)
	local, honest, alice := hometest.Start(t), hometest.Start(t), newKey(t)
	note := noteBy(t, alice, "hello")
	hometest.Publish(t, honest, note)
	startStages(t, local, contract.StageIngest, contract.StageSyncWorker)
	var lists []nostr.Event
	strangers := 100
	if testing.Short() {
		strangers = 20 // the race detector takes 36 s of a core for a hundred
	}
	for i := range strangers {
		var urls []string
		for j := range 20 {
			urls = append(urls, fmt.Sprint(victim, "/user/", 20*i+j))
		}
		lists = append(lists, listBy(t, newKey(t), urls...))
	}
	began := time.Now()
	hometest.Publish(t, local, lists...)
	if !until(t, 4*time.Minute, func() bool { return reached.Load() > 0 }) {
		t.Fatal("the lists are not followed at all")
	}
	hometest.Publish(t, local, listBy(t, alice, honest))
	if !until(t, 4*time.Minute, func() bool { return slices.Contains(hometest.IDsAt(t, local), note.ID) }) {
		t.Error("the relay of an honest author is not synced")
	}
	// Each is waited for 10 s, and some have just begun.
	handshakes := 2 + time.Since(began)/(10*time.Second)
	if n := reached.Load(); n > 4*int64(handshakes) {
		t.Errorf("the host was reached %d times in %s", n, time.Since(began))
	}
}

// watchedFor is how long a host is looked at that is aimed at; RELAYMESH_AIMED is
// another length, such as 4m, in which all hints are followed again.
func watchedFor(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("RELAYMESH_AIMED")
	if text == "" {
		return time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// answering counts what reaches a host whose websockets answer every REQ with
// nothing.
type answering struct{ dials, open, most, messages atomic.Int64 }

func (a *answering) start(t *testing.T) (url string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.dials.Add(1)
		ws, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		a.most.Store(max(a.most.Load(), a.open.Add(1)))
		defer a.open.Add(-1)
		defer ws.CloseNow()
		for {
			_, data, err := ws.Read(t.Context())
			if err != nil {
				return
			}
			a.messages.Add(1)
			var m []json.RawMessage
			if json.Unmarshal(data, &m) == nil && len(m) > 1 && string(m[0]) == `"REQ"` {
				_ = ws.Write(t.Context(), websocket.MessageText, fmt.Appendf(nil, `["EOSE",%s]`, m[1]))
			}
		}
	}))
	t.Cleanup(server.Close)
	return "ws" + strings.TrimPrefix(server.URL, "http")
}

// Twenty notes of fresh keys refer to fifty events each that nobody has made, with
// hints at one host, be it silent or a relay. It gets the connections of one host,
// and little by each, and a hint of an honest author, as unknown, is followed
// meanwhile.
func TestAThousandHintsAimUsAtNobody(t *testing.T) {
	for name, path := range map[string]func(i int) string{
		"a thousand paths": func(i int) string { return fmt.Sprint("/user/", i) },
		"one relay":        func(int) string { return "" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			relay := &answering{}
			silent, reached := startVictim(t)
			victims := [2]string{silent, relay.start(t)}
			local, honest := hometest.Start(t), hometest.Start(t)
			wanted := noteBy(t, newKey(t), "hello")
			hometest.Publish(t, honest, wanted)
			startStages(t, local, contract.StageIngest, contract.StageFetcher)
			var notes []nostr.Event
			for i := range 20 {
				var tags []nostr.Tag
				for j := range 50 {
					tags = append(tags, nostr.Tag{"e", fmt.Sprintf("%064x", 50*i+j+1), victims[j%2] + path(50*i+j)})
				}
				notes = append(notes, noteBy(t, newKey(t), "look", tags...))
			}
			began := time.Now()
			hometest.Publish(t, local, notes...)
			if !until(t, 4*time.Minute, func() bool { return reached.Load() > 0 && relay.messages.Load() > 0 }) {
				t.Fatal("the hints are not followed at all")
			}
			watched := time.Now()
			hometest.Publish(t, local, noteBy(t, newKey(t), "look", nostr.Tag{"e", wanted.ID, honest}))
			if !until(t, 4*time.Minute, func() bool { return slices.Contains(hometest.IDsAt(t, local), wanted.ID) }) {
				t.Error("the hint of an honest author is not followed")
			}
			until(t, watchedFor(t)-time.Since(watched), func() bool { return false })
			took := time.Since(began)
			t.Logf("in %s: dials of the silent host %d, of the relay %d, messages to it %d",
				took, reached.Load(), relay.dials.Load(), relay.messages.Load())
			handshakes := 2 + int64(took/(10*time.Second)) // as above
			if n := reached.Load(); n > 4*handshakes {
				t.Errorf("the silent host was reached %d times in %s", n, took)
			}
			// Four at a time, and as many that have ended, of which the relay has not read yet.
			if n, most := relay.dials.Load(), relay.most.Load(); n > 12+int64(took.Seconds()) || most > 8 {
				t.Errorf("the relay was dialled %d times in %s, and had %d connections", n, took, most)
			}
			if n := relay.messages.Load(); n > 2*500 { // a REQ and a CLOSE for each hint
				t.Errorf("the relay had %d messages in %s", n, took)
			}
		})
	}
}
