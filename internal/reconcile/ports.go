package reconcile

import (
	"context"
	"errors"
	"iter"

	"github.com/relaymesh/relaymesh/internal/pager"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Relay is a relay, whatever the way to it: every transport is one, and so is
// every decorator of one (see [Through]). All methods may be called at once, for
// as long as the relay is of use: a connection that ends is made anew. Errors are
// those of this package and a context's; after [ErrInterrupted] the same may be
// tried again. What a transport cannot do is [errors.ErrUnsupported].
type Relay interface {
	// Open opens a NIP-77 session with a bridge's first message and returns the
	// answer, which is empty if the relay agrees. Sets are compared as they are
	// when the session is opened. The filter must have no limit.
	Open(ctx context.Context, filter nostr.Filter, first []byte) (Session, []byte, error)
	// Query yields the stored events that match any of the filters, newest first
	// for each, until the relay has sent them all; id and signature are verified,
	// the match is checked, see [WithUnread] and [WithHeld]. An error is the last item.
	Query(ctx context.Context, filters ...nostr.Filter) iter.Seq2[nostr.Event, error]
	// Publish writes an event and waits for the relay's answer. After an error it
	// is not known whether the relay has the event; it may be written again.
	Publish(ctx context.Context, e nostr.Event) (Reply, error)
	// Subscribe is Query that goes on, behind a mark, with what the relay receives
	// from then on, until an error. While the loop blocks the relay is not read,
	// until it gives the subscription up.
	Subscribe(ctx context.Context, filters ...nostr.Filter) iter.Seq2[Update, error]
	// Limits returns what the relay says of itself; it may have to be asked.
	Limits(ctx context.Context) Limits
}

// Relays are the relays of the world and the local one, by URL.
type Relays interface {
	// At returns the relay at a URL, without a connection yet. The error says
	// that it must not be talked to, or that what is known of it cannot be read.
	At(ctx context.Context, url string) (Relay, error)
}

// Session is an open NIP-77 session. Exchange sends a message and returns the
// answer, which is empty if nothing remains; Close may be called at any time,
// and again.
type Session interface {
	Exchange(ctx context.Context, msg []byte) ([]byte, error)
	Close()
}

// Update is one item of a live subscription: an event, or the mark that all
// stored ones have been delivered.
type Update struct {
	Event nostr.Event
	EOSE  bool
}

// Unread is an event that a relay delivers and that cannot be taken for one: it
// is too large, has too many tags, or is forged. Claim is as far as it could be
// read, and nothing of it is verified.
type Unread struct {
	Claim nostr.Event
	Why   string
}

type unreadKey struct{}

// WithUnread has each [Relay.Query] of the context tell of what it leaves out
// although it is asked for: the goroutine that ranges over the events calls tell.
func WithUnread(ctx context.Context, tell func(Unread)) context.Context {
	return context.WithValue(ctx, unreadKey{}, tell)
}

// TellUnread tells whoever has asked for it, if anybody has, see [WithUnread].
func TellUnread(ctx context.Context, u Unread) {
	if tell, ok := ctx.Value(unreadKey{}).(func(Unread)); ok {
		tell(u)
	}
}

type heldKey struct{}

// WithHeld has each [Relay.Query] of the context pass over the signatures of events that held reports: of
// those that are held here already only id and date are looked at, and the id, which is the hash of
// all but the signature, is checked all the same.
func WithHeld(ctx context.Context, held func(*nostr.Event) bool) context.Context {
	return context.WithValue(ctx, heldKey{}, held)
}

// Held returns what [WithHeld] was given, nil without it.
func Held(ctx context.Context) func(*nostr.Event) bool {
	held, _ := ctx.Value(heldKey{}).(func(*nostr.Event) bool)
	return held
}

// Limits are what a relay says of itself; 0 is unknown.
type Limits struct {
	// Accepts and Answers are the largest negentropy messages, in bytes before
	// hex, that it takes and makes; unknown is 60,000.
	Accepts, Answers int
	// Page is the largest limit of a REQ, in events, that it takes (max_limit of
	// NIP-11); unknown is [pager.Size].
	Page int
	// NoNegentropy says that it lists the NIPs that it supports, and NIP-77 is not among them.
	NoNegentropy bool
}

// PageSize is the limit of a page of events that the relay takes.
func (l Limits) PageSize() int {
	if l.Page <= 0 {
		return pager.Size
	}
	return min(l.Page, pager.Size)
}

// Side is one of the two relays of a sync.
type Side struct {
	Relay

	Name string // for errors, e.g. the URL
	// Listed says that its sessions are not to be believed: it is compared by
	// listing it from the start. An earlier sync has found so, see [Doubt].
	Listed bool
}

// Write publishes an event for a caller to whom a refusal is as bad as any other
// error: it is a [*RefusedError].
func Write(ctx context.Context, to Relay, e nostr.Event) error {
	reply, err := to.Publish(ctx, e)
	switch {
	case err != nil || reply.Kept():
		return err
	case reply.Outcome == Unanswered:
		return errors.New("no answer")
	}
	return NewRefusal(reply.Reason)
}
