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
	most        int          // sessions, of which one more is not opened, but [errSessions] returned; 0 is any
	divided     atomic.Bool  // it takes what is asked in parts alone: most does not count, or the last ones would never have their turn
}

// sessions returns for how many sessions a relay was asked, of which 20 pages are one.
func (l *latency) sessions() int { return l.with(0, 0) }

// with returns that of so many more sessions and pages.
func (l *latency) with(opened, pages int64) int {
	return int(l.opened.Load() + opened + (l.pages.Load()+pages+pagesOfASession-1)/pagesOfASession)
}

// full returns [errSessions] if so many more sessions and pages are more than there may be.
func (l *latency) full(opened, pages int64) error {
	if l.most > 0 && l.with(opened, pages) > l.most && !l.divided.Load() {
		return errSessions
	}
	return nil
}

// enough is [latency.full] of one more page, for [reconcile.Options]: a list is not given up between two, but ends there.
func (l *latency) enough() error { return l.full(0, 1) }

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
		switch page := q.Op == reconcile.OpQuery && !slices.ContainsFunc(q.Filters, func(f nostr.Filter) bool { return len(f.IDs) > 0 }); {
		case q.Op == reconcile.OpOpen:
			if err := quickest.full(1, 0); err != nil {
				return err
			}
		case page && quickest.opened.Load() > 0: // else it is a list
			if err := quickest.full(0, 1); err != nil {
				return err
			}
			fallthrough
		case page:
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
