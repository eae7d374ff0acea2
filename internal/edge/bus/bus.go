package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// maxHeader is about what the headers of a message take at most, in bytes.
const maxHeader = 4 << 10

const (
	// defaultDrain and what follows it fit into the 30 s that Kubernetes gives.
	defaultDrain = 20 * time.Second
	// publishTimeout outlasts the election of a new stream leader.
	publishTimeout = 15 * time.Second
	// flushWithin is what a server gets that is connected, or seems to be.
	flushWithin = 5 * time.Second
)

// Options of a stage's bus.
type Options struct {
	// Stage is one of [contract.Stages]. A source that only publishes, such as
	// the command line, gives its own name.
	Stage string
	Log   *slog.Logger // nil discards
	// Drain is how long running handlers may go on after a shutdown begins;
	// then their context ends. 0 means 20 s.
	Drain time.Duration
	// Registerer takes the metrics relaymesh_bus_*; several buses may share
	// it. nil keeps no metrics.
	Registerer prometheus.Registerer
	// Traces takes a span for every message that is handled; nil keeps none.
	Traces trace.TracerProvider
}

// Bus runs the handlers of one stage.
type Bus struct {
	js      jetstream.JetStream
	prefix  contract.Prefix // of js
	options Options
	log     *slog.Logger
	metrics *metrics
	router  *message.Router
	work    []*work
	levels  *levels
	writes  writes
	found   sync.Map // streams of schedules, by name

	pulsesMu sync.Mutex
	pulses   map[string]*pulse // by consumer
	waiting  atomic.Int64      // callers that wait for a full stream or server
	// stopping is closed when Run is about to end.
	stopping chan struct{}
}

// work is one consumer with what handles its messages.
type work struct {
	consumer contract.Consumer
	handler  contract.Handler
	prepare  contract.Preparer // nil: each message is handled by itself
	label    string            // of the consumer
}

func newWork(c contract.Consumer, h contract.Handler) *work {
	return &work{consumer: c, handler: h, label: label(c)}
}

// New returns a bus over a connection that stays the caller's: the bus never
// closes it.
func New(js jetstream.JetStream, o Options) (*Bus, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Drain == 0 {
		o.Drain = defaultDrain
	}
	log := o.Log.With("stage", o.Stage)
	// The subscriber ends its channel only when all handlers have finished or
	// were given up, so the router has nothing left to wait for.
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: time.Second}, quiet(log))
	if err != nil {
		return nil, fmt.Errorf("make message router: %w", err)
	}
	metrics, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, err
	}
	b := &Bus{
		js: js, prefix: PrefixOf(js), options: o, log: log, metrics: metrics, router: router, levels: newLevels(), stopping: make(chan struct{}),
		writes: writes{since: map[string]time.Time{}, why: map[string]error{}}, pulses: map[string]*pulse{},
	}
	if o.Registerer != nil {
		if _, err := register(o.Registerer, newLag(b), nil); err != nil {
			return nil, fmt.Errorf("register bus metrics: %w", err)
		}
	}
	return b, nil
}

// Handle sets what handles the messages of a consumer; also those that come
// back after a long wait. It must be called before [Bus.Run].
func (b *Bus) Handle(c contract.Consumer, h contract.Handler) {
	b.work = append(b.work, newWork(c, h))
}

// HandleTogether is [Bus.Handle] for many small messages: those that come together
// are prepared together, and handled one after the other by one goroutine. One
// whose handler waits ([contract.Waits]) keeps none of the others.
func (b *Bus) HandleTogether(c contract.Consumer, p contract.Preparer, h contract.Handler) {
	w := newWork(c, h)
	w.prepare = p
	b.work = append(b.work, w)
}

// Running is closed when all consumers are subscribed.
func (b *Bus) Running() <-chan struct{} { return b.router.Running() }

// Run handles messages until ctx ends, then stops pulling, gives back what it
// only holds, lets running handlers finish within Options.Drain, and returns
// nil. It returns an error at once if a consumer does not exist or its
// consumer or connection goes away for good. It can be called once.
func (b *Bus) Run(ctx context.Context) error {
	run, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	if most := b.js.Conn().MaxPayload(); most < nostr.MaxEventBytes+maxHeader {
		b.log.WarnContext(ctx, "NATS takes no large messages, large events are left out",
			"err", TooLarge(b.js.Conn(), nostr.MaxEventBytes+maxHeader))
	}
	defer context.AfterFunc(run, func() { close(b.stopping) })()
	for _, w := range append(b.work, b.upkeep()...) {
		// Bound before the router starts: it cannot undo a partial start.
		c, err := b.js.Consumer(ctx, w.consumer.Stream, w.consumer.Name)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("consumer %s of stream %s: %w: has relaymesh provision run?", w.consumer.Name, w.consumer.Stream, err)
		}
		sub := &subscriber{
			pull: c, conn: b.js.Conn(), work: w, prefix: b.prefix, drain: b.options.Drain, log: b.log.With("consumer", w.label),
			fail: stop, pulse: b.pulseOf(w.label),
		}
		b.router.AddConsumerHandler(w.label, w.label, sub, b.handleBatch)
	}
	var telling sync.WaitGroup
	telling.Go(func() { b.tellOfFull(run) })
	defer telling.Wait()
	defer stop(nil)
	if err := b.router.Run(run); err != nil {
		return fmt.Errorf("run message router: %w", err)
	}
	if err := b.flush(ctx); err != nil {
		b.log.WarnContext(ctx, "the last acknowledgements may be lost, their messages will be handled again", "err", err)
	}
	if ctx.Err() == nil {
		return context.Cause(run)
	}
	return nil
}

// flush waits until the server has the last acknowledgements, unless it is away.
func (b *Bus) flush(ctx context.Context) error {
	if !b.js.Conn().IsConnected() {
		return nats.ErrDisconnected
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushWithin)
	defer cancel()
	return b.js.Conn().FlushWithContext(ctx)
}

// upkeep is what every stage's bus does for its stage by itself.
func (b *Bus) upkeep() []*work {
	var list []*work
	for _, c := range contract.Consumers() {
		switch {
		case c.Stage != b.options.Stage:
		case c.Stream == contract.StreamRetry:
			list = append(list, newWork(c, b.dispatch))
		case c.Stream == contract.StreamAdvisories:
			list = append(list, newWork(c, b.deadLetterUnanswered))
		}
	}
	return list
}

// label names a consumer in metrics and logs: its own name is unique only
// within its stream.
func label(c contract.Consumer) string { return c.Stream + "/" + c.Name }

// quiet is the router's logger: what watermill calls information is for
// developers.
func quiet(log *slog.Logger) watermill.LoggerAdapter {
	return quietLogger{watermill.NewSlogLoggerWithLevelMapping(log, map[slog.Level]slog.Level{
		slog.LevelInfo:  slog.LevelDebug,
		slog.LevelDebug: slog.LevelDebug - 1,
	}), log}
}

// quietLogger makes nothing of what watermill tells of each message, unless that is logged.
type quietLogger struct {
	watermill.LoggerAdapter

	log *slog.Logger
}

func (q quietLogger) Trace(msg string, fields watermill.LogFields) {
	if q.log.Enabled(context.Background(), watermill.LevelTrace) {
		q.LoggerAdapter.Trace(msg, fields)
	}
}

func (q quietLogger) With(fields watermill.LogFields) watermill.LoggerAdapter {
	return quietLogger{q.LoggerAdapter.With(fields), q.log}
}

// errDrained ends the context of handlers that a shutdown cannot wait for.
var errDrained = errors.New("shutting down")
