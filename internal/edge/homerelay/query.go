package homerelay

import (
	"bytes"
	"context"
	"errors"
	"math"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	// A page is what one read transaction collects: a slow client must not
	// keep a transaction open, because bbolt could then reuse no page, and a
	// search that finds little must let others work.
	pageItems  = 500
	pageBytes  = 256 << 10
	pageSteps  = 5000 // index entries that are looked at
	entryBytes = 128  // of an event to be matched that count for an index entry
	rangeCost  = 64   // bytes of work that the seek of an index range counts for
)

// Query calls yield with the JSON of every stored event that matches and may be shown, newest
// first and equal times by lowest id, until yield returns false, the filter's limit is
// reached or the context ends.
//
// Memory is bounded by a page and by the number of values in the filter. What
// is inserted or deleted while a query runs may or may not be seen.
func (s *store) Query(ctx context.Context, v *viewer, f nostr.Filter, yield func(event []byte) bool) error {
	now := func(_ int, do func()) bool { do(); return true }
	return s.pages(ctx, v, f, bytes.Clone, now, func(page [][]byte) bool {
		return !slices.ContainsFunc(page, func(e []byte) bool { return ctx.Err() != nil || !yield(e) })
	})
}

// pages is Query by the page, which belongs to yield; copied makes its elements of
// events. Each page is read by work, whose cost is about in bytes; if work says
// false, so has the context ended.
func (s *store) pages(
	ctx context.Context, v *viewer, f nostr.Filter,
	copied func(event []byte) []byte, work func(cost int, do func()) bool, yield func(page [][]byte) bool,
) error {
	q, ok := newQuery(v, f, s.now().Unix(), s.tagless(f))
	if !ok {
		return nil
	}
	q.steps = pageSteps
	left := q.limit
	for more := true; more; {
		var page [][]byte
		var err error
		if !work(pageBytes+rangeCost*len(q.prefixes), func() {
			err = s.view(func(tx *bbolt.Tx) error {
				var err error
				page, more, err = q.page(ctx, tx, min(left, pageItems), copied)
				return err
			})
		}) {
			return ctx.Err()
		}
		if err != nil {
			return err
		}
		left -= len(page) // before yield, which owns the page
		if !yield(page) {
			return ctx.Err()
		}
		more = more && left > 0
	}
	return nil
}

// page collects at most limit events; more is false at the end.
func (q *query) page(
	ctx context.Context, tx *bbolt.Tx, limit int, copied func([]byte) []byte,
) (page [][]byte, more bool, err error) {
	size := 0
	more, err = q.walk(ctx, tx, func(pos position) (bool, error) {
		if len(page) == limit || size > pageBytes {
			return false, nil
		}
		text, err := loadText(tx, pos.id())
		if err != nil {
			return false, err
		}
		page = append(page, copied(text))
		size += len(text)
		return true, nil
	})
	return page, more, err
}

// errTooMany is the answer to a set that is larger than asked for, or found among more
// than is looked at.
var errTooMany = errors.New("too many records")

// Items appends time and id of every stored event that matches one of the
// filters and may be shown, in no order, and an event that matches several once for each. More
// than limit of them are errTooMany, and so is having to look at more than so many
// index entries, 0 being any number. Where it can, it reads an index alone, 40 bytes
// an event.
func (s *store) Items(
	ctx context.Context, v *viewer, filters []nostr.Filter, limit, looks int, items []negentropy.Item,
) ([]negentropy.Item, error) {
	looked := 0
	for _, f := range filters {
		q, ok := newQuery(v, f, s.now().Unix(), s.tagless(f))
		if !ok {
			continue
		}
		if looks > 0 {
			q.steps = max(looks-looked, 1)
		}
		left, more := q.limit, false
		err := s.view(func(tx *bbolt.Tx) error {
			var err error
			more, err = q.walk(ctx, tx, func(pos position) (bool, error) {
				if left == 0 {
					return false, nil
				}
				if len(items) == limit {
					return false, errTooMany
				}
				left--
				items = append(items, negentropy.Item{Timestamp: uint64(pos.createdAt()), ID: negentropy.ID(pos.id())})
				return true, nil
			})
			return err
		})
		if err == nil && more && left > 0 {
			err = errTooMany
		}
		if err != nil {
			return items, err
		}
		looked += q.spent
	}
	return items, nil
}

// limitOf is how many events the filter asks for at most.
func limitOf(f nostr.Filter) int {
	if f.Limit == 0 {
		return math.MaxInt
	}
	return max(f.Limit, 0)
}
