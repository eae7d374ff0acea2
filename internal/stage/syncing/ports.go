package syncing

import (
	"context"
	"iter"
	"log/slog"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/recent"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Relays are the relays of the world and the local one, by URL. What errors mean
// says [reconcile.Relay].
type Relays interface {
	// Query yields the stored events that match, newest first, until the
	// relay has sent them all; id and signature are verified, the match is
	// checked. An error ends it and is worth a retry.
	Query(ctx context.Context, url string, filter nostr.Filter) iter.Seq2[nostr.Event, error]
	// Publish writes an event and waits for the relay's answer.
	Publish(ctx context.Context, url string, e nostr.Event) (reconcile.Reply, error)
	// Subscribe yields the stored events that match any of the filters, a mark
	// that all were sent, and then what the relay receives, until an error. While
	// the loop blocks the relay is not read, until it gives the subscription up.
	Subscribe(ctx context.Context, url string, filters ...nostr.Filter) iter.Seq2[Update, error]
	// Negentropy opens a NIP-77 session with the initiator's first message
	// and returns the answer. The error is ErrNoNegentropy if the relay
	// refuses such sessions.
	Negentropy(ctx context.Context, url string, filter nostr.Filter, first []byte) (Session, []byte, error)
	// Accepts returns the largest negentropy message that the relay says it
	// takes, in bytes before hex, and 0 if it says nothing.
	Accepts(ctx context.Context, url string) int
}

// Update is one item of a live subscription: an event, or the mark.
type Update struct {
	Event nostr.Event
	EOSE  bool
}

// Session is an open NIP-77 session.
type Session = reconcile.Session

// Stage is the handlers of syncworker and their ports. All fields are set
// before a handler is called; handlers may run many times at once.
type Stage struct {
	Relays  stage.Store[contract.Relay]
	Links   stage.Store[contract.Link]
	Syncs   stage.Store[contract.Sync]
	Refused Refused
	Net     Relays

	// Deleted reports whether the local relay holds its author's word that an
	// event is to be gone (NIP-09, NIP-62).
	Deleted func(ctx context.Context, e *nostr.Event) (bool, error)
	// Rules returns what is synced with a relay. It may change at any time.
	Rules func(url string) []Rule
	// Local is the URL of the relay that is to be made complete.
	Local string
	// Publish sends what was stored to ingest while a sync goes on.
	Publish func(ctx context.Context, out ...contract.Output) error

	// Observe is told what every sync came to, and how long the relay's
	// quickest answer took (0 if there was none). May be nil.
	Observe func(ctx context.Context, r events.SyncFinished, latency time.Duration)
	// Arrived is told of every event that came live and was offered to the local
	// relay, with its answer. May be nil.
	Arrived func(reply reconcile.Reply)

	// MaxLive bounds the live subscriptions that this process holds; the relays
	// where most authors write have them.
	MaxLive int
	// Stopping is closed when the process is about to end.
	Stopping <-chan struct{}

	SyncEvery time.Duration // how often a relay is synced
	Now       func() time.Time
	Log       *slog.Logger

	flights    singleFlight
	slowRelays slowSlots
	live       liveSlots
	// recent are the ids that came last over all live subscriptions: an author's
	// note comes from every relay where they write, at about the same time.
	recent recent.Map[string, struct{}]
}

// Live is how many live subscriptions this process holds.
func (s *Stage) Live() int { return s.live.count() }

func (s *Stage) arrived(reply reconcile.Reply) {
	if s.Arrived != nil {
		s.Arrived(reply)
	}
}

func (s *Stage) observe(ctx context.Context, r events.SyncFinished, latency time.Duration) {
	if s.Observe != nil {
		s.Observe(ctx, r, latency)
	}
}
