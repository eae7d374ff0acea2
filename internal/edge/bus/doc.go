// Package bus connects the stages to NATS JetStream.
//
// A stage's handler is a function of a message that returns what to publish
// and one verdict (package contract). The bus pulls messages, runs the handler
// through a watermill router, publishes the outputs and waits until JetStream
// has them, and only then carries out the verdict:
//
//   - Done: ack.
//   - Retry: back later, after a wait that grows with each attempt. Up to a
//     minute that is a negative ack with a delay; a longer wait is a message
//     schedule on the RETRY stream and an ack, so that waiting messages
//     occupy no slot of the consumer and do not count as work.
//   - Reject, or a retry too many: a dead letter, then the message is
//     terminated.
//
// A message of watermill is a batch. For most consumers that is one message of NATS;
// the many small ones of the intake come as they arrive together ([Bus.HandleTogether]).
// One goroutine handles them one after the other, until one waits for something:
// then another goroutine goes on with the rest. Each has its own verdict, attempts
// and trace, as if it had come alone.
//
// Delivery is at least once. Outputs first, ack last, content-derived
// message ids and idempotent handlers give every message exactly one effect.
// What the bus does not give is order: messages of one consumer run at the
// same time.
//
// Streams, consumers, buckets and schedules are made by [Provision] alone;
// workers only bind to them.
package bus
