package bus_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/internal/testkit/natstest"
)

// world is a server in fake time, on which workers run.
type world struct {
	*natstest.World

	start time.Time
	mu    sync.Mutex // of what a test counts
	// Of the workers that start from now on; may be nil.
	traces  trace.TracerProvider
	metrics prometheus.Registerer
	prepare contract.Preparer // of ingest
}

func inWorld(t *testing.T, test func(w *world)) {
	t.Helper()
	natstest.InWorld(t, func(w *natstest.World) { test(&world{World: w, start: time.Now(), prepare: prepared}) })
}

// worker is one running bus, with its own connection.
type worker struct {
	*bus.Bus
	js   jetstream.JetStream
	stop context.CancelFunc
	done chan error
}

// handlers of a worker by consumer name.
type handlers map[string]contract.Handler

// work runs a worker until the test ends or stops it.
func (w *world) work(stage string, hs handlers) *worker {
	w.Helper()
	return w.workOn(natstest.Connect(w.T, w.Server), stage, hs)
}

// workOn is work over a connection that the worker may close.
func (w *world) workOn(js jetstream.JetStream, stage string, hs handlers) *worker {
	w.Helper()
	b, err := bus.New(js,
		bus.Options{
			Stage: stage, Log: slog.New(slog.NewTextHandler(w.Output(), nil)), Drain: 10 * time.Second, Traces: w.traces,
			Registerer: w.metrics,
		})
	if err != nil {
		w.Fatal(err)
	}
	for name, h := range hs {
		if name == contract.ConsumerIngest {
			b.HandleTogether(consumer(w.T, name), w.prepare, h)
		} else {
			b.Handle(consumer(w.T, name), h)
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	x := &worker{Bus: b, js: js, stop: stop, done: make(chan error, 1)}
	go func() { x.done <- b.Run(ctx); close(x.done) }()
	w.Cleanup(func() { stop(); <-x.done })
	select {
	case <-b.Running():
	case err := <-x.done:
		w.Fatalf("worker of stage %s: %v", stage, err)
	}
	return x
}

// end stops a worker and waits for it.
func (x *worker) end(t *testing.T) {
	t.Helper()
	x.stop()
	if err := <-x.done; err != nil {
		t.Errorf("worker ended with %v", err)
	}
}

// kill takes the worker's connection away, as the death of its process would.
// Its running handlers cannot answer any more.
func (x *worker) kill() { x.js.Conn().Close() }

func consumer(t *testing.T, name string) contract.Consumer {
	t.Helper()
	for _, c := range contract.Consumers() {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("no consumer %s", name)
	return contract.Consumer{}
}

func (w *world) publish(subject, data string) {
	w.Helper()
	w.Publish(subject, []byte(data))
}

// calls records what a handler was given, and when since the test began.
type calls struct {
	mu    sync.Mutex
	start time.Time
	list  []call
}

type call struct {
	contract.Message
	at time.Duration
}

func (w *world) record() *calls { return &calls{start: w.start} }

func (c *calls) add(m contract.Message) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = append(c.list, call{m, time.Since(c.start)})
	return len(c.list)
}

func (c *calls) all() []call {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]call(nil), c.list...)
}

// verdicts records a message and answers with the verdict of the moment.
func (c *calls) verdicts(now func() contract.Verdict) contract.Handler {
	return func(_ context.Context, m contract.Message) ([]contract.Output, contract.Verdict) {
		c.add(m)
		return nil, now()
	}
}

// then records a message and answers with a fixed verdict.
func (c *calls) then(v contract.Verdict) contract.Handler {
	return func(_ context.Context, m contract.Message) ([]contract.Output, contract.Verdict) {
		c.add(m)
		return nil, v
	}
}
