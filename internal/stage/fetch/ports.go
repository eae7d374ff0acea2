package fetch

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/deny"
	"github.com/relaymesh/relaymesh/internal/hosts"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Relays are the relays of the world and the local one, by URL. What they give
// is verified and is what was asked for.
type Relays interface {
	reconcile.Relays

	// Find returns the event with that id, or nil if the relay answers that it
	// has none. It may ask for several callers at once.
	Find(ctx context.Context, url, id string) (*nostr.Event, error)
}

// Stage is the handler of fetcher and its ports. All exported fields are set
// before Handle is called, which may then run many times at once.
type Stage struct {
	Authors stage.Store[contract.Author]
	Links   stage.Store[contract.Link]
	Lost    stage.Store[contract.Lost]
	Net     Relays
	// Deleted reports whether the local relay holds its author's word that an
	// event is to be gone (NIP-09, NIP-62). It is not used without Local.
	Deleted func(ctx context.Context, e *nostr.Event) (bool, error)
	// Denied is what the operator denies: it is not looked for, not taken from a
	// relay and given to nobody, and denied hosts are not asked. It may be nil.
	Denied *deny.Lists
	// Resolve looks an author's list up on the DHT.
	Resolve func(ctx context.Context, r events.ResolveRequest) (events.ResolveResponse, error)

	// Proven reports whether a relay is more than a stranger's; nil: none is.
	Proven func(ctx context.Context, url string) bool

	// Local is the URL of the relay that lacks the note; without one, what is
	// found is written nowhere.
	Local        string
	AllowPrivate bool
	// LostFor is how long a note that nobody has is not looked for again.
	LostFor time.Duration
	// ThreadDepth and ThreadCount bound the events that a thread adds to a
	// note: how many references away, and how many in all.
	ThreadDepth, ThreadCount int
	Now                      func() time.Time
	Log                      *slog.Logger

	slots     hosts.Slots
	busiest   busiest
	begin     sync.Once
	searchCtx context.Context //nolint:containedctx // of the searches, which outlive those who asked for them
	stop      context.CancelFunc
	work      sync.WaitGroup
	mu        sync.Mutex
	searches  map[string]*search // by key of the note
	running   int                // searches, those included that are past their answer
	resolving silence            // of those who look lists up
}

// Close ends the searches that run and returns when they have ended. Call it
// when nothing calls Handle or Answer any more.
func (s *Stage) Close() {
	s.start()
	s.stop()
	s.work.Wait()
}

func (s *Stage) start() {
	s.begin.Do(func() {
		s.searchCtx, s.stop = context.WithCancel(context.Background())
		s.searches = map[string]*search{}
		s.slots.Size = searching
		s.resolving = newSilence()
	})
}
