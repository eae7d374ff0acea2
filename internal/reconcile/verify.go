package reconcile

import (
	"context"
	"errors"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	// idsPerProof is how many events one session proves: relays take 2,000 ids
	// in a filter, and messages of 64 KiB.
	idsPerProof = 500
	// idBytes is what an id takes in a filter.
	idBytes = 67
)

// proved is the last pass over a window of which little was transferred: each
// event written is asked for in sessions of their own. All else has just been
// found equal, and need not be read by the relays a second time.
//
// It returns the part of the window that is left to be settled: below the floor
// of the comparison, a side that shows only the newest part of its set may have
// more. ok is false if it takes another comparison of the whole to tell: then
// too much was written, or refused, or is not there.
func (r *run) proved(ctx context.Context, w window, f *findings) (older window, ok bool, err error) {
	if r.pass.whole || !f.floored || f.floor < w.since || w.until != 0 && f.floor >= w.until || f.floor >= r.start {
		return w, false, nil
	}
	group, ctx := errgroup.WithContext(ctx)
	var kept [2]bool
	for s, l := range r.sessions {
		group.Go(func() (err error) {
			kept[s], err = r.keeps(ctx, l, r.pass.written[s])
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return w, false, err
	}
	r.tally.add(func(f *Figures) { f.Passes++ })
	return window{w.since, f.floor, r.pass.number}, kept[0] && kept[1], nil
}

// keeps reports whether a side has all of the items.
func (r *run) keeps(ctx context.Context, l *session, items []negentropy.Item) (bool, error) {
	most := idsPerProof
	if l.takes.Accepts > 0 {
		most = max(1, min(most, 2*l.takes.Accepts/idBytes-10))
	}
	ask := r.proves
	if l.listed {
		most, ask = idsPerRequest, r.delivered
	}
	for chunk := range slices.Chunk(items, most) {
		filter := nostr.Filter{}
		for _, item := range chunk {
			filter.IDs = append(filter.IDs, item.ID.String())
		}
		slices.Sort(filter.IDs)
		if ok, err := ask(ctx, l, filter, chunk); !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

// proves compares what a side has of the filter's ids with all of them, in a
// session.
func (r *run) proves(ctx context.Context, l *session, filter nostr.Filter, items []negentropy.Item) (bool, error) {
	defer l.hangUp()
	bridge := negentropy.NewBridge(negentropy.BridgeOptions{
		A: l.options(filter), B: negentropy.SideOptions{Store: negentropy.NewVector(slices.Clone(items))},
		MaxMessages: 10 + len(items), MaxDifferences: len(items),
	})
	for {
		msg, ok := bridge.Next(negentropy.SideA)
		if !ok {
			break
		}
		r.count(msg)
		answer, err := l.exchange(ctx, filter, msg)
		switch {
		case errors.Is(err, ErrTooLarge), errors.Is(err, ErrNoNegentropy):
			return false, nil // about ids it may speak otherwise
		case err != nil:
			return false, err
		}
		r.count(answer)
		_ = bridge.Feed(negentropy.SideA, answer) // Proved is false then
	}
	return bridge.Proved(), nil
}

// delivered asks a side without sessions for the events themselves.
func (r *run) delivered(ctx context.Context, l *session, filter nostr.Filter, _ []negentropy.Item) (bool, error) {
	for {
		filter.Limit = min(len(filter.IDs), l.takes.PageSize())
		had := map[string]bool{}
		_, err := l.each(ctx, filter, func(e *nostr.Event) (more bool, err error) {
			had[e.ID] = true
			return true, nil
		})
		// Some cap what they send at a time.
		filter.IDs = slices.DeleteFunc(filter.IDs, func(id string) bool { return had[id] })
		if err != nil || len(filter.IDs) == 0 || len(had) == 0 {
			return err == nil && len(filter.IDs) == 0, err
		}
	}
}
