package reconcile

import (
	"context"
	"iter"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Relay is what a sync needs of a relay. All methods may be called at once.
// Their errors end the sync, except those above and [ErrInterrupted], after
// which the same is tried again a few times.
type Relay interface {
	// Open opens a NIP-77 session with a bridge's first message and returns
	// the answer, which is empty if the relay agrees. Sets are compared as they
	// are when the session is opened.
	Open(ctx context.Context, filter nostr.Filter, first []byte) (Session, []byte, error)
	// Query yields the stored events that match, newest first, until the relay
	// has sent them all; id and signature are verified, the match is checked.
	Query(ctx context.Context, filter nostr.Filter) iter.Seq2[nostr.Event, error]
	// Publish writes an event and waits for the relay's answer. It may be called
	// again with the same event.
	Publish(ctx context.Context, e nostr.Event) (Reply, error)
}

// Session is an open NIP-77 session. Exchange sends a message and returns the
// answer; Close may be called at any time.
type Session interface {
	Exchange(ctx context.Context, msg []byte) ([]byte, error)
	Close()
}

// Side is one of the two relays of a sync.
type Side struct {
	Relay

	Name string // for errors, e.g. the URL
	// Accepts and Answers are the largest negentropy messages, in bytes before
	// hex, that the relay takes and makes; 0 is unknown (60,000).
	Accepts, Answers int
}
