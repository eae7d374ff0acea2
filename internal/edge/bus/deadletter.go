package bus

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// maxReason is how much of a reason goes into an acknowledgement and a log.
const maxReason = 512

// envelope is what a dead letter needs around its data, at most.
const envelope = 16 << 10

// deadLetter stores a message that its stage will not process; id, where the
// message is stored, makes a second attempt at the same dead letter harmless;
// before is the headerHistory that it came with.
func (b *Bus) deadLetter(ctx context.Context, m contract.Message, id, before, reason string) error {
	dead := contract.DeadLetter{
		Stage:    b.options.Stage,
		Subject:  m.Subject,
		Data:     m.Data,
		Reason:   shorten(reason),
		Attempts: m.Attempt,
		Time:     time.Now().Unix(),
	}
	if before != "" {
		dead.History, _ = nostr.Decode[[]contract.Failure]([]byte(before)) // what cannot be read is lost, the message is not
	}
	// Base64 makes four bytes of three: the largest messages do not fit.
	if fits := int(b.js.Conn().MaxPayload()-envelope) / 4 * 3; len(m.Data) > fits {
		dead.Data, dead.Size = m.Data[:fits], len(m.Data)
		dead.Reason += fmt.Sprintf(" (kept the first %d of %d bytes)", fits, len(m.Data))
	}
	subject := contract.DLQSubject(b.options.Stage)
	err := b.storeWithBackpressure(ctx, contract.StreamDLQ, func(ctx context.Context) error {
		_, err := b.js.Publish(ctx, subject, nostr.Encode(dead), jetstream.WithMsgID(id))
		return err
	})
	if err != nil {
		return fmt.Errorf("publish %s: %w", subject, err)
	}
	b.log.WarnContext(ctx, "dead letter", "subject", m.Subject, "reason", dead.Reason, "attempts", m.Attempt, "cause", m.Cause)
	b.metrics.deadLetters.WithLabelValues(b.options.Stage).Inc()
	return nil
}

func shorten(reason string) string {
	if len(reason) > maxReason {
		reason = strings.ToValidUTF8(reason[:maxReason], "") + "…"
	}
	return reason
}
