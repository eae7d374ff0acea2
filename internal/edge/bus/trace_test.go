package bus_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/pkg/events"
)

const (
	strangersTrace = "0af7651916cd43dd8448eb211c80319c"
	strangers      = "00-" + strangersTrace + "-b7ad6b7169203331-01"
)

// recorder keeps the spans that end.
func recorder() (*tracetest.InMemoryExporter, *sdk.TracerProvider) {
	kept := tracetest.NewInMemoryExporter()
	return kept, sdk.NewTracerProvider(sdk.WithSyncer(kept))
}

// named returns the spans of a name, in the order in which they ended.
func named(kept *tracetest.InMemoryExporter, name string) (list tracetest.SpanStubs) {
	for _, s := range kept.GetSpans() {
		if s.Name == name {
			list = append(list, s)
		}
	}
	return list
}

func attr(s tracetest.SpanStub, key string) attribute.Value {
	for _, a := range s.Attributes {
		if string(a.Key) == key {
			return a.Value
		}
	}
	return attribute.Value{}
}

func (w *world) publishTraced(subject, data, key, traceparent string) {
	w.Helper()
	msg := &nats.Msg{Subject: subject, Data: []byte(data), Header: nats.Header{key: {traceparent}, "tracestate": {"x=y"}}}
	if _, err := w.JS.PublishMsg(context.Background(), msg); err != nil {
		w.Fatal(err)
	}
}

// What a stranger sends makes a trace of its own, whatever its traceparent says;
// what a stage sends goes on in the stage's trace, over every retry.
func TestATraceBeginsAtTheTrustBoundaryAndGoesOnBehindIt(t *testing.T) {
	inWorld(t, func(w *world) {
		kept, provider := recorder()
		w.traces = provider
		w.work(contract.StageIngest,
			handlers{contract.ConsumerIngest: func(context.Context, contract.Message) ([]contract.Output, contract.Verdict) {
				return []contract.Output{{Subject: contract.NoteMissingSubject("a"), Data: []byte("{}")}}, contract.Done()
			}})
		tries := 0
		w.work(contract.StageFetcher,
			handlers{contract.ConsumerFetch: func(ctx context.Context, _ contract.Message) ([]contract.Output, contract.Verdict) {
				if _, span := bus.Span(ctx, "ask", trace.SpanKindClient); true {
					bus.End(span, errors.New("silent"))
				}
				if tries++; tries < 3 {
					return nil, contract.Retry(5*time.Minute, "nobody answers")
				}
				return nil, contract.Reject("never")
			}})
		w.publishTraced(events.SubjectEventReceived, `{"id":"`+strings.Repeat("e", 64)+`"}`, "traceparent", strangers)
		time.Sleep(time.Hour)

		root := named(kept, "process event.received")
		if len(root) != 1 {
			t.Fatalf("%d spans of ingest, want 1", len(root))
		}
		r := root[0]
		if r.SpanContext.TraceID().String() == strangersTrace || r.Parent.IsValid() {
			t.Errorf("a stranger decides on the trace: %v, parent %v", r.SpanContext, r.Parent)
		}
		if len(r.Links) != 1 || r.Links[0].SpanContext.TraceID().String() != strangersTrace || r.Links[0].SpanContext.TraceState().Len() != 0 {
			t.Errorf("links %+v, want one to the stranger's trace, without its state", r.Links)
		}
		if got := attr(r, bus.AttrEvent).AsString(); got != strings.Repeat("e", 64) {
			t.Errorf("event id %q", got)
		}
		fetches := named(kept, "process note.missing.*")
		if len(fetches) != 3 {
			t.Fatalf("%d spans of the fetcher, want one for each attempt", len(fetches))
		}
		parent := r.SpanContext
		for i, f := range fetches {
			if f.SpanContext.TraceID() != r.SpanContext.TraceID() || f.Parent.SpanID() != parent.SpanID() || len(f.Links) != 0 {
				t.Errorf("attempt %d: parent %v in trace %v, want %v", i+1, f.Parent.SpanID(), f.SpanContext.TraceID(), parent.SpanID())
			}
			if attr(f, bus.AttrAttempt).AsInt64() != int64(i+1) || attr(f, bus.AttrStage).AsString() != contract.StageFetcher ||
				f.Status.Code != codes.Error {
				t.Errorf("attempt %d: %v %v", i+1, f.Attributes, f.Status)
			}
			parent = f.SpanContext
		}
		if got := attr(fetches[2], bus.AttrVerdict).AsString() + ": " + attr(fetches[2], bus.AttrReason).AsString(); got != "reject: never" {
			t.Errorf("the last attempt is told of as %q", got)
		}
		if asked := named(kept, "ask"); len(asked) != 3 || asked[0].Parent.SpanID() != fetches[0].SpanContext.SpanID() ||
			len(asked[0].Events) != 1 {
			t.Errorf("asked %+v, want three times, with the error", asked)
		}
	})
}

