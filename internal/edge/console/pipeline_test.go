package console

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

func stage(t *testing.T, p Pipeline, name string) Stage {
	t.Helper()
	for _, s := range p.Stages {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("no stage %s in %+v", name, p)
	return Stage{}
}

// The figures are those of NATS: what waits, since when, what waits for later,
// what is dead and why.
func TestThePipelineTellsWhatWaitsAndWhatWentWrong(t *testing.T) {
	w := newWorld(t)
	for _, url := range []string{"wss://a.example.com", "wss://b.example.com"} {
		key := nostr.RelayKey(url)
		w.send(contract.RelayDiscoveredSubject(key), events.RelayDiscovered{URL: url})
		// A schedule is older than what waits, and is not work.
		m := &nats.Msg{Subject: contract.PrefixSchedule + contract.SyncDueSubject(key), Data: []byte("{}"), Header: nats.Header{
			"Nats-Schedule": {"0 0 3 1 1 *"}, "Nats-Schedule-Target": {contract.SyncDueSubject(key)},
		}}
		if _, err := w.JS.PublishMsg(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		parked := &nats.Msg{Subject: contract.PrefixSchedule + "retry.fetcher." + key, Data: []byte("{}"), Header: nats.Header{
			"Nats-Schedule": {"@at " + time.Now().Add(time.Hour).UTC().Format(time.RFC3339)}, "Nats-Schedule-Target": {"retry.fetcher." + key},
			"Relaymesh-Subject": {"note.missing.x"}, "Relaymesh-Reason": {"nobody answered at " + url},
		}}
		if _, err := w.JS.PublishMsg(t.Context(), parked); err != nil {
			t.Fatal(err)
		}
	}
	w.send(contract.DLQSubject(contract.StageIngest),
		contract.DeadLetter{Stage: contract.StageIngest, Subject: "event.received", Reason: "<b>bad</b> signature", Time: 1000})

	p := ask[Pipeline](w, "/")
	if len(p.Stages) != 4 || p.Over != 0 {
		t.Fatalf("pipeline is %+v", p)
	}
	sync := stage(t, p, contract.StageSyncWorker)
	if sync.Waiting != 2 || sync.Lag != 2 || sync.InFlight != 0 || sync.Rate != nil || sync.Error != nil {
		t.Errorf("syncworker is %+v", sync)
	}
	for _, q := range sync.Queues {
		if waits := q.Consumer == "RELAY/discovered"; (q.Oldest > 0) != waits || (q.Waiting > 0) != waits {
			t.Errorf("queue %+v", q)
		}
	}
	if f := stage(t, p, contract.StageFetcher); f.Later != 2 || f.Error == nil || f.Error.Reason != "nobody answered at wss://b.example.com" ||
		f.Lag != 0 {
		t.Errorf("fetcher is %+v, its error %+v", f, f.Error)
	}
	if i := stage(t, p, contract.StageIngest); i.DeadLetters != 1 || i.Error == nil || i.Error.DeadLetter != 1 || i.Error.Time != 1000 {
		t.Errorf("ingest is %+v, its error %+v", i, i.Error)
	}
	if page := w.page("/"); strings.Contains(page, "<b>bad") {
		t.Error("a reason is not escaped")
	}
}

// Rates are what NATS itself has counted since the last reading.
func TestRatesAreOfNATSOwnCounters(t *testing.T) {
	w := newWorld(t)
	read := func() *Pipeline {
		p, err := read(t.Context(), w.console.js, w.console.feed.last())
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	w.console.feed.readings = []*Pipeline{read()}
	for range 8 {
		w.send(events.SubjectEventReceived, time.Now().String())
	}
	consumer, err := w.JS.Consumer(t.Context(), contract.StreamIntake, contract.ConsumerIngest)
	if err != nil {
		t.Fatal(err)
	}
	batch, err := consumer.Fetch(5)
	if err != nil {
		t.Fatal(err)
	}
	done := 0
	for m := range batch.Messages() {
		if done++; done <= 4 {
			if err := m.DoubleAck(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	p := read()
	ingest := stage(t, *p, contract.StageIngest)
	if ingest.Waiting != 3 || ingest.InFlight != 1 || ingest.Lag != 4 || ingest.Oldest <= 0 {
		t.Errorf("ingest is %+v", ingest)
	}
	for what, of := range map[string]struct {
		rate *float64
		want float64
	}{"ended": {ingest.Rate, 4}, "stored": {ingest.Queues[0].In, 8}} {
		if of.rate == nil || math.Abs(*of.rate*p.Over-of.want) > 0.001 {
			t.Errorf("%s: a rate of %v over %v s, want %v messages", what, of.rate, p.Over, of.want)
		}
	}
}
