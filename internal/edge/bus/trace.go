package bus

import (
	"cmp"
	"context"
	"sync/atomic"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// The attributes of spans, as stable as the names of metrics. Those of
// messaging.* are OpenTelemetry's own.
const (
	AttrStage   = "relaymesh.stage"
	AttrAttempt = "relaymesh.attempt"
	AttrVerdict = "relaymesh.verdict" // done, retry or reject
	AttrReason  = "relaymesh.reason"  // why it was not done, by our own decision or a peer's
	AttrSender  = "relaymesh.sender"  // as it claims
	AttrRelay   = "relaymesh.relay"   // URL
	AttrEvent   = "nostr.event.id"

	attrSystem    = "messaging.system"
	attrOperation = "messaging.operation.type"
	attrSubject   = "messaging.destination.name"
	attrFamily    = "messaging.destination.template"
	attrConsumer  = "messaging.consumer.group.name"
	attrMessage   = "messaging.message.id"
)

const (
	scope = "github.com/relaymesh/relaymesh"
	// maxSpans bounds the spans within one piece of work: a sync, or the refresh
	// of a slice, does thousands of things.
	maxSpans = 128
)

// Job is a piece of work that begins with a message from elsewhere.
type Job struct {
	Name   string // of the span
	Kind   trace.SpanKind
	Header nats.Header // of the message
	// Apart gives the work a trace of its own, which links to the one that the
	// header names, instead of a place in that one. It is for what strangers send,
	// and for work on behalf of many.
	Apart      bool
	Attributes []attribute.KeyValue
}

// Begin starts the span of a job; the caller ends it. A nil provider keeps no
// traces.
func Begin(ctx context.Context, provider trace.TracerProvider, j Job) (context.Context, trace.Span) {
	if provider == nil {
		return ctx, trace.SpanFromContext(ctx)
	}
	ctx = context.WithValue(ctx, budgetKey{}, new(atomic.Int64))
	options := []trace.SpanStartOption{trace.WithSpanKind(j.Kind), trace.WithAttributes(j.Attributes...)}
	from := trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), carrier(j.Header)))
	switch {
	case !j.Apart && from.IsValid():
		ctx = trace.ContextWithRemoteSpanContext(ctx, from)
	case from.IsValid():
		// Its ids only: the rest of what a stranger sends is not kept.
		options = append(options, trace.WithNewRoot(), trace.WithLinks(trace.Link{SpanContext: from.WithTraceState(trace.TraceState{})}))
	default:
		options = append(options, trace.WithNewRoot())
	}
	return provider.Tracer(scope).Start(ctx, j.Name, options...)
}

type budgetKey struct{}

// Span starts a span within the job that ctx belongs to. It does nothing
// outside of one, and from the job's 129th on.
func Span(ctx context.Context, name string, kind trace.SpanKind, attrs ...attribute.KeyValue) (context.Context, trace.Span) {
	budget, _ := ctx.Value(budgetKey{}).(*atomic.Int64)
	parent := trace.SpanFromContext(ctx)
	if budget == nil || !parent.IsRecording() || budget.Add(1) > maxSpans {
		return ctx, noSpan
	}
	return parent.TracerProvider().Tracer(scope).Start(ctx, name, trace.WithSpanKind(kind), trace.WithAttributes(attrs...))
}

// noSpan records nothing, and may be ended.
var noSpan = trace.SpanFromContext(context.Background())

// End ends a span, with the error if there is one.
func End(span trace.Span, err error) {
	if err != nil {
		span.RecordError(err)
		span.SetStatus(codes.Error, shorten(err.Error()))
	}
	span.End()
}

// Inject writes the trace that ctx belongs to, if any, into a message.
func Inject(ctx context.Context, h nats.Header) {
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(h))
}

// carrier reads the headers of a message. NATS keeps their case as it was sent:
// the traceparent of W3C is in lower case, that of Go's clients is not.
type carrier nats.Header

func (c carrier) Get(key string) string {
	return cmp.Or(nats.Header(c).Get(key), propagation.HeaderCarrier(c).Get(key))
}

func (c carrier) Set(key, value string) { nats.Header(c).Set(key, value) }

func (c carrier) Keys() []string { return propagation.HeaderCarrier(c).Keys() }

// begin starts the span of a delivery. A message that waited for a retry goes
// on in the trace of its last attempt.
func (b *Bus) begin(ctx context.Context, d *delivery) (context.Context, trace.Span) {
	if b.options.Traces == nil {
		return ctx, noSpan
	}
	family := familyOf(d.Subject)
	attrs := []attribute.KeyValue{
		attribute.String(AttrStage, b.options.Stage), attribute.Int(AttrAttempt, d.Attempt),
		attribute.String(attrSystem, "nats"), attribute.String(attrOperation, "process"), attribute.String(attrMessage, d.Cause),
		attribute.String(attrSubject, d.Subject), attribute.String(attrFamily, family), attribute.String(attrConsumer, d.work.label),
	}
	if d.Sender != "" {
		attrs = append(attrs, attribute.String(AttrSender, d.Sender))
	}
	if d.Subject == events.SubjectEventReceived {
		if id, ok := nostr.PeekID(d.Data); ok {
			attrs = append(attrs, attribute.String(AttrEvent, id))
		}
	}
	again := d.work.consumer.Stream == contract.StreamRetry
	return Begin(ctx, b.options.Traces, Job{
		Name: "process " + family, Kind: trace.SpanKindConsumer, Header: d.raw.Headers(),
		Apart: !again && (d.work.consumer.Apart || d.raw.Headers().Get(headerScheduler) != ""), Attributes: attrs,
	})
}

// end ends the span of a delivery with what became of it.
func (d *delivery) end(v contract.Verdict) {
	if d.span == noSpan {
		return
	}
	d.span.SetAttributes(attribute.String(AttrVerdict, v.String()))
	if !v.IsDone() {
		d.span.SetAttributes(attribute.String(AttrReason, shorten(v.Reason())))
		d.span.SetStatus(codes.Error, v.String())
	}
	d.span.End()
}

// familyOf is the subject with its key, if it has one, replaced by *.
func familyOf(subject string) string {
	_, pattern, _ := streamOf(subject)
	return cmp.Or(pattern, "unknown")
}
