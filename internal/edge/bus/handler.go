package bus

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/relaymesh/relaymesh/internal/contract"
)

// afterPanic is the first wait after a handler panicked.
const afterPanic = 10 * time.Second

// adapt makes a router's handler of a stage's. The router publishes what it
// returns and acks, or nacks if that fails; the verdict travels in the
// delivery, and the subscriber carries it out.
func (b *Bus) adapt(h contract.Handler) message.HandlerFunc {
	return func(in *message.Message) ([]*message.Message, error) {
		d := deliveryOf(in.Context())
		outputs, verdict := h(in.Context(), d.Message)
		d.verdict = verdict
		produced := make([]*message.Message, len(outputs))
		for i, out := range outputs {
			produced[i] = toWatermill(in, out)
		}
		return produced, nil
	}
}

// recoverPanic is a middleware that turns a panic into a retry; without it the
// router would nack, and the reason would be lost.
func (b *Bus) recoverPanic(next message.HandlerFunc) message.HandlerFunc {
	return func(in *message.Message) (_ []*message.Message, err error) {
		defer func() {
			if p := recover(); p != nil {
				d := deliveryOf(in.Context())
				b.log.ErrorContext(in.Context(), "handler panicked", "subject", d.Subject, "panic", p, "stack", string(debug.Stack()))
				d.verdict = contract.Retry(afterPanic, fmt.Sprintf("panic: %v", p))
			}
		}()
		return next(in)
	}
}

// trace is a middleware that puts the handler, and what it publishes, into a
// trace; the verdict ends the span.
func (b *Bus) trace(next message.HandlerFunc) message.HandlerFunc {
	return func(in *message.Message) ([]*message.Message, error) {
		d := deliveryOf(in.Context())
		var ctx context.Context
		ctx, d.span = b.begin(in.Context(), d)
		in.SetContext(ctx)
		return next(in)
	}
}

// observe is a middleware that measures how long handlers take.
func (b *Bus) observe(next message.HandlerFunc) message.HandlerFunc {
	return func(in *message.Message) ([]*message.Message, error) {
		start := time.Now()
		defer func() {
			b.metrics.seconds.WithLabelValues(b.options.Stage, label(deliveryOf(in.Context()).consumer)).Observe(time.Since(start).Seconds())
		}()
		return next(in)
	}
}

// dispatch handles a message that has waited on RETRY: by the handler of the
// consumer that it first came from.
func (b *Bus) dispatch(ctx context.Context, m contract.Message) ([]contract.Output, contract.Verdict) {
	for _, w := range b.work {
		for _, filter := range w.consumer.Filters {
			if matches(filter, m.Subject) {
				return w.handler(ctx, m)
			}
		}
	}
	return nil, contract.Reject("waited for a retry, but this stage handles no such subject")
}
