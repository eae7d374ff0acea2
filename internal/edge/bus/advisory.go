package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// afterLookupFailure is the first wait when a message could not be read.
const afterLookupFailure = 10 * time.Second

// maxDeliveries is the server's advisory that it has given up on a message (the
// fields of io.nats.jetstream.advisory.v1.max_deliver that matter here).
type maxDeliveries struct {
	Stream     string `json:"stream"`
	Consumer   string `json:"consumer"`
	Sequence   uint64 `json:"stream_seq"`
	Deliveries int    `json:"deliveries"`
}

// deadLetterUnanswered makes a dead letter of a message that was delivered too
// often without any verdict, most likely because it kills its worker. JetStream
// would keep it for ever, and never deliver it again.
func (b *Bus) deadLetterUnanswered(ctx context.Context, m contract.Message) ([]contract.Output, contract.Verdict) {
	advisory, err := nostr.Decode[maxDeliveries](m.Data)
	if err != nil {
		return nil, contract.Reject(err.Error())
	}
	advisory.Stream = b.prefix.PlainName(advisory.Stream)
	if !b.owns(advisory) {
		return nil,
			contract.Reject(fmt.Sprintf("advisory on consumer %s of stream %s, which is not this stage's", advisory.Consumer, advisory.Stream))
	}
	stream, err := b.js.Stream(ctx, advisory.Stream)
	if err != nil {
		return nil, contract.Retry(afterLookupFailure, err.Error())
	}
	raw, err := stream.GetMsg(ctx, advisory.Sequence)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, contract.Done() // settled or replaced meanwhile, or a dead letter already
	}
	if err != nil {
		return nil, contract.Retry(afterLookupFailure, err.Error())
	}
	id := messageID(advisory.Stream, advisory.Sequence)
	lost := original(advisory.Stream, b.prefix.PlainSubject(raw.Subject), id, raw.Header, raw.Data)
	lost.Attempt += advisory.Deliveries
	reason := fmt.Sprintf("delivered %d times without an answer", advisory.Deliveries)
	if err := b.deadLetter(ctx, lost, id, history(advisory.Stream, raw.Header), reason); err != nil {
		return nil, contract.Retry(afterDLQFailure, err.Error())
	}
	err = stream.DeleteMsg(ctx, advisory.Sequence)
	if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, contract.Retry(afterLookupFailure, err.Error())
	}
	return nil, contract.Done()
}

// owns reports whether the advisory is on this stage's work: it names what
// will be deleted.
func (b *Bus) owns(a maxDeliveries) bool {
	for _, c := range contract.Consumers() {
		if c.Stream == a.Stream && c.Name == a.Consumer {
			return c.Stage == b.options.Stage && c.Stream != contract.StreamAdvisories
		}
	}
	return false
}
