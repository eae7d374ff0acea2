package bus

import (
	"context"
	"strconv"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/trace"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/pkg/events"
)

// The headers of relaymesh. The first six describe the original of a message
// that waits on RETRY; anywhere else they are ignored, since anyone may set
// them.
const (
	headerSubject     = "Relaymesh-Subject"
	headerAttempt     = "Relaymesh-Attempt" // attempts so far
	headerCause       = "Relaymesh-Cause"
	headerHistory     = "Relaymesh-History"     // JSON of earlier [contract.Failure]s
	headerReason      = "Relaymesh-Reason"      // why it waits; nothing is decided by it
	headerSince       = "Relaymesh-Since"       // when it was first stored, RFC 3339
	headerCorrelation = "Relaymesh-Correlation" // passed on to outputs
	headerSender      = events.HeaderSender
)

const (
	maxCorrelation = 128
	maxSender      = 256
)

// delivery is one delivery of a message, from pull to verdict. Written by the
// router's goroutine until the watermill message is acked or nacked, then read
// by the subscriber's.
type delivery struct {
	contract.Message
	raw      jetstream.Msg
	message  *message.Message
	consumer contract.Consumer
	id       string    // stream:sequence
	since    time.Time // when it was first stored, on any stream
	history  string    // how it ended before, if it was a dead letter: headerHistory

	span    trace.Span
	verdict contract.Verdict
	failed  error // why the outputs could not be published
}

type deliveryKey struct{}

// deliveryOf returns the delivery that a handler's context belongs to.
func deliveryOf(ctx context.Context) *delivery {
	d, _ := ctx.Value(deliveryKey{}).(*delivery)
	return d
}

func newDelivery(ctx context.Context, c contract.Consumer, prefix contract.Prefix, raw jetstream.Msg) (*delivery, error) {
	meta, err := raw.Metadata()
	if err != nil {
		return nil, err
	}
	id := messageID(c.Stream, meta.Sequence.Stream)
	d := &delivery{raw: raw, consumer: c, id: id, span: noSpan}
	d.Message = original(c.Stream, prefix.PlainSubject(raw.Subject()), id, raw.Headers(), raw.Data())
	d.Attempt += int(meta.NumDelivered)
	d.since = since(c.Stream, meta.Timestamp, raw.Headers())
	d.history = history(c.Stream, raw.Headers())

	d.message = message.NewMessage(d.Cause, d.Data)
	if c := raw.Headers().Get(headerCorrelation); c != "" && len(c) <= maxCorrelation {
		d.message.Metadata.Set(headerCorrelation, c)
	} else {
		d.message.Metadata.Set(headerCorrelation, d.Cause)
	}
	d.message.SetContext(context.WithValue(ctx, deliveryKey{}, d))
	return d, nil
}

// original returns the message as its handler first saw it; Attempt counts the
// attempts before it was last stored. The cause of a message is where it is
// stored: unlike its Nats-Msg-Id, that tells two messages of equal content
// apart.
func original(stream, subject, id string, h nats.Header, data []byte) contract.Message {
	m := contract.Message{Subject: subject, Data: data, Cause: id}
	if sender := h.Get(headerSender); len(sender) <= maxSender {
		m.Sender = sender
	}
	if stream != contract.StreamRetry {
		return m
	}
	if s := h.Get(headerSubject); s != "" {
		m.Subject = s
	}
	if c := h.Get(headerCause); c != "" {
		m.Cause = c
	}
	if n, err := strconv.ParseUint(h.Get(headerAttempt), 10, 16); err == nil {
		m.Attempt = int(n)
	}
	return m
}

// since returns when a message was first stored, which now is since stored.
func since(stream string, stored time.Time, h nats.Header) time.Time {
	if at, err := time.Parse(time.RFC3339, h.Get(headerSince)); err == nil && stream == contract.StreamRetry {
		return at
	}
	return stored
}

// history returns the header of that name where it can be believed.
func history(stream string, h nats.Header) string {
	if stream != contract.StreamRetry {
		return ""
	}
	return h.Get(headerHistory)
}

func messageID(stream string, seq uint64) string { return stream + ":" + strconv.FormatUint(seq, 10) }
