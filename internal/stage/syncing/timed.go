package syncing

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/relaymesh/relaymesh/internal/reconcile"
)

// latency is the least time that a relay has taken for an answer.
type latency struct {
	nanoseconds atomic.Int64
	answered    atomic.Bool // anything, a refusal too
	asked       func()      // is told of every question
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
		err := ask(ctx, r)
		if err == nil && q.Op != reconcile.OpLimits || reconcile.RefusalOf(err) != nil {
			quickest.answered.Store(true)
		}
		if q.Op == reconcile.OpOpen && err == nil {
			quickest.since(asked)
		}
		return err
	})
}
