package reconcile

import (
	"context"
	"errors"
	"fmt"

	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	// pageSize is the limit of a paged REQ, which every relay allows; a list that
	// is made again takes it a little smaller, see fill.
	pageSize = 500
	// maxSmaller bounds by how much.
	maxSmaller = 50
	// maxListed is how many events of a relay are listed before the window is
	// cut there and compared.
	maxListed = 200_000
)

// lister lists a relay, page by page, newest first. Pages overlap by one
// second, since several events may share the oldest one's.
//
// A relay that caps pages below pageSize is followed all the same: the end is
// an empty page. What shares one second beyond a full page cannot be reached by
// NIP-01.
type lister struct {
	session *session
	filter  nostr.Filter
	items   []negentropy.Item
	edge    map[negentropy.ID]struct{} // ids listed of the second where the last page ended
	capped  bool                       // a second may hold more than a page
	cut     int                        // pages in a row that brought nothing new before an interruption
}

// fill lists the relay's events of a window for the bridge. since is where the
// list begins, which is later than the window's if there were too many.
func (l *session) fill(ctx context.Context, filter nostr.Filter, w window) (since int64, capped bool, err error) {
	li := lister{session: l, filter: w.filter(filter), edge: map[negentropy.ID]struct{}{}}
	// Some relays answer a REQ that they have just seen from memory, without what
	// was written in between: no two lists ask the same.
	li.filter.Limit = pageSize - l.lists%maxSmaller
	l.lists++
	since = w.since
	for {
		page, cut, err := li.page(ctx)
		switch {
		case errors.Is(err, errors.ErrUnsupported) && l.no77 != nil:
			return 0, false, fmt.Errorf("%w; %w", err, l.no77)
		case err != nil:
			return 0, false, err
		}
		oldest, more := li.add(page, cut)
		if li.cut > maxRetries {
			return 0, false, l.fail(fmt.Errorf("%w: in every page", ErrInterrupted))
		}
		if !more {
			break
		}
		if len(li.items) >= maxListed && oldest < li.items[0].Timestamp {
			since = int64(oldest) + 1
			break
		}
		if len(li.items) >= 2*maxListed {
			return 0, false, l.fail(fmt.Errorf("%w: it lists %d events of one second", ErrMisbehaving, len(li.items)))
		}
	}
	l.list = negentropy.NewVector(li.items)
	return since, li.capped, nil
}

// page asks for the next page. It may be cut short by an interruption.
func (li *lister) page(ctx context.Context) (page []negentropy.Item, cut bool, err error) {
	cut, err = li.session.each(ctx, li.filter, func(e *nostr.Event) (more bool, err error) {
		id, err := negentropy.ParseID(e.ID)
		page = append(page, negentropy.Item{Timestamp: uint64(e.CreatedAt), ID: id})
		return true, err
	})
	return page, cut, err
}

// add takes a page in and moves the filter on. It returns the oldest second
// of the page, and false when it was the last.
func (li *lister) add(page []negentropy.Item, cut bool) (oldest uint64, more bool) {
	if len(page) == 0 {
		return 0, false
	}
	oldest = page[0].Timestamp
	for _, item := range page {
		oldest = min(oldest, item.Timestamp)
	}
	before, fresh := li.edge, 0
	if int64(oldest) != li.filter.Until {
		li.edge = map[negentropy.ID]struct{}{}
	}
	for _, item := range page {
		if _, dup := before[item.ID]; !dup {
			li.items = append(li.items, item)
			fresh++
		}
		if item.Timestamp == oldest {
			li.edge[item.ID] = struct{}{}
		}
	}
	next := int64(oldest)
	switch {
	case fresh > 0:
		li.cut = 0
	case cut:
		li.cut++ // the same once more: its second may hold more
	default:
		// Only the overlap: step over its second, and see what is left below.
		li.capped = li.capped || full(len(page), li.filter.Limit)
		next--
	}
	if next < max(li.filter.Since, 1) {
		return oldest, false
	}
	li.filter.Until = next
	return oldest, true
}

// full reports whether a page of one second may have been cut: relays cut at
// round numbers.
func full(n, limit int) bool { return n >= limit || (n >= 50 && n%50 == 0) }
