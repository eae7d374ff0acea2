package relay

import (
	"context"
	"regexp"
	"slices"
	"strconv"

	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// leastLimit is the smallest page that is tried.
const leastLimit = 10

// Words by which relays refuse the limit of a REQ, and those that tell of limits of other things.
var (
	limitRefused = regexp.MustCompile(`(?i)(\b|_)limit\b`)
	otherLimit   = regexp.MustCompile(`(?i)rate|subscription|connection|author|pubkey|filters|size|time`)
	number       = regexp.MustCompile(`\d+`)
)

// request runs a request until its end, or until take has had enough. A relay that
// refuses the limit of a filter, where most send as much as they like, is asked for
// less, and from then on at once.
func (c *Conn) request(ctx context.Context, r request, take func(reconcile.Update) bool) error {
	filters := r.filters
	for most := int(c.mostLimit.Load()); ; {
		r.filters = limited(filters, most)
		came := false
		err := c.requestOnce(ctx, r, func(u reconcile.Update) bool {
			came = true
			c.takesLimit(most)
			return take(u)
		})
		if err == nil {
			c.takesLimit(most)
		}
		smaller := smallerLimit(err, r.filters)
		if came || smaller == 0 {
			return err
		}
		most = smaller
	}
}

// takesLimit notes a limit that the relay has answered, after it had refused a larger one; 0 is none.
func (c *Conn) takesLimit(most int) {
	if most > 0 {
		c.mostLimit.Store(int64(most))
	}
}

// limited returns the filters with limits of at most so many; 0 is any. Ids are a limit
// themselves: of a filter that names more of them none must be left out.
func limited(filters []nostr.Filter, most int) []nostr.Filter {
	if most == 0 {
		return filters
	}
	filters = slices.Clone(filters)
	for i := range filters {
		f := &filters[i]
		if f.Limit > most && len(f.IDs) > most {
			f.Limit = 0
		} else {
			f.Limit = min(f.Limit, most)
		}
	}
	return filters
}

// smallerLimit returns the limit to try after an error: the largest number below that of
// the filters that the relay names, or a quarter; 0 if the error is not about a limit.
func smallerLimit(err error, filters []nostr.Filter) (most int) {
	refused := reconcile.RefusalOf(err)
	if refused == nil || !limitRefused.MatchString(refused.Reason.Text) || otherLimit.MatchString(refused.Reason.Text) {
		return 0
	}
	limit := 0
	for _, f := range filters {
		limit = max(limit, f.Limit)
	}
	for _, digits := range number.FindAllString(refused.Reason.Text, -1) {
		if n, err := strconv.Atoi(digits); err == nil && n < limit {
			most = max(most, n)
		}
	}
	if most == 0 {
		most = limit / 4
	}
	if most < leastLimit {
		return 0
	}
	return most
}
