package reconcile

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// What a relay's refusal of a session, or the end of one, amounts to.
var (
	// ErrNoNegentropy: the relay does not speak NIP-77, whatever it claims, or
	// not about this filter. It is listed by paged REQs instead.
	ErrNoNegentropy = errors.New("relay does not speak NIP-77")
	// ErrTooLarge: the relay reconciles no set as large as this one. The window
	// of time is cut in two.
	ErrTooLarge = errors.New("set too large for one negentropy session")
	// ErrInterrupted: a session or the connection ended; trying again, on a new
	// one, may help.
	ErrInterrupted = errors.New("interrupted")
)

// What ends a sync.
var (
	// ErrMisbehaving: a relay breaks the protocol or a bound.
	ErrMisbehaving = errors.New("relay misbehaves")
	// ErrUnproved: the relays still differ after as many passes as are made.
	ErrUnproved = errors.New("relays still differ")
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
	// Publish writes an event and waits for the relay's OK. refused is the
	// relay's reason if it said no; that it has the event already is success.
	Publish(ctx context.Context, e nostr.Event) (refused string, err error)
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

// sideError says which side an error is about.
type sideError struct {
	side int
	name string
	err  error
}

func (e *sideError) Error() string { return fmt.Sprintf("%s: %v", e.name, e.err) }
func (e *sideError) Unwrap() error { return e.err }

// FaultOf returns the side that an error of [Sync] is about; ok is false for an
// error that is about neither.
func FaultOf(err error) (side negentropy.Side, ok bool) {
	at := (*sideError)(nil)
	if !errors.As(err, &at) {
		return 0, false
	}
	return negentropy.Side(at.side), true
}
