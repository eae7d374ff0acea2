package homerelay

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"math"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// query is a filter turned into ranges of one index, merged in time order.
type query struct {
	viewer   *viewer
	filter   nostr.Filter
	limit    int // at least 1
	now      int64
	bucket   []byte
	prefixes [][]byte
	kinds    []int      // nil where the index decides the kind
	read     bool       // whether the event must be read and matched
	ids      []position // for a filter by ids, which are looked up directly

	next   position // where the next walk begins
	steps  int      // after how much a walk pauses, in index entries; 0 is never
	spent  int      // of a walk
	oldest int64
}

// newQuery chooses the index; tagless is of events that the one by tags may lack. ok is false when nothing can match.
func newQuery(v *viewer, f nostr.Filter, now int64, tagless bool) (q *query, ok bool) {
	f = sortLists(f)
	q = &query{viewer: v, filter: f, limit: limitOf(f), now: now, next: upTo(math.MaxInt64), oldest: f.Since}
	if f.Until != 0 {
		q.next = upTo(max(f.Until, 0))
	}
	letter, values := rarestTag(f.Tags)
	switch {
	case f.IDs != nil:
		q.bucket, q.read = byID, true
		q.prefixes = decodeAll(f.IDs)
	case len(f.Tags) > 0 && !tagless:
		q.bucket, q.read, q.kinds = byTag, true, f.Kinds
		if len(letter) == 1 {
			for _, v := range values {
				q.prefixes = append(q.prefixes, tagPrefix(letter[0], v))
			}
		}
	case f.Authors != nil:
		q.bucket, q.read, q.kinds = byAuthor, len(f.Tags) > 0, f.Kinds
		q.prefixes = decodeAll(f.Authors)
	case f.Kinds != nil:
		q.bucket, q.read = byKind, len(f.Tags) > 0
		for _, k := range f.Kinds {
			if k >= 0 && k <= math.MaxUint16 {
				q.prefixes = append(q.prefixes, kindPrefix(k))
			}
		}
	default:
		q.bucket, q.read, q.prefixes = byTime, len(f.Tags) > 0, [][]byte{nil}
	}
	slices.SortFunc(q.prefixes, bytes.Compare)
	q.prefixes = slices.CompactFunc(q.prefixes, bytes.Equal)
	return q, len(q.prefixes) > 0 && q.limit > 0
}

// rarestTag returns the tag with the fewest values: each costs a cursor. A
// name that is not a single letter is indexed nowhere and matches nothing.
func rarestTag(tags map[string][]string) (name string, values []string) {
	first := true
	for n, v := range tags {
		if len(n) != 1 {
			return "", nil
		}
		if first || len(v) < len(values) || (len(v) == len(values) && n < name) {
			name, values, first = n, v, false
		}
	}
	return name, values
}

// decodeAll turns ids or public keys into bytes; what is no such thing can
// match nothing and is left out.
func decodeAll(values []string) [][]byte {
	var out [][]byte
	for _, v := range values {
		if b, err := hex.DecodeString(v); err == nil && nostr.IsHex(v, idSize) {
			out = append(out, b)
		}
	}
	return out
}

// walk calls visit with each match in time order, until visit returns false: it
// did not take the match, and the next walk begins there, or where this one has
// paused. more is false at the end.
func (q *query) walk(ctx context.Context, tx *bbolt.Tx, visit func(position) (bool, error)) (more bool, err error) {
	if bytes.Equal(q.bucket, byID) {
		return q.walkIDs(ctx, tx, visit)
	}
	q.spent = 0
	m := newMerge(tx.Bucket(q.bucket), q.prefixes, q.next)
	for step := 0; len(m.ranges) > 0; step++ {
		if err := cancelled(ctx, step); err != nil {
			return false, err
		}
		pos, value := m.ranges[0].pos, m.ranges[0].value
		if q.steps != 0 && q.spent >= q.steps {
			q.next = pos
			return true, nil
		}
		q.spent++
		if pos.createdAt() < q.oldest {
			return false, nil
		}
		matches, err := q.match(tx, pos, value)
		if err != nil {
			return false, err
		}
		if matches {
			if taken, err := visit(pos); !taken || err != nil {
				q.next = pos
				return true, err
			}
		}
		// An event may carry several of the values asked for: pass all its
		// entries at once, so that it is answered once.
		for len(m.ranges) > 0 && m.ranges[0].pos == pos {
			m.advance()
		}
	}
	return false, nil
}

// match decides about an index entry.
func (q *query) match(tx *bbolt.Tx, pos position, value []byte) (bool, error) {
	sum, err := asSummary(value)
	if err != nil {
		return false, err
	}
	if !alive(sum, q.now) || (q.kinds != nil && !slices.Contains(q.kinds, sum.kind())) {
		return false, nil
	}
	private := nostr.Private(sum.kind())
	switch {
	case private && q.viewer.stranger():
		return false, nil
	case !q.read && (!private || q.viewer.All):
		return true, nil
	}
	q.spent += len(tx.Bucket(byID).Get(pos.id())) / entryBytes
	r, err := load(tx, pos.id())
	if errors.Is(err, errRemoved) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return newCandidate(r.event).matches(&q.filter) && q.viewer.sees(r.event), nil
}

// walkIDs looks ids up. The first walk finds the positions of all that match,
// 40 bytes each, so that they can be visited in time order.
func (q *query) walkIDs(ctx context.Context, tx *bbolt.Tx, visit func(position) (bool, error)) (more bool, err error) {
	if q.ids == nil {
		q.ids = []position{}
		for step, id := range q.prefixes {
			if err := cancelled(ctx, step); err != nil {
				return false, err
			}
			if tx.Bucket(byID).Get(id) == nil {
				continue
			}
			r, err := load(tx, id)
			if err != nil {
				return false, err
			}
			if alive(r.summary, q.now) && q.filter.Match(r.event) && q.viewer.sees(r.event) {
				q.ids = append(q.ids, r.pos)
			}
		}
		slices.SortFunc(q.ids, func(a, b position) int { return bytes.Compare(a[:], b[:]) })
	}
	for ; len(q.ids) > 0; q.ids = q.ids[1:] {
		if tx.Bucket(byID).Get(q.ids[0].id()) == nil {
			continue // deleted since the first walk
		}
		if taken, err := visit(q.ids[0]); !taken || err != nil {
			return true, err
		}
	}
	return false, nil
}
