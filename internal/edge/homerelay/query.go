package homerelay

import (
	"bytes"
	"context"
	"encoding/hex"
	"math"
	"slices"

	"github.com/nbd-wtf/go-nostr"
	"go.etcd.io/bbolt"
)

const (
	// A page is what one read transaction collects: a slow client must not
	// keep a transaction open, because bbolt could then reuse no page.
	pageItems = 500
	pageBytes = 1 << 20
)

// Query calls yield with every stored event that matches, newest first and
// equal times by lowest id, until yield returns false, the filter's limit is
// reached or the context ends. With idsOnly, events have only ID and CreatedAt
// where the filter can be decided without reading them.
//
// Memory is bounded by a page and by the number of values in the filter. What
// is inserted or deleted while a query runs may or may not be seen.
func (s *store) Query(ctx context.Context, f nostr.Filter, idsOnly bool, yield func(*nostr.Event) bool) error {
	if f.LimitZero {
		return nil
	}
	q, ok := newQuery(f, s.now().Unix(), idsOnly)
	if !ok {
		return nil
	}
	left := math.MaxInt
	if f.Limit > 0 {
		left = f.Limit
	}
	for more := true; more; {
		var page []*nostr.Event
		err := s.db.View(func(tx *bbolt.Tx) error {
			var err error
			page, more, err = q.page(ctx, tx, min(left, pageItems))
			return err
		})
		if err != nil {
			return err
		}
		for _, e := range page {
			if err := ctx.Err(); err != nil {
				return err
			}
			if !yield(e) {
				return nil
			}
		}
		left -= len(page)
		more = more && left > 0
	}
	return nil
}

// query is a filter turned into ranges of one index, merged in time order.
type query struct {
	filter   nostr.Filter
	now      int64
	bucket   []byte
	prefixes [][]byte
	kinds    []int // nil where the index decides the kind
	read     bool  // whether the event must be read and matched
	idsOnly  bool
	ids      []position // for a filter by ids, which are looked up directly

	next   position // where the next page begins
	oldest int64
}

// newQuery chooses the index. ok is false when nothing can match.
func newQuery(f nostr.Filter, now int64, idsOnly bool) (*query, bool) {
	q := &query{filter: f, now: now, idsOnly: idsOnly, next: upTo(math.MaxInt64)}
	if f.Until != nil {
		if *f.Until < 0 {
			return nil, false
		}
		q.next = upTo(int64(*f.Until))
	}
	if f.Since != nil {
		q.oldest = int64(*f.Since)
	}
	letter, values := rarestTag(f.Tags)
	switch {
	case f.IDs != nil:
		q.bucket, q.read = byID, true
		q.prefixes = decodeAll(f.IDs)
	case len(f.Tags) > 0:
		q.bucket, q.read, q.kinds = byTag, true, f.Kinds
		if len(letter) == 1 {
			for _, v := range values {
				q.prefixes = append(q.prefixes, tagPrefix(letter[0], v))
			}
		}
	case f.Authors != nil:
		q.bucket, q.kinds = byAuthor, f.Kinds
		q.prefixes = decodeAll(f.Authors)
	case f.Kinds != nil:
		q.bucket = byKind
		for _, k := range f.Kinds {
			if k >= 0 && k <= math.MaxUint16 {
				q.prefixes = append(q.prefixes, kindPrefix(k))
			}
		}
	default:
		q.bucket, q.prefixes = byTime, [][]byte{nil}
	}
	slices.SortFunc(q.prefixes, bytes.Compare)
	q.prefixes = slices.CompactFunc(q.prefixes, bytes.Equal)
	return q, len(q.prefixes) > 0
}

// rarestTag returns the tag with the fewest values: each costs a cursor. A
// name that is not a single letter is indexed nowhere and matches nothing.
func rarestTag(tags nostr.TagMap) (name string, values []string) {
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
		if b, err := hex.DecodeString(v); err == nil && len(b) == idSize {
			out = append(out, b)
		}
	}
	return out
}

// page collects at most limit events in one transaction and remembers where it
// stopped; more is false at the end.
func (q *query) page(ctx context.Context, tx *bbolt.Tx, limit int) (events []*nostr.Event, more bool, err error) {
	if bytes.Equal(q.bucket, byID) {
		return q.pageOfIDs(ctx, tx, limit)
	}
	m := newMerge(tx.Bucket(q.bucket), q.prefixes, q.next)
	size := 0
	for step := 0; len(m.ranges) > 0; step++ {
		if err := cancelled(ctx, step); err != nil {
			return nil, false, err
		}
		pos, value := m.ranges[0].pos, m.ranges[0].value
		if pos.createdAt() < q.oldest {
			return events, false, nil
		}
		if len(events) == limit || size > pageBytes {
			q.next = pos
			return events, true, nil
		}
		e, n, err := q.decide(tx, pos, value)
		if err != nil {
			return nil, false, err
		}
		if e != nil {
			events = append(events, e)
			size += n
		}
		// An event may carry several of the values asked for: pass all its
		// entries at once, so that it is answered once.
		for len(m.ranges) > 0 && m.ranges[0].pos == pos {
			m.advance()
		}
	}
	return events, false, nil
}

// decide returns the event if it matches, and the bytes that it takes.
func (q *query) decide(tx *bbolt.Tx, pos position, value []byte) (*nostr.Event, int, error) {
	sum, err := asSummary(value)
	if err != nil {
		return nil, 0, err
	}
	if !alive(sum, q.now) || (q.kinds != nil && !slices.Contains(q.kinds, sum.kind())) {
		return nil, 0, nil
	}
	if q.idsOnly && !q.read {
		return &nostr.Event{ID: hex.EncodeToString(pos.id()), CreatedAt: nostr.Timestamp(pos.createdAt())}, posSize, nil
	}
	r, err := load(tx, pos.id())
	if err != nil {
		return nil, 0, err
	}
	if q.read && !q.filter.Matches(r.event) {
		return nil, 0, nil
	}
	return r.event, posSize + len(tx.Bucket(byID).Get(pos.id())), nil
}

// pageOfIDs looks ids up. The first page finds the positions of all that
// match, 40 bytes each, so that they can be answered in time order.
func (q *query) pageOfIDs(ctx context.Context, tx *bbolt.Tx, limit int) (events []*nostr.Event, more bool, err error) {
	if q.ids == nil {
		q.ids = []position{}
		for step, id := range q.prefixes {
			if err := cancelled(ctx, step); err != nil {
				return nil, false, err
			}
			if tx.Bucket(byID).Get(id) == nil {
				continue
			}
			r, err := load(tx, id)
			if err != nil {
				return nil, false, err
			}
			if alive(r.summary, q.now) && q.filter.Matches(r.event) {
				q.ids = append(q.ids, r.pos)
			}
		}
		slices.SortFunc(q.ids, func(a, b position) int { return bytes.Compare(a[:], b[:]) })
	}
	size := 0
	for len(q.ids) > 0 && len(events) < limit && size <= pageBytes {
		id := q.ids[0].id()
		text := tx.Bucket(byID).Get(id)
		q.ids = q.ids[1:]
		if text == nil {
			continue // deleted since the first page
		}
		r, err := load(tx, id)
		if err != nil {
			return nil, false, err
		}
		events = append(events, r.event)
		size += len(text)
	}
	return events, len(q.ids) > 0, nil
}
