package run

import (
	"context"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/pkg/events"
)

// The SDK and the exporter are large: processes hand them in, so that tests do
// not link them. internal/obs/otlp is what they hand in.

// StartTraces begins to export the traces of a service if the environment asks
// for it; otherwise the provider is nil. stop exports what is left until its
// context ends.
type StartTraces func(service, version string,
	log *slog.Logger) (provider trace.TracerProvider, stop func(context.Context) error, err error)

// WithTraces has a process export traces.
func WithTraces(start StartTraces) Option { return func(e *Env) { e.start = start } }

// flushWithin bounds the last export: with the drain and what handlers get to
// return it fits into the 30 s that Kubernetes gives.
const flushWithin = 3 * time.Second

// startTraces is called before any stage starts; flush when all have ended.
func (e *Env) startTraces(names []string) (flush func(), err error) {
	if e.start == nil {
		return func() {}, nil
	}
	service := "relaymesh"
	if len(names) == 1 {
		service = names[0]
	}
	provider, stop, err := e.start(service, Version(), e.Log)
	e.traces = provider
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), min(flushWithin, e.Config.Drain))
		defer cancel()
		if err := stop(ctx); err != nil {
			e.Log.Warn("the last traces may be lost", "err", err)
		}
	}, err
}

// span starts the span of something that is done at a relay, or on the DHT.
func span(ctx context.Context, name string, attrs ...attribute.KeyValue) (context.Context, trace.Span) {
	return bus.Span(ctx, name, trace.SpanKindClient, attrs...)
}

func atRelay(url string) attribute.KeyValue { return attribute.String(bus.AttrRelay, url) }

// traceSync puts the figures of a sync on the span of its message.
func traceSync(ctx context.Context, r events.SyncFinished) {
	trace.SpanFromContext(ctx).SetAttributes(
		atRelay(r.URL), attribute.Int("sync.authors", r.Authors), attribute.Int("sync.missing", r.Missing),
		attribute.Int("sync.stored", r.Stored), attribute.Int("sync.sent", r.Sent), attribute.Int("sync.refused", r.Refused),
		attribute.Int("sync.invalid", r.Invalid), attribute.Int("sync.messages", r.Messages), attribute.Bool("sync.ok", r.OK),
	)
}
