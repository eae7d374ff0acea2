package syncing

import (
	"context"

	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/negentropy"
)

// sides are the local relay and another one as the sides of a sync.
func (s *Stage) sides(ctx context.Context, url string, quickest *latency, from *authors) (local, remote reconcile.Side, err error) {
	home, err := s.local(ctx)
	if err != nil {
		return local, remote, err
	}
	other, err := s.Net.At(ctx, url)
	return reconcile.Side{Relay: delivered(home, from), Name: s.Local}, reconcile.Side{Relay: timed(other, quickest), Name: url}, err
}

// local returns the local relay, with what holds for every write to it.
func (s *Stage) local(ctx context.Context) (reconcile.Relay, error) {
	home, err := s.Net.At(ctx, s.Local)
	return s.ingestFirst(home), err
}

// syncJob makes the local relay complete for one filter, or the other relay, or
// both, and adds to the figures, also when it fails.
func (s *Stage) syncJob(ctx context.Context, local, remote reconcile.Side, j job, known *memory, result *events.SyncFinished) error {
	r, err := reconcile.Sync(ctx, local, remote, j.filter, reconcile.Options{
		Direction: j.direction,
		Denied:    s.Denied.Event,
		Refused: func(to negentropy.Side, id negentropy.ID) bool {
			return known.has(to, id) || s.Denied.ID(id.String())
		},
		Remember: func(r reconcile.Refusal) { known.add(ctx, r) },
		Now:      s.Now,
	})
	if j.direction&reconcile.Down != 0 {
		result.Missing += r.OnlyB
	}
	result.Stored += r.ToA
	result.Sent += r.ToB
	result.Refused += r.Refused + r.HeldBack
	result.Invalid += r.Undelivered
	result.Messages += r.Messages
	if r.Why != "" {
		result.Why = r.Why
	}
	return err
}
