package contract

import (
	"context"
	"time"
)

// Message is what a stage is given: the subject on which it was published, its
// body, and which attempt this is, counting from 1 over redeliveries and
// scheduled retries alike. What was a dead letter begins at 2: its handler may
// have run before.
type Message struct {
	Subject string
	Data    []byte
	Attempt int
	// Cause identifies the message: it stays the same when it is delivered
	// again and differs between two messages of equal content.
	Cause string
	// Sender is who published it, as it claims ([Output]); "" if it does
	// not say.
	Sender string
	// Prepared is what a [Preparer] has found, for the handler; nil for a message
	// that none has seen.
	Prepared any
}

// Key returns the last token of the subject: the key of a keyed subject.
func (m Message) Key() string { return lastToken(m.Subject) }

// Output is one message that a handler wants published. Data is sent as it is.
type Output struct {
	Subject string
	Data    []byte
	// ID is the Nats-Msg-Id. Where it is empty the bus derives it from stage,
	// subject and content, so that a handler that runs twice on the same input
	// publishes once. Messages for the intake have none, see [Intake].
	ID string
	// Sender names who hands the message over where that is not the stage
	// itself: it keeps the events of one source apart from those of others.
	Sender string
	// Cron makes the output a recurring schedule that publishes Data to
	// Subject (a six-field expression in UTC, see [Cron]); it replaces the
	// schedule that Subject had before. [CronNever] removes that.
	Cron string
}

// CronNever in place of a cron expression is no schedule at all.
const CronNever = "never"

// Verdict is a stage's answer to a message; the zero value is Done.
type Verdict struct {
	kind   verdictKind
	after  time.Duration
	reason string
}

type verdictKind int

const (
	done verdictKind = iota
	retry
	reject
)

// Done says that all effects of the message are durable.
func Done() Verdict { return Verdict{} }

// Retry says that the message may succeed later; after is the least wait, to
// which the bus adds growth by attempt, and jitter.
func Retry(after time.Duration, why string) Verdict {
	return Verdict{kind: retry, after: after, reason: why}
}

// Reject says that the message can never succeed; it becomes a dead letter.
func Reject(why string) Verdict { return Verdict{kind: reject, reason: why} }

// IsDone reports whether the verdict is Done.
func (v Verdict) IsDone() bool { return v.kind == done }

// RetryAfter returns the wait of a Retry, and whether it is one.
func (v Verdict) RetryAfter() (time.Duration, bool) { return v.after, v.kind == retry }

// IsReject reports whether the verdict is Reject.
func (v Verdict) IsReject() bool { return v.kind == reject }

// Reason is why the message was not done, for logs and dead letters.
func (v Verdict) Reason() string { return v.reason }

// String names the verdict: "done", "retry" or "reject".
func (v Verdict) String() string { return [...]string{"done", "retry", "reject"}[v.kind] }

// Handler is a stage's function for one consumer. The outputs are published
// and acknowledged by JetStream before the verdict is carried out, whatever
// the verdict is. A handler may run more than once on the same message and at
// the same time as on others: everything it does must be idempotent. The
// context lives until the handler returns, past the start of a shutdown.
type Handler func(ctx context.Context, m Message) ([]Output, Verdict)

// Preparer does for messages that came together what is cheaper than for each
// alone, and leaves what it found in their field Prepared. It waits for nothing
// outside of the process. The handler must manage without: a message that comes
// back after a long wait was not prepared, nor is any together with which a
// Preparer panicked.
type Preparer func(ms []*Message)

type waitsKey struct{}

// Waits is called, with its context, by a handler or what it uses, before it waits
// for something outside of the process: messages that came together are handled one
// after the other until one of them waits. It may be called often, and at the
// same time.
func Waits(ctx context.Context) {
	if tell, ok := ctx.Value(waitsKey{}).(func()); ok {
		tell()
	}
}

// WithWaits returns a context with which [Waits] calls tell.
func WithWaits(ctx context.Context, tell func()) context.Context {
	return context.WithValue(ctx, waitsKey{}, tell)
}
