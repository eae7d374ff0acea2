package reconcile

import (
	"context"

	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// suspiciousCount is how many events must have been read in a pass before a set
// may have been cut short: no relay shows fewer.
const suspiciousCount = 20

// settledAge is how old an event must be, in seconds, to prove anything: what
// is younger may have come between two looks.
const settledAge = 600

// truncated looks for sides whose sessions show the newest part of their set
// only, as relays with a cap on queries do without a word: such a side delivers
// what it lacks by its sessions. From then on it is compared by listing it.
//
// A side that is only read is asked in passes that have read something: whether
// it hides old events was found out when the first came.
func (r *run) truncated(ctx context.Context, f *findings) (found bool, err error) {
	for _, l := range r.sessions {
		idle := r.opts.Direction.writes(l.at.Other()) && !r.opts.Direction.writes(l.at) && r.pass.read[l.at].count == 0
		if l.listed || idle {
			continue
		}
		cut, err := r.delivers(ctx, l, f.suspects[l.at])
		if err != nil {
			return false, err
		}
		if cut {
			l.listed, l.list, found = true, nil, true
		}
	}
	return found, nil
}

// halves cuts a window after a pass that has read much: behind the oldest event
// that was read. A side that showed the newest part of its set shows the next
// part in the older half; for others it makes no difference, as another pass is
// due.
func (r *run) halves(w window) (newer, older window, ok bool) {
	cut := int64(0)
	for s := range r.sessions {
		if read := r.pass.read[s]; read.count >= suspiciousCount {
			cut = max(cut, read.oldest)
		}
	}
	if cut == 0 || cut < w.since || w.until != 0 && cut >= w.until {
		return w, w, false
	}
	return window{cut + 1, w.until, w.seen}, window{w.since, cut, w.seen}, true
}

// delivers reports whether a side has any of the events, and had it before.
func (r *run) delivers(ctx context.Context, l *session, ids []negentropy.ID) (bool, error) {
	if len(ids) == 0 {
		return false, nil
	}
	list := make([]string, len(ids))
	for i, id := range ids {
		list[i] = id.String()
	}
	e, err := r.first(ctx, l, nostr.Filter{IDs: list, Limit: len(list)}, func(e *nostr.Event) bool {
		return e.CreatedAt < r.start-settledAge && r.filter.Match(e)
	})
	return e != nil, err
}

// first returns the first event that a side delivers and want accepts, or nil.
func (r *run) first(ctx context.Context, l *session, filter nostr.Filter, want func(*nostr.Event) bool) (found *nostr.Event, err error) {
	err = l.again(ctx, func() error {
		ctx, cancel := l.inTime(ctx)
		defer cancel()
		found = nil
		for e, err := range l.Query(ctx, filter) {
			if err != nil {
				return timely(ctx, err)
			}
			if want(&e) {
				found = &e
				break
			}
		}
		return nil
	})
	return found, err
}
