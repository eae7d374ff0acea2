package syncing

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	// overlap is how far behind the last sync a live subscription reads what is
	// stored: events reach a relay late, and clocks differ.
	overlap = 10 * time.Minute
	// saveEvery is how often the progress of a live subscription is written
	// down; it must be shorter than overlap.
	saveEvery = 5 * time.Minute
	// A REQ of 3 filters of 500 authors is within the 128 KiB that relays take,
	// and 4 of them leave slots of the connection for syncs. Who writes to a
	// relay with more authors than that is seen by its syncs alone.
	filtersPerREQ = 3
	maxREQs       = 4
	// writing is how many events of one subscription are written at a time.
	writing = 16
	// settle is how long after a link is made or gone a subscription follows, unless
	// others come or go, too: a list that is over takes many, and many join at once. It
	// follows after mostSettle at the latest.
	settle     = time.Second
	mostSettle = 10 * time.Second
)

// follow subscribes to what matches the filters of jobs, reads what was made after a
// time, less the overlap, and writes what comes to the local relay, or to those of a
// group. It ends with an error.
func (s *Stage) follow(ctx context.Context, url string, jobs []job, through int64, look <-chan struct{}) error {
	since := s.Now().Unix()
	if through > 0 {
		since = through
	}
	since -= int64(overlap.Seconds())
	ctx, leave := stage.UntilDenied(ctx, s.Denied, url)
	defer leave()
	remote, err := s.Net.At(ctx, url)
	if err != nil {
		return err
	}
	local, err := s.local(ctx)
	if err != nil {
		return err
	}
	known, err := s.recall(ctx, url)
	if err != nil {
		return err
	}
	var filters []nostr.Filter
	for _, j := range jobs {
		filters = append(filters, j.filter)
	}
	parts := slices.Collect(slices.Chunk(filters, filtersPerREQ))
	parts = parts[:min(len(parts), maxREQs)]
	var caughtUp atomic.Int64
	group, gctx := errgroup.WithContext(ctx)
	for _, part := range parts {
		group.Go(func() error {
			return s.subscribe(gctx, url, remote, part, since, func() { caughtUp.Add(1) }, func(ctx context.Context, e nostr.Event) error {
				home, others := s.takers(url, jobs, &e)
				s.forward(ctx, others, e)
				if !home {
					return nil
				}
				return s.receive(ctx, known, local, e)
			})
		})
	}
	group.Go(func() error {
		return s.attend(gctx, url, jobs, look, func() bool { return int(caughtUp.Load()) == len(parts) })
	})
	err = group.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// subscribe holds one subscription, and reads what is stored since a time when
// it is open. caughtUp is told when all of that was read. What the relay sends of
// its past before that, of which no relay that heeds limits sends more than one
// per filter, is that of the last sync.
func (s *Stage) subscribe(
	ctx context.Context, url string, remote reconcile.Relay, filters []nostr.Filter, since int64,
	caughtUp func(), receive func(context.Context, nostr.Event) error,
) error {
	writers, ctx := errgroup.WithContext(ctx)
	writers.SetLimit(writing)
	err := reconcile.Follow(ctx, remote, reconcile.Following{
		Filters: filters, Since: since, Takes: remote.Limits(ctx),
		Take: func(_ context.Context, e nostr.Event, first bool) error {
			if first {
				return nil
			}
			if _, known := s.recent.LoadOrStore(e.ID, struct{}{}); !known {
				// While all slots are taken the relay is not read.
				writers.Go(func() error { return receive(ctx, e) })
			}
			return nil
		},
		CaughtUp: func(ctx context.Context, _ time.Time, unreached string) error {
			if unreached == "" {
				caughtUp()
				return nil
			}
			s.Log.InfoContext(ctx, "a live subscription may lack stored events until the next sync",
				"relay", url, "reason", "the relay "+unreached)
			return nil
		},
	})
	if failed := writers.Wait(); failed != nil {
		return failed
	}
	return err
}

// receive writes an event that arrived live to the local relay. What our rules
// or a passing refusal keep back, the next sync decides on again.
func (s *Stage) receive(ctx context.Context, known *memory, local reconcile.Relay, e nostr.Event) error {
	reply, err := local.Publish(ctx, e)
	switch {
	case err != nil:
		s.recent.Delete(e.ID)
		return fmt.Errorf("%w: %w", errLocal, err)
	case reply.Reason.Cause == reconcile.ByRules:
		return nil
	}
	if id, err := negentropy.ParseID(e.ID); err == nil && !reply.Kept() && !reply.Reason.Passes() {
		known.add(ctx, reconcile.Refusal{ID: id, To: side(true), Reason: reply.Reason})
	}
	s.arrived(reply)
	return nil
}

// attend ends a subscription that must end, and writes its progress down. Where
// authors begin or stop to write there that is soon, see [Stage.WatchLinks].
func (s *Stage) attend(ctx context.Context, url string, jobs []job, others <-chan struct{}, caughtUp func() bool) error {
	save, look := time.NewTicker(saveEvery), time.NewTicker(s.SyncEvery)
	defer save.Stop()
	defer look.Stop()
	var settled <-chan time.Time
	var latest time.Time
	denied := s.Denied.Changed()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-s.Stopping:
			return errStopping
		case <-save.C:
			if !caughtUp() {
				continue
			}
			now := s.Now().Unix()
			_, err := s.Syncs.Update(ctx, nostr.RelayKey(url), func(old contract.Sync, found bool) (contract.Sync, bool) {
				old.Live = now
				return old, found
			})
			if err != nil {
				return err
			}
		case <-others:
			if settled == nil {
				latest = time.Now().Add(mostSettle)
			}
			settled = time.After(min(settle, time.Until(latest)))
		case <-settled:
			settled = nil
			if err := s.unchanged(ctx, url, jobs); err != nil {
				return err
			}
		case <-look.C:
			if err := s.unchanged(ctx, url, jobs); err != nil {
				return err
			}
		case <-denied:
			denied = s.Denied.Changed()
			if err := s.unchanged(ctx, url, jobs); err != nil {
				return err
			}
		}
	}
}

// WatchLinks has live subscriptions begin within seconds for authors who join a relay that
// is followed, and end for those whose lists are over, until ctx ends.
func (s *Stage) WatchLinks(ctx context.Context) {
	for {
		err := s.Relinked(ctx, func(key string) {
			s.live.look(func(relay string) bool { return slices.Contains(strings.Split(key, "."), relay) })
		})
		if ctx.Err() != nil {
			return
		}
		s.Log.DebugContext(ctx, "looks anew who is to be followed", "err", err, "wait", retryAfter)
		select {
		case <-time.After(retryAfter):
		case <-ctx.Done():
			return
		}
		s.live.look(func(string) bool { return true })
	}
}

// unchanged fails if something else is to be followed at a relay.
func (s *Stage) unchanged(ctx context.Context, url string, jobs []job) error {
	is, err := s.plan(ctx, url)
	if err == nil && !slices.EqualFunc(down(is.jobs), jobs, alike) {
		err = errChanged
	}
	return err
}
