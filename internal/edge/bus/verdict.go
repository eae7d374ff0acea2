package bus

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/relaymesh/relaymesh/internal/backoff"
	"github.com/relaymesh/relaymesh/internal/contract"
)

const (
	// longestNak is the longest wait as a delayed negative ack, which keeps
	// its slot of the consumer; longer ones are schedules.
	longestNak  = time.Minute
	longestWait = time.Hour
	// shortestWait keeps Retry(0) from spinning.
	shortestWait = time.Second
	// afterPublishFailure is the first wait when outputs were not stored.
	afterPublishFailure = 5 * time.Second
	// afterDLQFailure is the wait when a dead letter was not stored.
	afterDLQFailure = 30 * time.Second
)

type outcome int

const (
	ack            outcome = iota
	toDLQ                  // dead letter
	delayedNak             // delayed negative ack
	scheduledRetry         // schedule on RETRY
)

// decide says what becomes of a message after an attempt, counting from 1, at some
// age. jitter is in [0,1). Deliveries count as attempts though no wait came
// between them: of workers that died, or whose acknowledgement was lost. So the
// age bounds the wait, too; waits that double and spread are about as long as all
// before them together.
func decide(v contract.Verdict, attempt int, age time.Duration, jitter float64) (f outcome, wait time.Duration, reason string) {
	after, retry := v.RetryAfter()
	switch {
	case v.IsDone():
		return ack, 0, ""
	case !retry:
		return toDLQ, 0, v.Reason()
	case attempt >= contract.MaxAttempts:
		return toDLQ, 0, fmt.Sprintf("gave up after %d attempts: %s", attempt, v.Reason())
	}
	first := min(max(after, shortestWait), longestWait)
	wait = backoff.Backoff{First: first, Most: longestWait}.Wait(attempt, jitter)
	wait = min(wait, (first+max(age, 0))*3/2)
	if wait > longestNak {
		return scheduledRetry, wait, v.Reason()
	}
	return delayedNak, wait, v.Reason()
}

// settle carries out the verdict on a message whose outputs are stored, or
// retries it if they are not; handled is the context that its handler had.
func (b *Bus) settle(handled context.Context, d *delivery) {
	ctx := context.WithoutCancel(handled)
	verdict := d.verdict
	switch {
	case d.failed != nil && hopeless(d.failed):
		verdict = contract.Reject(d.failed.Error())
	case d.failed != nil:
		verdict = contract.Retry(afterPublishFailure, d.failed.Error())
	}
	b.metrics.handled.WithLabelValues(b.options.Stage, d.work.label, verdict.String()).Inc()
	defer d.end(verdict)

	_, retry := verdict.RetryAfter()
	switch {
	case retry && handled.Err() != nil, errors.Is(d.failed, errStopping):
		// Cut short by a shutdown, which is no fault of the message.
		b.report(ctx, d, d.raw.Nak())
		return
	case full(d.failed):
		b.putOff(ctx, d)
		return
	}
	if !verdict.IsDone() {
		d.wait()
	}
	f, wait, reason := decide(verdict, d.Attempt, time.Since(d.since), rand.Float64())
	if f == scheduledRetry {
		if err := b.scheduleRetry(ctx, d, wait, reason); err != nil {
			b.log.WarnContext(ctx, "could not schedule a retry, waiting for a minute", "subject", d.Subject, "err", err)
			f, wait = delayedNak, longestNak
		}
	}
	if f == toDLQ {
		if err := b.deadLetter(ctx, d.Message, d.id, d.history, reason); err != nil {
			b.log.ErrorContext(ctx, "could not store a dead letter, trying again", "subject", d.Subject, "err", err)
			f, wait = delayedNak, afterDLQFailure
		}
	}
	switch f {
	case ack, scheduledRetry:
		b.report(ctx, d, d.raw.Ack())
	case delayedNak:
		b.log.DebugContext(ctx, "retry", "subject", d.Subject, "attempt", d.Attempt, "wait", wait, "reason", reason)
		b.report(ctx, d, d.raw.NakWithDelay(wait))
	case toDLQ:
		b.report(ctx, d, d.raw.TermWithReason(shorten(reason)))
	}
}

// report logs an acknowledgement that could not be sent: the message comes
// again after AckWait, and its handler is idempotent.
func (b *Bus) report(ctx context.Context, d *delivery, err error) {
	if err != nil {
		b.log.WarnContext(ctx, "could not acknowledge a message", "subject", d.Subject, "err", err)
	}
}
