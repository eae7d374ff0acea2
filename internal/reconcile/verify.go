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
// event written is asked for in sessions of their own, and each that was refused
// of the side that had it. All else has just been found equal, and need not be
// read by the relays a second time.
//
// It returns the part of the window that is left to be settled: below the floor
// of the comparison, a side that shows only the newest part of its set may have
// more. refused is what still cannot be the same, or nil if it takes another
// comparison of the whole to tell: then too much was written, or refused, or is
// not there.
func (r *run) proved(ctx context.Context, w window, f *findings) (older window, refused *findings, err error) {
	if r.pass.whole || !f.floored || f.floor < w.since || w.until != 0 && f.floor >= w.until || f.floor >= r.start {
		return w, nil, nil
	}
	group, ctx := errgroup.WithContext(ctx)
	var kept [2]bool
	var stand [2]*findings
	for s, l := range r.sessions {
		group.Go(func() (err error) {
			if kept[s], err = r.claims(ctx, l, r.pass.hits[s]); kept[s] && err == nil {
				kept[s], err = r.keeps(ctx, l, r.pass.written[s])
			}
			if kept[s] && err == nil {
				stand[s], err = r.stands(ctx, l, r.pass.claims[s])
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return w, nil, err
	}
	r.tally.add(func(f *Figures) { f.Passes++ })
	if stand[0] == nil || stand[1] == nil {
		return w, nil, nil
	}
	return window{w.since, f.floor, r.pass.number}, stand[0].plus(stand[1]), nil
}

// chunk is how many events a side is asked about at a time.
func (l *session) chunk() int {
	switch {
	case l.listed:
		return idsPerRequest
	case l.takes.Accepts > 0:
		return max(1, min(idsPerProof, 2*l.takes.Accepts/idBytes-10))
	}
	return idsPerProof
}

// keeps reports whether a side has all of the items.
func (r *run) keeps(ctx context.Context, l *session, items []negentropy.Item) (bool, error) {
	for chunk := range slices.Chunk(items, l.chunk()) {
		filter := nostr.Filter{}
		for _, item := range chunk {
			filter.IDs = append(filter.IDs, item.ID.String())
		}
		slices.Sort(filter.IDs)
		var ok bool
		var err error
		if l.listed {
			var has map[string]bool
			has, err = r.delivered(ctx, l, filter)
			ok = len(has) == len(chunk)
		} else {
			bridge := negentropy.NewBridge(negentropy.BridgeOptions{
				A: l.options(filter), B: negentropy.SideOptions{Store: negentropy.NewVector(slices.Clone(chunk))},
				MaxMessages: 10 + len(chunk), MaxDifferences: len(chunk),
			})
			ok, err = r.ask(ctx, l, filter, bridge)
			ok = ok && bridge.Proved()
		}
		if !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

// stands returns the refusals of events that a side has still, or nil if it does
// not say.
func (r *run) stands(ctx context.Context, l *session, claims []Refusal) (*findings, error) {
	f := &findings{}
	for chunk := range slices.Chunk(claims, l.chunk()) {
		filter := nostr.Filter{}
		for _, refusal := range chunk {
			filter.IDs = append(filter.IDs, refusal.ID.String())
		}
		slices.Sort(filter.IDs)
		has, err := r.has(ctx, l, filter)
		if has == nil || err != nil {
			return nil, err
		}
		for _, refusal := range chunk {
			if has[refusal.ID.String()] {
				f.leave(refusal)
			}
		}
	}
	return f, nil
}

// has returns which of the filter's ids a side lists, or nil if it does not say.
func (r *run) has(ctx context.Context, l *session, filter nostr.Filter) (map[string]bool, error) {
	if l.listed {
		return r.delivered(ctx, l, filter)
	}
	return r.lists(ctx, l, filter, len(filter.IDs))
}

// lists returns the ids of at most so many events that a side lists of a filter in a
// session of its own, or nil if it does not say.
func (r *run) lists(ctx context.Context, l *session, filter nostr.Filter, most int) (map[string]bool, error) {
	has := map[string]bool{}
	ok, err := r.ask(ctx, l, filter, negentropy.NewBridge(negentropy.BridgeOptions{
		A: l.options(filter), B: negentropy.SideOptions{Store: negentropy.NewVector(nil)},
		OnlyA:       func(id negentropy.ID) { has[id.String()] = true },
		MaxMessages: 10 + most, MaxDifferences: most,
	}))
	if !ok || err != nil {
		return nil, err
	}
	return has, nil
}

// ask compares what a side has of the filter's ids with a set of ours, in a
// session. It is false if the side does not answer as it should.
func (r *run) ask(ctx context.Context, l *session, filter nostr.Filter, bridge *negentropy.Bridge) (bool, error) {
	defer l.hangUp()
	for {
		msg, ok := bridge.Next(negentropy.SideA)
		if !ok {
			return bridge.Err() == nil, nil
		}
		answer, err := r.exchange(ctx, l, filter, msg)
		switch {
		case errors.Is(err, ErrTooLarge), errors.Is(err, ErrNoNegentropy):
			return false, nil // about ids it may speak otherwise
		case err != nil:
			return false, err
		}
		_ = bridge.Feed(negentropy.SideA, answer) // Err says it
	}
}

// delivered asks a side without sessions for the events themselves, and returns
// the ids of those that come, readable or not.
func (r *run) delivered(ctx context.Context, l *session, filter nostr.Filter) (map[string]bool, error) {
	has := map[string]bool{}
	ctx = WithUnread(ctx, func(u Unread) {
		if slices.Contains(filter.IDs, u.Claim.ID) {
			has[u.Claim.ID] = true
		}
	})
	for {
		before := len(has)
		filter.Limit = min(len(filter.IDs), l.takes.PageSize())
		_, err := l.each(ctx, filter, func(e *nostr.Event) (more bool, err error) {
			has[e.ID] = true
			return true, nil
		})
		// Some cap what they send at a time.
		filter.IDs = slices.DeleteFunc(filter.IDs, func(id string) bool { return has[id] })
		if err != nil || len(filter.IDs) == 0 || len(has) == before {
			return has, err
		}
	}
}
