package bus

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/relaymesh/relaymesh/internal/contract"
)

// scheduleRetry lets the message come back on the stage's RETRY subject. The
// schedule has no Nats-Msg-Id: doing it twice replaces the schedule, since the
// subject is derived from the message.
func (b *Bus) scheduleRetry(ctx context.Context, d *delivery, wait time.Duration, reason string) error {
	target := contract.RetrySubject(b.options.Stage, d.Message)
	msg := &nats.Msg{Subject: contract.PrefixSchedule + target, Data: d.Data, Header: nats.Header{
		headerSchedule: {"@at " + time.Now().Add(wait).UTC().Format(time.RFC3339)},
		headerTarget:   {target},

		headerSubject:     {d.Subject},
		headerAttempt:     {strconv.Itoa(d.Attempt)},
		headerCause:       {d.Cause},
		headerCorrelation: {d.correlation},
		headerSender:      {d.Sender},
		headerSince:       {d.since.UTC().Format(time.RFC3339)},
		headerReason:      {oneLine(shorten(reason))},
	}}
	Inject(ctx, msg.Header)
	if d.history != "" {
		msg.Header.Set(headerHistory, d.history)
	}
	stream, _, _ := streamOf(target)
	if err := b.look(ctx, stream); err != nil {
		return err
	}
	return b.storeWithBackpressure(ctx, stream.Name, func(ctx context.Context) error {
		if _, err := b.js.PublishMsg(ctx, msg); err != nil {
			return fmt.Errorf("publish %s: %w", msg.Subject, err)
		}
		return nil
	})
}

// oneLine makes a text fit for a header.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, s)
}

// WaitsBecause tells of the headers of a message on RETRY which subject it had
// and why it waits; "" if it does not say.
func WaitsBecause(h nats.Header) (subject, reason string) {
	return h.Get(headerSubject), h.Get(headerReason)
}
