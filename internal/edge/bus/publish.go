package bus

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/relaymesh/relaymesh/internal/contract"
)

// publishers is how many outputs of one message are published at a time.
const publishers = 16

// Publish publishes outputs and returns when JetStream has stored all of them.
// Their order is not kept. After an error some may be stored; publishing the
// same again within the deduplication window stores nothing twice, but on the
// subjects of the intake.
func (b *Bus) Publish(ctx context.Context, outputs ...contract.Output) error {
	return b.publishAll(ctx, "", outputs)
}

func (b *Bus) publishAll(ctx context.Context, correlation string, outputs []contract.Output) error {
	if len(outputs) == 1 { // most often, and not worth a goroutine
		return b.publishOne(ctx, correlation, outputs[0])
	}
	var group errgroup.Group
	group.SetLimit(publishers)
	for _, out := range outputs {
		group.Go(func() error { return b.publishOne(ctx, correlation, out) })
	}
	return group.Wait()
}

func (b *Bus) publishOne(ctx context.Context, correlation string, out contract.Output) error {
	if out.Cron != "" {
		return b.publishWithBackpressure(ctx, contract.PrefixSchedule+out.Subject,
			func(ctx context.Context) error { return b.schedule(ctx, out) })
	}
	msg := nats.NewMsg(out.Subject)
	msg.Data = out.Data
	if correlation != "" {
		msg.Header.Set(headerCorrelation, correlation)
	}
	msg.Header.Set(headerSender, cmp.Or(out.Sender, b.options.Stage))
	Inject(ctx, msg.Header)
	if !contract.Intake(out.Subject) {
		id := out.ID
		if id == "" {
			id = contentID(b.options.Stage, out.Subject, out.Data)
		}
		msg.Header.Set(jetstream.MsgIDHeader, id)
	}
	return b.publishWithBackpressure(ctx, out.Subject, func(ctx context.Context) error {
		err := b.store(ctx, msg)
		if errors.Is(err, nats.ErrMaxPayload) && contract.Intake(out.Subject) {
			b.metrics.tooLarge.WithLabelValues(b.options.Stage).Inc()
			b.log.WarnContext(ctx, tooLarge, "subject", out.Subject, "err", TooLarge(b.js.Conn(), len(out.Data)))
			return nil
		}
		if err != nil && !alreadyQueued(err) {
			return fmt.Errorf("publish %s: %w", out.Subject, err)
		}
		return nil
	})
}

// tooLarge is told of an event that the server would never take: who tails, or reads
// lines, would try it again for ever and come no further.
const tooLarge = "an event is left out: it is larger than what NATS takes"

// TooLarge says why a message of so many bytes is not taken, and what to do.
func TooLarge(nc *nats.Conn, size int) error {
	return fmt.Errorf("%d bytes, and the server's max_payload is %d: set it to 1MB, as relaymesh's own server has it", size, nc.MaxPayload())
}

// betweenTries is how long to wait for a stream that has no leader now, or is
// not done with the same message of another publisher.
const betweenTries = 100 * time.Millisecond

// store publishes until the stream has a leader that took or refused the
// message, or ctx ends.
func (b *Bus) store(ctx context.Context, msg *nats.Msg) error {
	for {
		_, err := b.js.PublishMsg(ctx, msg)
		if !errors.Is(err, jetstream.ErrNoStreamResponse) && !inProcess(err) {
			return err
		}
		select {
		case <-time.After(betweenTries):
		case <-ctx.Done():
			return err
		}
	}
}

// inProcess reports whether a replicated stream is about to store a message
// with that id, but has not agreed on it yet: it may still fail.
func inProcess(err error) bool {
	const duplicateInProcess jetstream.ErrorCode = 10158
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == duplicateInProcess
}

// contentID is the Nats-Msg-Id of an output that names none: the same content from the same
// stage is the same message.
func contentID(stage, subject string, data []byte) string {
	h := sha256.New()
	for _, s := range []string{stage, subject} {
		h.Write([]byte(s))
		h.Write([]byte{0})
	}
	h.Write(data)
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// alreadyQueued reports whether a stream that keeps one message per subject
// has one. The error code alone also means a full or broken stream.
func alreadyQueued(err error) bool {
	const storeFailed jetstream.ErrorCode = 10077
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == storeFailed &&
		strings.Contains(api.Description, "messages per subject")
}

// hopeless reports whether publishing can never succeed.
func hopeless(err error) bool {
	return errors.Is(err, nats.ErrMaxPayload) || errors.Is(err, nats.ErrBadSubject)
}
