package homerelay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// onCount takes a COUNT (NIP-45): how many events a REQ with these filters would be
// answered with, each counted once.
func (c *client) onCount(m message) {
	id, filters, v, ok := c.asked(m)
	if !ok {
		return
	}
	if !acquire(c.ctx, c.querying) {
		return
	}
	c.running.Go(func() {
		defer func() { <-c.querying }()
		n, err := c.relay.sets.count(c.ctx, c.hold.party, v, filters)
		switch {
		case err == nil:
			for _, f := range filters {
				c.offerAuth(v, f)
			}
			c.tell("COUNT", id, map[string]int{"count": n})
		case errors.Is(err, errTooMany):
			c.tell("CLOSED", id, fmt.Sprintf("blocked: too many records, at most %d are counted", c.relay.sets.most))
		case c.ctx.Err() == nil:
			c.relay.log.Error("home relay cannot count", "err", err)
			c.tell("CLOSED", id, storeReason(err))
		}
	})
}

// count reads the set of a COUNT, like one of a session: few are read at a time.
func (l *sets) count(ctx context.Context, p party, v *viewer, filters []nostr.Filter) (int, error) {
	if !l.building.enter(ctx, p, 1, 1) {
		return 0, ctx.Err()
	}
	defer l.building.leave(1)
	items, err := l.store.Items(ctx, v, filters, l.most, l.looks(p), nil)
	if len(filters) > 1 {
		slices.SortFunc(items, func(a, b negentropy.Item) int { return bytes.Compare(a.ID[:], b.ID[:]) })
		items = slices.Compact(items)
	}
	return len(items), err
}
