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
	// maxSmaller bounds by how much the limit of a list's pages is smaller than it
	// may be, see nextLimit.
	maxSmaller = 20
	// maxListed is how many events of a relay are listed before the window is
	// cut there and compared.
	maxListed = 200_000
)

// fill lists the relay's events of a window for the bridge. since is where the
// list begins, which is later than the window's if there were too many, or enough
// were read for now. unreached is why events may be missing in it, or "".
func (l *session) fill(ctx context.Context, filter nostr.Filter, w window, enough func() error) (since int64, unreached string, err error) {
	filter = w.filter(filter)
	filter.Limit = l.nextLimit()
	since, l.size = w.since, 0
	var items []negentropy.Item
	p := pager.Pager{Filter: filter, Most: l.takes.Page, Exclusive: l.strict}
	defer func() { l.strict = p.Exclusive }()
	ctx = WithStrays(ctx, p.Stray)
	if l.source { // else it is as if it were not there
		ctx = WithUnread(ctx, func(u Unread) {
			if !p.Probing() {
				l.cannotRead(u)
			}
			if id, err := negentropy.ParseID(u.Claim.ID); err == nil && u.Claim.CreatedAt >= 0 && p.Add(&u.Claim) {
				items = append(items, negentropy.Item{Timestamp: uint64(u.Claim.CreatedAt), ID: id})
			}
		})
	}
	for {
		cut, err := l.each(ctx, p.Request(), func(e *nostr.Event) (more bool, err error) {
			l.size += weight(e)
			id, err := negentropy.ParseID(e.ID)
			if p.Add(e) {
				items = append(items, negentropy.Item{Timestamp: uint64(e.CreatedAt), ID: id})
			}
			return true, err
		})
		var last int64
		var more bool
		switch {
		case refusesExtra(&p, err):
			last, more = p.Refused()
		case errors.Is(err, errors.ErrUnsupported) && l.no77 != nil:
			return 0, "", fmt.Errorf("%w; %w", err, l.no77)
		case err != nil:
			return 0, "", err
		default:
			last, more = p.Next(cut)
		}
		if p.Stalled > maxRetries {
			return 0, "", l.fail(fmt.Errorf("%w: in every page", ErrInterrupted))
		}
		if unreached = p.Unreached(); !more {
			break
		}
		cuts := !p.Up && last > 0 && len(items) > 0 && uint64(last) < items[0].Timestamp
		if cuts && (len(items) >= maxListed || p.Shown() && enough() != nil) {
			since = last + 1
			break
		}
		if len(items) >= 2*maxListed {
			why := "of one second"
			if p.Up {
				why = "and the oldest first, so that they cannot be compared part by part"
			}
			return 0, "", l.fail(fmt.Errorf("%w: it lists %d events %s", ErrMisbehaving, len(items), why))
		}
	}
	l.list = negentropy.NewVector(items)
	return since, unreached, nil
}

// nextLimit is the limit of a list's pages. Some relays answer a REQ that they
// have just seen from memory, without what was written in between: no two lists
// in a row ask the same. Each asks for more than the one before, until it begins
// again: of a second that fills the page, a smaller one would not show what was
// just written.
func (l *session) nextLimit() int {
	size := l.takes.PageSize()
	smaller := max(min(2, size), min(maxSmaller, size/10))
	l.lists++
	return size - (smaller - l.lists%smaller) + 1
}
