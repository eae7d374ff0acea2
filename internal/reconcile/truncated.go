package reconcile

import (
	"context"
	"slices"

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
// So is a side whose sessions list what it was given and does not deliver.
//
// A set that is held here hides nothing: what its relay delivers beside it has come since.
//
// A side that is only read is asked in passes that have read something: whether
// it hides old events was found out when the first came.
func (r *run) truncated(ctx context.Context, f *findings) (found bool, err error) {
	for _, l := range r.sessions {
		if l.ours() {
			continue
		}
		if lost := l.owed.takeLost(); len(lost) > 0 && !l.listed {
			claims, err := r.claims(ctx, l, lost)
			if err != nil {
				return false, err
			}
			if claims {
				l.doubt.Absent += len(lost)
				l.listed, l.list, found = true, nil, true
			}
		}
		hidden, err := r.unlisted(ctx, l, f.unlisted[l.at])
		if err != nil {
			return false, err
		}
		idle := r.opts.Direction.writes(l.at.Other()) && !r.opts.Direction.writes(l.at) && r.pass.read[l.at].count == 0
		if len(hidden) == 0 && !l.listed && !idle {
			if hidden, err = r.delivers(ctx, l, f.suspects[l.at]); err != nil {
				return false, err
			}
		}
		if len(hidden) == 0 {
			continue
		}
		claims, err := r.claims(ctx, l, hidden)
		if err != nil {
			return false, err
		}
		if !claims {
			l.doubt.Hidden += max(1, len(f.unlisted[l.at]))
		}
		l.listed, l.list, found = true, nil, true
	}
	return found, nil
}

// unlisted takes the ids that a side has confirmed and lists no more, and returns
// some of those that it delivers all the same; if there are none, it does not keep them.
// One whose pages do not show all that it has is asked for each.
func (r *run) unlisted(ctx context.Context, l *session, ids []negentropy.ID) ([]nostr.Event, error) {
	if !l.listed && len(ids) > 0 {
		given, err := r.gives(ctx, l, hexOf(pick(ids, maxSuspects)), 0)
		if err != nil || len(given) > 0 {
			return given, err
		}
	}
	if l.hides {
		var err error
		if ids, err = r.absent(ctx, l, ids); err != nil {
			return nil, err
		}
	}
	for _, id := range ids {
		if err := r.refuseForGood(Refusal{id, l.at, Reason{Cause: ByRelay, Code: NotKept}}); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// absent returns those of the ids that a side does not deliver.
func (r *run) absent(ctx context.Context, l *session, ids []negentropy.ID) (absent []negentropy.ID, err error) {
	for some := range slices.Chunk(ids, idsPerRequest) {
		has, err := r.delivered(ctx, l, nostr.Filter{IDs: hexOf(some)})
		if err != nil {
			return nil, err
		}
		absent = append(absent, slices.DeleteFunc(some, func(id negentropy.ID) bool { return has[id.String()] })...)
	}
	return absent, nil
}

// halves cuts a window after a pass that has read much: behind the oldest event
// that was read. A side that showed the newest part of its set shows the next
// part in the older half; for others it makes no difference, as another pass is
// due. One that is listed was read to its end, and would be read once more for
// each half. After a pass that took more than one session of a side, any event cuts: these
// sessions may have shown different parts.
func (r *run) halves(w window, reopened bool) (newer, older window, ok bool) {
	cut, enough := int64(0), int64(suspiciousCount)
	if reopened {
		enough = 1
	}
	for s, l := range r.sessions {
		if read := r.pass.read[s]; !l.listed && read.count >= enough {
			cut = max(cut, read.oldest)
		}
	}
	if cut == 0 || cut < w.since || w.until != 0 && cut >= w.until {
		return w, w, false
	}
	return window{cut + 1, w.until, w.seen}, window{w.since, cut, w.seen}, true
}

// delivers returns those of the events that a side delivers, and had before.
func (r *run) delivers(ctx context.Context, l *session, ids []negentropy.ID) ([]nostr.Event, error) {
	given, err := r.gives(ctx, l, hexOf(ids), 0)
	return slices.DeleteFunc(given, func(e nostr.Event) bool { return !r.settled(&e) || !r.filter.Match(&e) }), err
}

// settled reports whether an event is old enough to prove anything.
func (r *run) settled(e *nostr.Event) bool { return e.CreatedAt < r.start-settledAge }
