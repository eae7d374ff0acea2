package bus

import (
	"strconv"
	"time"

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

// delivery is one delivery of a message, from pull to verdict. It belongs to the
// goroutine that handles it.
type delivery struct {
	contract.Message
	raw         jetstream.Msg
	work        *work
	batch       *batch
	id          string    // stream:sequence
	since       time.Time // when it was first stored, on any stream
	correlation string
	history     string // how it ended before, if it was a dead letter: headerHistory

	span    trace.Span
	verdict contract.Verdict
	failed  error // why the outputs could not be published

	// Of batch.mu:
	index int  // in batch.open
	alone bool // the turn is another goroutine's
	over  bool // its verdict has been carried out
}

func newDelivery(w *work, prefix contract.Prefix, raw jetstream.Msg) (*delivery, error) {
	meta, err := raw.Metadata()
	if err != nil {
		return nil, err
	}
	stream, headers := w.consumer.Stream, raw.Headers()
	id := messageID(stream, meta.Sequence.Stream)
	d := &delivery{raw: raw, work: w, id: id, span: noSpan}
	d.Message = original(stream, prefix.PlainSubject(raw.Subject()), id, headers, raw.Data())
	d.Attempt += int(meta.NumDelivered)
	d.since = since(stream, meta.Timestamp, headers)
	d.history = history(stream, headers)
	if d.correlation = headers.Get(headerCorrelation); d.correlation == "" || len(d.correlation) > maxCorrelation {
		d.correlation = d.Cause
	}
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
	if stream != contract.StreamRetry {
		return stored
	}
	if at, err := time.Parse(time.RFC3339, h.Get(headerSince)); err == nil {
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
