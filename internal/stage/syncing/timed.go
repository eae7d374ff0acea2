package syncing

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// latency is the least time that a relay has taken for an answer, and how much it was asked.
type latency struct {
	nanoseconds atomic.Int64
	answered    atomic.Bool  // anything, a refusal too
	asked       func()       // is told of every question
	opened      atomic.Int64 // sessions of negentropy
	pages       atomic.Int64 // of REQs, without those for ids
	most        int          // sessions, after which none is opened any more, but [errSessions] returned; 0 is any
	divided     atomic.Bool  // it takes what is asked in parts alone: most does not count, or the last ones would never have their turn
}

// sessions returns for how many sessions a relay was asked, of which 20 pages are one.
func (l *latency) sessions() int {
	return int(l.opened.Load() + (l.pages.Load()+pagesOfASession-1)/pagesOfASession)
}

func (l *latency) least() time.Duration { return time.Duration(l.nanoseconds.Load()) }

// since notes an answer to what was asked at a time.
func (l *latency) since(asked time.Time) {
	took := int64(max(time.Since(asked), 1))
	if old := l.nanoseconds.Load(); old == 0 || took < old {
		l.nanoseconds.Store(took) // two at once are as good as each other
	}
}

// timed is a relay of which the quickest first answer of a session is noted.
func timed(r reconcile.Relay, quickest *latency) reconcile.Relay {
	return reconcile.Through(func(ctx context.Context, q *reconcile.Request, ask reconcile.Ask) error {
		asked := time.Now()
		quickest.asked()
		if q.Op == reconcile.OpOpen && quickest.most > 0 && quickest.sessions() >= quickest.most && !quickest.divided.Load() {
			return errSessions
		}
		if q.Op == reconcile.OpQuery && !slices.ContainsFunc(q.Filters, func(f nostr.Filter) bool { return len(f.IDs) > 0 }) {
			quickest.pages.Add(1)
		}
		err := ask(ctx, r)
		if errors.Is(err, reconcile.ErrTooLarge) {
			quickest.divided.Store(true)
		}
		if err == nil && q.Op != reconcile.OpLimits || reconcile.RefusalOf(err) != nil {
			quickest.answered.Store(true)
			if q.Op == reconcile.OpOpen && !errors.Is(err, reconcile.ErrNoNegentropy) {
				quickest.opened.Add(1)
			}
		}
		if q.Op == reconcile.OpOpen && err == nil {
			quickest.since(asked)
		}
		return err
	})
}
