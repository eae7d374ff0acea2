package syncing

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/relaymesh/relaymesh/internal/reconcile"
)

const (
	// maxDelivered is of how many authors a sync remembers that it stored events.
	maxDelivered = 256
	// deliveredEvery is how often it is written down that a relay delivers.
	deliveredEvery = 24 * time.Hour
)

// authors are those of whom a relay has delivered events that the local relay
// lacked. It is safe for concurrent use.
type authors struct {
	mu   sync.Mutex
	keys []string
}

func (a *authors) add(pubkey string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.keys) < maxDelivered && !slices.Contains(a.keys, pubkey) {
		a.keys = append(a.keys, pubkey)
	}
}

// delivered is the local relay of which it is noted whose events it takes.
func delivered(local reconcile.Relay, from *authors) reconcile.Relay {
	return reconcile.Through(func(ctx context.Context, q *reconcile.Request, ask reconcile.Ask) error {
		err := ask(ctx, local)
		if q.Op == reconcile.OpPublish && err == nil && q.Reply.Kept() {
			from.add(q.Event.PubKey)
		}
		return err
	})
}

// followed reports whether our users follow one of the authors. Keys are free, so
// the events of others prove nothing.
func (s *Stage) followed(ctx context.Context, from *authors) bool {
	if s.Followed == nil || len(from.keys) == 0 {
		return false
	}
	is, err := s.Followed(ctx, from.keys)
	if err != nil {
		s.Log.DebugContext(ctx, "couldn't ask whom our users follow", "err", err)
	}
	return is
}
