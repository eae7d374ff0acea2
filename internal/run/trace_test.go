package run

import (
	"context"
	"encoding/hex"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/obs/otlp"
	"github.com/relaymesh/relaymesh/internal/testkit/dhtnet"
	"github.com/relaymesh/relaymesh/internal/testkit/hometest"
	"github.com/relaymesh/relaymesh/internal/testkit/natstest"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// collector is a receiver of OTLP over HTTP.
type collector struct {
	mu    sync.Mutex
	spans []*tracepb.Span
}

func startCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var data tracepb.TracesData
		if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(body, &data) != nil {
			t.Errorf("not OTLP: %s %s", r.Method, r.URL)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, rs := range data.ResourceSpans {
			for _, ss := range rs.ScopeSpans {
				c.spans = append(c.spans, ss.Spans...)
			}
		}
	}))
	t.Cleanup(server.Close)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	return c
}

// text returns an attribute.
func text(s *tracepb.Span, key string) string {
	for _, a := range s.Attributes {
		if a.Key == key {
			return a.Value.GetStringValue()
		}
	}
	return ""
}

// find returns the first span of a name of which an attribute has that value.
func (c *collector) find(t *testing.T, name, key, value string) *tracepb.Span {
	t.Helper()
	i := slices.IndexFunc(c.spans, func(s *tracepb.Span) bool { return s.Name == name && text(s, key) == value })
	if i < 0 {
		t.Fatalf("no span %q with %s=%s", name, key, value)
	}
	return c.spans[i]
}

// within returns the span of a name below another, with at as its relay if
// that is not empty.
func (c *collector) within(t *testing.T, parent *tracepb.Span, name, at string) *tracepb.Span {
	t.Helper()
	for _, s := range c.spans {
		if s.Name == name && slices.Equal(s.ParentSpanId, parent.SpanId) && (at == "" || text(s, "relaymesh.relay") == at) {
			if !slices.Equal(s.TraceId, parent.TraceId) {
				t.Errorf("%s is in another trace than its parent", name)
			}
			return s
		}
	}
	t.Fatalf("%s of trace %s has no %q below it", parent.Name, hex.EncodeToString(parent.TraceId), name)
	return nil
}

// Three events of a relay's user, through real relays, a real DHT and all
// stages, and the traces as a receiver of OTLP gets them: one for each event.
func TestATraceFollowsAnEventFromRelayToRelay(t *testing.T) {
	if testing.Short() {
		t.Skip("a DHT and two relays: make test runs it")
	}
	c := startCollector(t)
	dht, err := dhtnet.Start(t.Context(), 8)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dht.Close() })
	keys := make([]*schnorr.SecretKey, 2)
	for i := range keys {
		if keys[i], err = schnorr.NewSecret(); err != nil {
			t.Fatal(err)
		}
	}
	alice, bob := keys[0], keys[1]
	now := time.Now().Unix()
	sign := func(key *schnorr.SecretKey, e nostr.Event) nostr.Event {
		e.Kind, e.CreatedAt = 1, now
		if err := key.SignEvent(&e); err != nil {
			t.Fatal(err)
		}
		return e
	}
	lost, elsewhere := sign(bob, nostr.Event{Content: "lost"}), sign(alice, nostr.Event{Content: "elsewhere"})
	// Hint and lists name different relays, so that no wake-up takes the place of
	// another's.
	hinted, remote := hometest.Start(t, lost), hometest.Start(t, elsewhere)
	list, err := SignList(alice, []string{"ws://127.0.0.1:1"}, now)
	if err != nil {
		t.Fatal(err)
	}
	written, err := SignList(alice, []string{remote}, now)
	if err != nil {
		t.Fatal(err)
	}
	answer := sign(alice, nostr.Event{Content: "yes", Tags: []nostr.Tag{{"e", lost.ID, hinted}}})
	local := hometest.Start(t, []nostr.Event{list.DHT, written.NIP65, answer}...)

	js := natstest.Start(t)
	told := map[string]chan struct{}{}
	for _, subject := range []string{
		events.SubjectRecordPublished, events.SubjectNoteFound, events.SubjectSyncFinished,
		contract.AuthorSeenSubject(bob.PublicKey()), // what was found has been taken in
	} {
		sub, err := js.Conn().SubscribeSync(subject)
		if err != nil {
			t.Fatal(err)
		}
		once := make(chan struct{})
		told[subject] = once
		go func() {
			_, _ = sub.NextMsgWithContext(t.Context())
			close(once)
		}()
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- Run(ctx, config.Config{
			Relay: local, AllowPrivate: true, Drain: 10 * time.Second,
			DHT:          config.DHT{Listen: "127.0.0.1:0", Bootstrap: dht.Bootstrap(), Rate: -1, PerNode: -1},
			RefreshEvery: time.Hour, ResolveEvery: time.Hour, SyncEvery: 15 * time.Minute,
			Fetch: config.Fetch{LostFor: time.Hour}, Policy: config.Policy{MissingPerMinute: 100},
		}, js, slog.New(slog.DiscardHandler), contract.Stages(), func() {}, WithTraces(otlp.Start))
	}()
	for subject, once := range told {
		select {
		case <-once:
		case err := <-ended:
			t.Fatalf("ended before %s: %v", subject, err)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}

	// A reference: relay, ingest, fetcher, the other relay, and back.
	taken := c.find(t, "process event.received", "nostr.event.id", answer.ID)
	if len(taken.ParentSpanId) > 0 || text(taken, "relaymesh.sender") != local {
		t.Errorf("the trace does not begin with what the relay gave: %v", taken)
	}
	search := c.within(t, taken, "process note.missing.*", "")
	c.within(t, search, "relay find", hinted)
	c.within(t, search, "relay publish", local)

	// What was found is taken in: a trace of its own, that tells where it is from.
	found := c.find(t, "process event.received", "nostr.event.id", lost.ID)
	if slices.Equal(found.TraceId, taken.TraceId) || len(found.Links) != 1 && text(found, "relaymesh.sender") != local {
		t.Errorf("what was found: %v, want a trace of its own with a link", found)
	}

	// A record: relay, ingest, dhtworker, the DHT.
	record := c.find(t, "process event.received", "nostr.event.id", list.DHT.ID)
	put := c.within(t, c.within(t, record, "process relaylist.signed.*", ""), "dht put", "")
	if text(put, "dht.target") == "" {
		t.Errorf("put %v", put)
	}

	// A relay list: relay, ingest, syncworker; the sync that follows is one for many.
	urls := c.find(t, "process event.received", "nostr.event.id", written.NIP65.ID)
	announced := c.within(t, urls, "process relay.discovered.*", "")
	syncing := c.find(t, "process sync.due.*", "relaymesh.relay", remote)
	if len(syncing.Links) != 1 || slices.Equal(syncing.TraceId, announced.TraceId) {
		t.Errorf("a sync: %v, want a trace of its own with a link", syncing)
	}
	c.within(t, syncing, "relay negentropy", remote)
	c.within(t, syncing, "relay negentropy", local)
}
