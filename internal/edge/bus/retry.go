package bus

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/relaymesh/relaymesh/pkg/events"
)

// scheduleRetry lets the message come back on the stage's RETRY subject. The
// schedule has no Nats-Msg-Id: doing it twice replaces the schedule, since the
// subject is derived from the message.
func (b *Bus) scheduleRetry(ctx context.Context, d *delivery, wait time.Duration) error {
	target := events.RetrySubject(b.options.Stage, d.Message)
	msg := &nats.Msg{Subject: events.PrefixSchedule + target, Data: d.Data, Header: nats.Header{
		headerSchedule: {"@at " + time.Now().Add(wait).UTC().Format(time.RFC3339)},
		headerTarget:   {target},

		headerSubject:     {d.Subject},
		headerAttempt:     {strconv.Itoa(d.Attempt)},
		headerCause:       {d.Cause},
		headerCorrelation: {d.message.Metadata.Get(headerCorrelation)},
		headerSender:      {d.Sender},
	}}
	if d.history != "" {
		msg.Header.Set(headerHistory, d.history)
	}
	if _, err := b.js.PublishMsg(ctx, msg); err != nil {
		return fmt.Errorf("publish %s: %w", msg.Subject, err)
	}
	return nil
}
