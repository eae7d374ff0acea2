package syncing

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/deny"
	"github.com/relaymesh/relaymesh/internal/health"
	"github.com/relaymesh/relaymesh/internal/recent"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Stage is the handlers of syncworker and their ports. All fields are set
// before a handler is called; handlers may run many times at once.
type Stage struct {
	Authors stage.Store[contract.Author]
	Relays  stage.Store[contract.Relay]
	Links   stage.Store[contract.Link]
	Syncs   stage.Store[contract.Sync]
	// Relinked calls f with the key of every link that is made or removed, until ctx ends,
	// or with an error, after which some may have gone untold.
	Relinked func(ctx context.Context, f func(key string)) error
	Refused  Refused
	Net      reconcile.Relays

	// Deleted reports whether the local relay holds its author's word that an
	// event is to be gone (NIP-09, NIP-62).
	Deleted func(ctx context.Context, e *nostr.Event) (bool, error)
	// Denied is what the operator denies: hosts are not dialled, and what is
	// denied of events goes neither way. It may be nil.
	Denied *deny.Lists
	// Followed reports whether the local relay's users follow one of the authors,
	// so that their events prove a relay; nil: nobody is followed.
	Followed func(ctx context.Context, pubkeys []string) (bool, error)
	// Rules returns what is synced with a relay. It may change at any time.
	Rules func(url string) []Rule
	// Local is the URL of the relay that is to be made complete.
	Local string
	// Public are further URLs of Local, which are not synced with it.
	Public []string
	// Publish sends what was stored to ingest while a sync goes on.
	Publish func(ctx context.Context, out ...contract.Output) error

	// Observe is told what every sync came to, and how long the relay's
	// quickest answer took (0 if there was none). May be nil.
	Observe func(ctx context.Context, r events.SyncFinished, latency time.Duration)
	// Arrived is told of every event that came live and was offered to the local
	// relay, with its answer. May be nil.
	Arrived func(reply reconcile.Reply)

	// Survey looks beyond the relays that lists name.
	Survey Survey

	// MaxLive bounds the live subscriptions that this process holds; the relays
	// for which most evidence speaks have them.
	MaxLive int
	// Stopping is closed when the process is about to end.
	Stopping <-chan struct{}

	SyncEvery time.Duration // how often a relay is synced
	Now       func() time.Time
	Log       *slog.Logger

	begin   sync.Once
	flights singleFlight
	slots   syncSlots
	running running
	known   stage.Families
	live    liveSlots
	// recent are the ids that came last over all live subscriptions: an author's
	// note comes from every relay where they write, at about the same time.
	recent recent.Map[string, struct{}]
	// absent are, by relay key, until when relays are not in the middle of a group.
	absent recent.Map[string, time.Time]
	// cuts are, by relay key, the live subscriptions in a row that did not last.
	cuts recent.Map[string, health.State]
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
