package reconcile

import (
	"context"
	"errors"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Write publishes an event for a caller to whom a refusal is as bad as any other
// error: it is a [*RefusedError].
func Write(ctx context.Context, to interface {
	Publish(ctx context.Context, e nostr.Event) (Reply, error)
}, e nostr.Event,
) error {
	reply, err := to.Publish(ctx, e)
	switch {
	case err != nil || reply.Kept():
		return err
	case reply.Outcome == Unanswered:
		return errors.New("no answer")
	}
	return NewRefusal(reply.Reason)
}
