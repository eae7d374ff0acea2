package bus

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
)

// afterPanic is the first wait after a handler panicked.
const afterPanic = 10 * time.Second

// handle takes a message from its handler to what becomes of it.
func (b *Bus) handle(ctx context.Context, d *delivery) {
	ctx, d.span = b.begin(contract.WithWaits(ctx, d.wait), d)
	outputs := b.run(ctx, d)
	if len(outputs) > 0 {
		d.wait()
		d.failed = b.publishAll(ctx, d.correlation, outputs)
	}
	b.settle(ctx, d)
}

// run runs the handler. A panic of it is a retry.
func (b *Bus) run(ctx context.Context, d *delivery) (outputs []contract.Output) {
	start := time.Now()
	defer func() {
		b.metrics.seconds.WithLabelValues(b.options.Stage, d.work.label).Observe(time.Since(start).Seconds())
		if p := recover(); p != nil {
			b.log.ErrorContext(ctx, "handler panicked", "subject", d.Subject, "panic", p, "stack", string(debug.Stack()))
			outputs, d.verdict = nil, contract.Retry(afterPanic, fmt.Sprintf("panic: %v", p))
		}
	}()
	outputs, d.verdict = d.work.handler(ctx, d.Message)
	return outputs
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
