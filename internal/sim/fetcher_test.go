package sim_test

import (
	"context"
	"encoding/json"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/fiatjaf/khatru"
	"github.com/nats-io/nats.go/jetstream"
	gonostr "github.com/nbd-wtf/go-nostr"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/homerelay"
	"github.com/relaymesh/relaymesh/internal/edge/relay"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/run"
	"github.com/relaymesh/relaymesh/internal/testkit/khatrutest"
	"github.com/relaymesh/relaymesh/internal/testkit/loopback"
	"github.com/relaymesh/relaymesh/internal/testkit/natstest"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// These tests run the fetcher as its binary does, in real time, among real
// relays and real sockets.

type fetcher struct {
	*testing.T
	js   jetstream.JetStream
	home string
}

func startFetcher(t *testing.T) *fetcher {
	t.Helper()
	server := natstest.StartOn(t, natstest.Dir(t))
	js := natstest.Provision(t, server)
	local, err := homerelay.Start(t.Context(),
		homerelay.Config{Path: filepath.Join(t.TempDir(), "relay.db"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { local.Close() })
	secret := filepath.Join(t.TempDir(), "nsec")
	if err := os.WriteFile(secret, []byte(user(t, "relaymesh").Hex()), 0o600); err != nil {
		t.Fatal(err)
	}
	c := config.Config{Relay: local.URL(), AllowPrivate: true, NsecFile: secret, Drain: time.Second, Fetch: config.Fetch{LostFor: lostFor}}
	workers := natstest.Connect(t, server)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- run.Run(ctx, c, workers, slog.New(slog.DiscardHandler), []string{contract.StageFetcher}, func() {})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return &fetcher{t, js, local.URL()}
}

// ask calls the service, as soon as it is there.
func (f *fetcher) ask(e nostr.Event, deadline time.Duration, hints ...string) events.MissingNoteResponse {
	f.Helper()
	ctx, cancel := context.WithTimeout(f.Context(), time.Minute)
	defer cancel()
	for {
		r, err := run.Request[events.MissingNoteResponse](ctx, f.js, events.ServiceNoteFetch, events.MissingNoteRequest{
			NoteMissing: events.NoteMissing{EventID: e.ID, Relays: hints}, TimeoutMS: deadline.Milliseconds(),
		})
		if err == nil {
			return r
		}
		if !strings.Contains(err.Error(), "nobody offers it") {
			f.Fatal(err)
		}
	}
}

// atHome returns the event at the local relay, which is waited for.
func (f *fetcher) atHome(id string) nostr.Event {
	f.Helper()
	c, err := relay.Dial(f.Context(), f.home, relay.Options{AllowPrivate: true})
	if err != nil {
		f.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(f.Context(), time.Minute)
	defer cancel()
	for u, err := range c.Subscribe(ctx, nostr.Filter{IDs: []string{id}}) {
		if err != nil {
			f.Fatalf("%s does not come to the local relay: %v", id, err)
		}
		if !u.EOSE {
			return u.Event
		}
	}
	return nostr.Event{}
}

// scripted is a relay that answers each REQ as it likes; sub is its id, quoted.
func scripted(t *testing.T, answer func(send func(message string), sub string, ids []string)) string {
	t.Helper()
	return serveRelay(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer ws.CloseNow()
		for {
			var req []json.RawMessage
			_, data, err := ws.Read(r.Context())
			if err != nil || json.Unmarshal(data, &req) != nil {
				return
			}
			var filter nostr.Filter
			if string(req[0]) == `"REQ"` && json.Unmarshal(req[2], &filter) == nil {
				answer(func(message string) { _ = ws.Write(r.Context(), websocket.MessageText, []byte(message)) }, string(req[1]), filter.IDs)
			}
		}
	}))
}

func serveRelay(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return "ws" + strings.TrimPrefix(s.URL, "http")
}

// gives answers every REQ with these events, whatever it asks for.
func gives(t *testing.T, list ...nostr.Event) string {
	return scripted(t, func(send func(string), sub string, _ []string) {
		for _, e := range list {
			send(`["EVENT",` + sub + `,` + string(nostr.Encode(e)) + `]`)
		}
		send(`["EOSE",` + sub + `]`)
	})
}

func TestTheFetcherAmongRelaysThatHangRefuseAndForge(t *testing.T) {
	f := startFetcher(t)
	alice := user(t, "alice")
	e, other := note(t, alice, "wanted"), note(t, alice, "other")
	content, signature := e, e
	content.Content = "forged"
	signature.Sig = other.Sig
	wrongID := other
	wrongID.ID = e.ID

	closed := loopback.Addr()
	over := make(chan struct{})
	good, err := khatrutest.Start(t.Context(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { good.Close() })
	c, err := relay.Dial(t.Context(), good.URL(), relay.Options{AllowPrivate: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := reconcile.Write(t.Context(), c, e); err != nil {
		t.Fatal(err)
	}
	hints := []string{
		serveRelay(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-over })),
		scripted(t, func(func(string), string, []string) {}),
		"ws://" + closed,
		serveRelay(t, http.NotFoundHandler()),
		scripted(t, func(send func(string), sub string, _ []string) { send(`["CLOSED",` + sub + `,"restricted: no"]`) }),
		scripted(t, func(send func(string), sub string, _ []string) { send(`["EVENT",` + sub + `,{`); send("\x00") }),
		gives(t, content), gives(t, signature), gives(t, wrongID), gives(t, other), gives(t),
		good.URL(),
	}
	t.Cleanup(func() { close(over) }) // before the servers are closed
	if r := f.ask(e, 20*time.Second, hints...); !r.Found || r.RelayURL != good.URL() || r.Event.Sig != e.Sig || r.Event.Content != e.Content {
		t.Errorf("%+v", r)
	}
	if got := f.atHome(e.ID); got.Content != e.Content || got.Sig != e.Sig {
		t.Errorf("the local relay has %+v", got)
	}
	// Nobody has this one, and most of them say so; the others are named.
	nowhere := note(t, alice, "nowhere")
	r := f.ask(nowhere, time.Second, hints...)
	if r.Found || !strings.Contains(r.Why, hints[1]) || strings.Contains(r.Why, good.URL()) {
		t.Errorf("%+v", r)
	}
}

func TestTheFetcherAuthenticates(t *testing.T) {
	f := startFetcher(t)
	e := note(t, user(t, "alice"), "for members")
	var theirs gonostr.Event
	if err := json.Unmarshal(nostr.Encode(e), &theirs); err != nil {
		t.Fatal(err)
	}
	rl := khatru.NewRelay()
	rl.Log = log.New(io.Discard, "", 0)
	rl.RejectFilter = append(rl.RejectFilter, func(ctx context.Context, _ gonostr.Filter) (bool, string) {
		return khatru.GetAuthed(ctx) != user(t, "relaymesh").PublicKey(), "auth-required: members only"
	})
	rl.QueryEvents = append(rl.QueryEvents, func(context.Context, gonostr.Filter) (chan *gonostr.Event, error) {
		out := make(chan *gonostr.Event, 1)
		out <- &theirs
		close(out)
		return out, nil
	})
	if r := f.ask(e, 20*time.Second, serveRelay(t, rl)); !r.Found {
		t.Errorf("%+v", r)
	}
}

func TestTheFetcherWritesWhatComesAfterTheDeadline(t *testing.T) {
	f := startFetcher(t)
	e := note(t, user(t, "alice"), "late")
	answer := make(chan struct{})
	slow := scripted(t, func(send func(string), sub string, _ []string) {
		<-answer
		send(`["EVENT",` + sub + `,` + string(nostr.Encode(e)) + `]`)
		send(`["EOSE",` + sub + `]`)
	})
	r := f.ask(e, 200*time.Millisecond, slow)
	if r.Found || !strings.Contains(r.Why, "deadline") || !strings.Contains(r.Why, slow) {
		t.Errorf("%+v", r)
	}
	close(answer)
	f.atHome(e.ID)
}

// The second caller knows one relay more, which is asked in the search of the
// first; so it is sure that there is one search when the answer comes.
func TestTwoCallersMakeOneREQ(t *testing.T) {
	f := startFetcher(t)
	e := note(t, user(t, "alice"), "wanted twice")
	asked, answer, joined := make(chan struct{}, 10), make(chan struct{}), make(chan struct{}, 10)
	first := scripted(t, func(send func(string), sub string, ids []string) {
		if slices.Contains(ids, e.ID) {
			asked <- struct{}{}
		}
		<-answer
		send(`["EVENT",` + sub + `,` + string(nostr.Encode(e)) + `]`)
	})
	second := scripted(t, func(send func(string), sub string, _ []string) {
		joined <- struct{}{}
		send(`["EOSE",` + sub + `]`)
	})
	var wait sync.WaitGroup
	ask := func(hints ...string) {
		wait.Go(func() {
			if r := f.ask(e, 20*time.Second, hints...); !r.Found || r.RelayURL != first {
				t.Errorf("%+v", r)
			}
		})
	}
	ask(first)
	<-asked
	ask(first, second)
	<-joined
	close(answer)
	wait.Wait()
	if n := len(asked); n != 0 {
		t.Errorf("the relay was asked %d times more", n)
	}
}

func TestTheFetcherRemembersWhatIsLost(t *testing.T) {
	f := startFetcher(t)
	e := note(t, user(t, "alice"), "nowhere")
	asked := make(chan struct{}, 10)
	empty := scripted(t, func(send func(string), sub string, _ []string) {
		asked <- struct{}{}
		send(`["EOSE",` + sub + `]`)
	})
	for i, want := range []string{"none of 2 relays has it", "not looked for again before"} {
		if r := f.ask(e, 20*time.Second, empty); r.Found || !strings.Contains(r.Why, want) {
			t.Errorf("time %d: %+v", i+1, r)
		}
	}
	// By its id, and then as a private event, since there is a key.
	if n := len(asked); n != 2 {
		t.Errorf("the relay was asked %d times, want once of each way", n)
	}
}
