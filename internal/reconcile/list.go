package reconcile

import (
	"context"
	"errors"
	"fmt"

	"github.com/relaymesh/relaymesh/internal/pager"
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

// fill lists the relay's events of a window for the bridge. since is where the
// list begins, which is later than the window's if there were too many. capped
// says that a second may hold more than a page.
func (l *session) fill(ctx context.Context, filter nostr.Filter, w window) (since int64, capped bool, err error) {
	filter = w.filter(filter)
	// Some relays answer a REQ that they have just seen from memory, without what
	// was written in between: no two lists ask the same.
	filter.Limit = pageSize - l.lists%maxSmaller
	l.lists++
	since = w.since
	var items []negentropy.Item
	p := pager.Pager{Filter: filter}
	if l.source { // else it is as if it were not there
		ctx = WithUnread(ctx, func(u Unread) {
			l.cannotRead(u)
			if id, err := negentropy.ParseID(u.Claim.ID); err == nil && u.Claim.CreatedAt >= 0 && p.Add(&u.Claim) {
				items = append(items, negentropy.Item{Timestamp: uint64(u.Claim.CreatedAt), ID: id})
			}
		})
	}
	for {
		cut, err := l.each(ctx, p.Filter, func(e *nostr.Event) (more bool, err error) {
			id, err := negentropy.ParseID(e.ID)
			if p.Add(e) {
				items = append(items, negentropy.Item{Timestamp: uint64(e.CreatedAt), ID: id})
			}
			return true, err
		})
		switch {
		case errors.Is(err, errors.ErrUnsupported) && l.no77 != nil:
			return 0, false, fmt.Errorf("%w; %w", err, l.no77)
		case err != nil:
			return 0, false, err
		}
		oldest, more := p.Next(cut)
		if p.Stalled > maxRetries {
			return 0, false, l.fail(fmt.Errorf("%w: in every page", ErrInterrupted))
		}
		if capped = p.Capped; !more {
			break
		}
		if len(items) >= maxListed && uint64(oldest) < items[0].Timestamp {
			since = oldest + 1
			break
		}
		if len(items) >= 2*maxListed {
			return 0, false, l.fail(fmt.Errorf("%w: it lists %d events of one second", ErrMisbehaving, len(items)))
		}
	}
	l.list = negentropy.NewVector(items)
	return since, capped, nil
}
