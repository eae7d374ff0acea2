package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/contract"
)

const (
	// askWithin bounds the questions of [Bus.Unwritable].
	askWithin = 2 * time.Second
	// noSequence is one that no message of a stream has.
	noSequence = 1 << 62
)

// Unwritable says which of the streams that the stage reads take nothing more, by the
// server's own word, and which of them and of its buckets are gone; nil for none, and where it is away. A server elsewhere keeps the first
// error of a write, as on a disk that was full for a moment, until it is started again, and
// all else goes on: who only reads the stream would wait for ever. To delete a message that
// cannot be there changes nothing, and is answered by that error.
func (b *Bus) Unwritable() error {
	if !b.js.Conn().IsConnected() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), askWithin)
	defer cancel()
	asked := map[string]bool{contract.StreamAdvisories: true} // which the stage may not delete from
	var broken []error
	for _, c := range contract.Consumers() {
		if c.Stage != b.options.Stage || asked[c.Stream] {
			continue
		}
		asked[c.Stream] = true
		stream, err := b.js.Stream(ctx, c.Stream)
		if err != nil {
			broken = append(broken, gone(err, "stream "+c.Stream))
			continue
		}
		err = stream.DeleteMsg(ctx, noSequence)
		if errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) && !withoutMessage(err) {
			broken = append(broken, fmt.Errorf("stream %s takes nothing until its NATS server is started again: %w", c.Stream, err))
		}
	}
	for _, name := range contract.BucketsOf(b.options.Stage) {
		_, err := b.js.Stream(ctx, "KV_"+name)
		broken = append(broken, gone(err, "bucket "+name))
	}
	return errors.Join(broken...)
}

// gone tells of what is not there; other errors say nothing about it.
func gone(err error, what string) error {
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return fmt.Errorf("%s is gone: run relaymesh provision, which makes it again (%w)", what, err)
	}
	return nil
}

// withoutMessage reports whether the answer to a deletion is that there is no such message,
// or that nobody may delete any.
func withoutMessage(err error) bool {
	for _, words := range []string{"stream store EOF", "no message found", "not permitted"} {
		if strings.Contains(err.Error(), words) {
			return true
		}
	}
	return false
}
