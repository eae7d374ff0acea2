package bus_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/pkg/events"
)

// smallServer is a NATS server of somebody else, with limits.
func smallServer(t *testing.T, o server.Options) jetstream.JetStream {
	t.Helper()
	if o.StoreDir == "" {
		o.StoreDir = t.TempDir()
	}
	o.JetStream, o.DontListen, o.NoSigs, o.NoLog, o.JetStreamMaxStore = true, true, true, true, 1<<40
	s, err := server.NewServer(&o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	nc, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bus.Provision(t.Context(), js, bus.ProvisionOptions{}); err != nil {
		t.Fatal(err)
	}
	return js
}

// An event that the server would never take is left out and counted: who tails would
// come no further. What it is to do with a key is not left out silently.
func TestEventsThatNATSNeverTakesAreLeftOut(t *testing.T) {
	t.Parallel()
	js := smallServer(t, server.Options{MaxPayload: 8 << 10})
	metrics := prometheus.NewRegistry()
	b, err := bus.New(js, bus.Options{Stage: contract.StageIngest, Registerer: metrics})
	if err != nil {
		t.Fatal(err)
	}
	large := []byte(strings.Repeat("x", 9<<10))
	for range 2 {
		if err := b.Publish(t.Context(), contract.Output{Subject: events.SubjectEventReceived, Data: large}); err != nil {
			t.Errorf("a large event: %v", err)
		}
	}
	if err := b.Publish(t.Context(), contract.Output{Subject: events.SubjectEventReceived, Data: []byte("{}")}); err != nil {
		t.Errorf("a small event: %v", err)
	}
	if err := b.Publish(t.Context(), contract.Output{Subject: contract.NoteMissingSubject("a"), Data: large}); err == nil {
		t.Error("large work was left out")
	}
	const want = `
# HELP relaymesh_bus_too_large_total Events that were left out because the server takes no message of their size (max_payload).
# TYPE relaymesh_bus_too_large_total counter
relaymesh_bus_too_large_total{stage="ingest"} 2
`
	if err := testutil.GatherAndCompare(metrics, strings.NewReader(want), "relaymesh_bus_too_large_total"); err != nil {
		t.Error(err)
	}
}

// Consumers ask for no more at a time than the server lets them.
func TestConsumersKeepToTheBatchOfTheServer(t *testing.T) {
	t.Parallel()
	js := smallServer(t, server.Options{JetStreamLimits: server.JSLimitOpts{MaxRequestBatch: 5}})
	b, err := bus.New(js, bus.Options{Stage: contract.StageIngest})
	if err != nil {
		t.Fatal(err)
	}
	const messages = 50
	handled := make(chan struct{}, messages)
	ingest := contract.Consumers()[0]
	b.Handle(ingest, func(context.Context, contract.Message) ([]contract.Output, contract.Verdict) {
		handled <- struct{}{}
		return nil, contract.Done()
	})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	for range messages {
		if err := b.Publish(t.Context(), contract.Output{Subject: events.SubjectEventReceived, Data: []byte("{}")}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range messages {
		select {
		case <-handled:
		case <-time.After(time.Minute):
			t.Fatalf("%d of %d messages were handled", i, messages)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
