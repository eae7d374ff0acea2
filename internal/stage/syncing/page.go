package syncing

import (
	"context"
	"iter"

	"github.com/relaymesh/relaymesh/pkg/events"
)

// page yields every stored event of a relay that matches, newest first, in
// REQs of at most pageSize. Pages overlap by one second, since several events
// may share the oldest one's; an event is yielded once.
//
// A relay that caps pages below pageSize is followed all the same: the end is
// a page that brings nothing new. What shares one second beyond a full page
// cannot be reached by NIP-01 and is passed over.
func (s *Stage) page(ctx context.Context, url string, filter events.Filter) iter.Seq2[events.Event, error] {
	return func(yield func(events.Event, error) bool) {
		filter.Limit = pageSize
		seen := map[string]struct{}{} // ids at the second where the page ended
		for {
			oldest, fresh := int64(-1), 0
			edge := map[string]struct{}{}
			for e, err := range s.Net.Query(ctx, url, filter) {
				if err != nil {
					yield(e, err)
					return
				}
				if oldest < 0 || e.CreatedAt < oldest {
					oldest, edge = e.CreatedAt, map[string]struct{}{}
				}
				if e.CreatedAt == oldest {
					edge[e.ID] = struct{}{}
				}
				if _, dup := seen[e.ID]; dup {
					continue
				}
				fresh++
				if !yield(e, nil) {
					return
				}
			}
			switch {
			case oldest <= 0: // nothing came, or nothing is older; and until 0 would mean no bound
				return
			case fresh > 0:
				filter.Until, seen = oldest, edge
			case filter.Until > 1:
				// Only the overlap: step over its second, and see whether
				// anything is left below.
				filter.Until, seen = oldest-1, map[string]struct{}{}
				if filter.Until <= 0 {
					return
				}
			default:
				return
			}
		}
	}
}
