package run

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/internal/edge/natsd"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/testkit/hometest"
	"github.com/relaymesh/relaymesh/internal/testkit/loopback"
	"github.com/relaymesh/relaymesh/internal/testkit/natstest"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// stoppable is a NATS server that a test stops and starts again.
type stoppable struct {
	t      *testing.T
	c      natsd.Config
	server *natsd.Server
	js     jetstream.JetStream
}

func (s *stoppable) start() {
	s.t.Helper()
	var err error
	if s.server, err = natsd.Start(s.c); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(s.server.Close)
	nc, err := s.server.Connect("test")
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(nc.Close)
	if s.js, err = jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute)); err != nil {
		s.t.Fatal(err)
	}
	if _, err := bus.Provision(s.t.Context(), s.js, bus.ProvisionOptions{}); err != nil {
		s.t.Fatal(err)
	}
}

// found are notes that fetchers find, one after the other.
type found struct {
	notes []nostr.Event
	given int
}

// elsewhere has enough for 20 s of asking.
func elsewhere() *found { return &found{notes: hometest.Notes(1100)} }

func (f *found) next() (id string) {
	f.given++
	return f.notes[f.given-1].ID
}

func (f *found) answer(m *nats.Msg) {
	r, _ := nostr.Decode[events.MissingNoteRequest](m.Data)
	var response events.MissingNoteResponse
	for i := range f.notes {
		if f.notes[i].ID == r.EventID {
			response = events.MissingNoteResponse{Found: true, Event: &f.notes[i]}
		}
	}
	_ = m.Respond(nostr.Encode(response))
}

// offers has somebody answer for the fetchers, until the subscription ends.
func (s *stoppable) offers(answer nats.MsgHandler) *nats.Subscription {
	s.t.Helper()
	sub, err := s.js.Conn().Subscribe(events.ServiceNoteFetch, answer)
	if err == nil {
		err = s.js.Conn().Flush()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return sub
}

// asks sends a REQ for what the relay lacks, and reports whether it came before EOSE.
func (c plainClient) asks(id string) (found bool) {
	c.t.Helper()
	c.send(`["REQ","x",{"ids":["` + id + `"]}]`)
	for {
		_, text, err := c.ws.Read(c.t.Context())
		if err != nil {
			c.t.Fatal(err)
		}
		if strings.HasPrefix(string(text), `["EOSE"`) {
			return found
		}
		found = strings.Contains(string(text), id)
	}
}

// awayFor is how long NATS is away beyond what 100 notes take (RELAYMESH_GATEWAY_AWAY=1m).
func awayFor(t *testing.T) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(os.Getenv("RELAYMESH_GATEWAY_AWAY"))
	if err != nil && os.Getenv("RELAYMESH_GATEWAY_AWAY") != "" {
		t.Fatal(err)
	}
	return d
}

// Fetchers that stop, fetchers that answer nothing and a NATS that stops, each in
// mid-run, cost no client more than the first wait. Of what the relay accepts while
// NATS is away all is taken in when it is back, each event once.
func TestGatewayWhosePipelineStops(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("under the race detector a REQ may take longer than the wait that this tells apart")
	}
	const wait, many = time.Second, 20
	s := &stoppable{t: t, c: natsd.Config{
		Dir: natstest.Dir(t), Listen: loopback.Addr(), MaxStore: 1 << 40, Log: slog.New(slog.DiscardHandler),
	}}
	s.start()
	found := elsewhere()
	fetcher := s.offers(found.answer)

	home := hometest.Start(t)
	ctx, cancel := context.WithCancel(t.Context())
	urls, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		ended <- Gateway(ctx, config.Gateway{
			Relay: home, Listen: "127.0.0.1:0", NATS: "nats://" + s.c.Listen, GatewayOptions: config.GatewayOptions{Wait: wait},
		}, nil, slog.New(slog.DiscardHandler), func(url string) { urls <- url })
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	c := dialPlain(t, <-urls)
	if !c.asks(found.next()) {
		t.Error("the fetcher is not asked")
	}
	none := func(what string, first time.Duration) {
		t.Helper()
		begun := time.Now()
		for range many {
			if c.asks(found.next()) {
				t.Errorf("%s, and yet something is found", what)
			}
		}
		if took := time.Since(begun); took > first+many*wait/2 {
			t.Errorf("%s: %d REQs took %s", what, many, took)
		}
	}
	unsubscribe := func() {
		if err := fetcher.Unsubscribe(); err != nil {
			t.Fatal(err)
		}
	}
	unsubscribe()
	fetcher = s.offers(func(*nats.Msg) {})
	none("fetchers are silent", wait)
	unsubscribe()
	none("fetchers are stopped", wait)
	fetcher = s.offers(found.answer)
	for ok := false; !ok; ok = c.asks(found.next()) {
		time.Sleep(20 * time.Millisecond) // nothing tells when they are asked again
	}
	s.server.Close()
	none("NATS is stopped", wait)

	published := publishFor(t, c, awayFor(t))
	none("NATS is away", 0)
	s.start()
	taken(t, s.js, published)
}

// publishFor publishes 400 notes a second for a while, or 100 at once, and returns
// their ids.
func publishFor(t *testing.T, c plainClient, during time.Duration) map[string]bool {
	t.Helper()
	key, err := schnorr.NewSecret()
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	for begun := time.Now(); len(ids) < 100 || time.Since(begun) < during; {
		e := nostr.Event{Kind: 1, CreatedAt: 1_700_000_000 + int64(len(ids)), Content: strings.Repeat("away ", len(ids)%200)}
		if err := key.SignEvent(&e); err != nil {
			t.Fatal(err)
		}
		c.send(`["EVENT",` + string(nostr.Encode(e)) + `]`)
		c.expect(`["OK","` + e.ID + `",true,""]`)
		ids[e.ID] = true
		if during > 0 {
			time.Sleep(time.Until(begun.Add(time.Duration(len(ids)) * time.Second / 400)))
		}
	}
	t.Logf("published %d notes while NATS was away", len(ids))
	return ids
}

// taken waits until the intake has had all of them, each once.
func taken(t *testing.T, js jetstream.JetStream, want map[string]bool) {
	t.Helper()
	consumer, err := js.Consumer(t.Context(), contract.StreamIntake, contract.ConsumerIngest)
	if err != nil {
		t.Fatal(err)
	}
	left := len(want)
	for left > 0 {
		msg, err := consumer.Next(jetstream.FetchMaxWait(time.Minute))
		if err != nil {
			t.Fatalf("%d notes are missing: %v", left, err)
		}
		id, _ := nostr.PeekID(msg.Data())
		if !want[id] {
			t.Errorf("%s was not published, or is there twice", id)
		}
		want[id] = false
		left--
		if err := msg.Ack(); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := consumer.Info(t.Context()); err != nil || info.NumPending != 0 {
		t.Errorf("there is more in the intake: %v, %v", info, err)
	}
}