// A sync is on behalf of many, and what a schedule wakes up for belongs to nobody:
// both link to who asked for it.
func TestWorkForManyLinksToItsCause(t *testing.T) {
	inWorld(t, func(w *world) {
		kept, provider := recorder()
		w.traces = provider
		var cron string
		w.work(contract.StageDHTWorker,
			handlers{contract.ConsumerResolve: func(_ context.Context, m contract.Message) ([]contract.Output, contract.Verdict) {
				return []contract.Output{{Subject: m.Subject, Data: m.Data, Cron: cron}}, contract.Done()
			}})
		cron, _ = contract.Cron("x", time.Hour)
		done := w.record().then(contract.Done())
		w.work(contract.StageSyncWorker, handlers{contract.ConsumerSync: done})
		w.publishTraced(contract.SyncDueSubject("r"), "{}", "Traceparent", strangers)
		w.publishTraced(contract.AuthorSeenSubject("p"), "{}", "Traceparent", strangers)
		time.Sleep(90 * time.Minute)

		syncs := named(kept, "process sync.due.*")
		if len(syncs) != 1 || syncs[0].Parent.IsValid() || len(syncs[0].Links) != 1 ||
			syncs[0].Links[0].SpanContext.TraceID().String() != strangersTrace {
			t.Errorf("syncs %+v", syncs)
		}
		seen := named(kept, "process author.seen.*")
		if len(seen) < 2 {
			t.Fatalf("%d look-ups, want the first and those of the schedule", len(seen))
		}
		if seen[0].SpanContext.TraceID().String() != strangersTrace {
			t.Errorf("the first look-up: %v, want in the trace of who asked", seen[0].SpanContext)
		}
		for _, s := range seen[1:] {
			if s.Parent.IsValid() || len(s.Links) != 1 || s.Links[0].SpanContext.SpanID() != seen[0].SpanContext.SpanID() {
				t.Errorf("a look-up by the schedule: parent %v, links %+v, want a link to what made the schedule", s.Parent, s.Links)
			}
		}
	})
}

func TestAJobHasNoMoreSpansThanItMay(t *testing.T) {
	kept, provider := recorder()
	ctx, job := bus.Begin(t.Context(), provider, bus.Job{Name: "job"})
	for range 1000 {
		_, span := bus.Span(ctx, "step", trace.SpanKindClient)
		span.End()
	}
	job.End()
	if n := len(kept.GetSpans()); n != 129 {
		t.Errorf("%d spans, want 128 and the job's", n)
	}
	if _, span := bus.Span(t.Context(), "step", trace.SpanKindClient); span.IsRecording() {
		t.Error("a span outside of every job")
	}
}

// The server looks at traceparent, too (message tracing, ADR-41): told to trace,
// it tells what it does with a message, and does the same with it.
func TestTheServersOwnTracingHarmsNothing(t *testing.T) {
	file := filepath.Join(t.TempDir(), "nats.conf")
	conf := `listen: "127.0.0.1:-1", jetstream { store_dir: "` + t.TempDir() + `", max_file_store: 1TB }
accounts { A { jetstream: enabled, users: [{user: a, password: a}], msg_trace: {dest: "told", sampling: 100} } }`
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	options, err := server.ProcessConfigFile(file)
	if err != nil {
		t.Fatal(err)
	}
	options.NoSigs, options.NoLog = true, true
	s, err := server.NewServer(options)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(time.Minute) {
		t.Fatal("the server is not ready")
	}
	nc, err := nats.Connect(s.ClientURL(), nats.UserInfo("a", "a"))
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
	told, err := nc.SubscribeSync("told")
	if err != nil {
		t.Fatal(err)
	}
	_, provider := recorder()
	b, err := bus.New(js, bus.Options{Stage: "test"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, span := bus.Begin(t.Context(), provider, bus.Job{Name: "job"})
	for range 2 { // the second time it is a duplicate
		if err := b.Publish(ctx, contract.Output{Subject: contract.RelayListSignedSubject("x"), Data: []byte("{}")}); err != nil {
			t.Fatal(err)
		}
	}
	c, err := js.Consumer(t.Context(), contract.StreamRelayList, contract.ConsumerPublish)
	if err != nil {
		t.Fatal(err)
	}
	msg, err := c.Next()
	if err != nil {
		t.Fatal(err)
	}
	want := "00-" + span.SpanContext().TraceID().String() + "-" + span.SpanContext().SpanID().String() + "-01"
	if got := msg.Headers().Get("Traceparent"); got != want || string(msg.Data()) != "{}" {
		t.Errorf("delivered %q with traceparent %q, want %q", msg.Data(), got, want)
	}
	if err := msg.DoubleAck(t.Context()); err != nil {
		t.Fatal(err)
	}
	if info, err := c.Info(t.Context()); err != nil || info.NumPending != 0 || info.Delivered.Consumer != 1 {
		t.Errorf("%+v, %v: want delivered once, and nothing left", info, err)
	}
	if m, err := told.NextMsg(time.Minute); err != nil || !strings.Contains(string(m.Data), contract.StreamRelayList) {
		t.Errorf("the server told %v, %v: does it still look at traceparent?", m, err)
	}
}
