package reconcile

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/relaymesh/relaymesh/internal/pager"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Following is what [Follow] follows and whom it tells.
type Following struct {
	// Filters select the events; limits are ignored.
	Filters []nostr.Filter
	// Since is the date, Unix seconds, from which on stored events are wanted: some
	// time before the last look, because relays receive events later than they were
	// made.
	Since int64
	// Takes is what the relay says of itself.
	Takes Limits
	// Take takes an event: the stored ones since Since, newest first, and between
	// them, as they arrive, those that the relay receives, whatever their date. first
	// says that it came before the relay had told of its stored events, of which one is
	// asked for. Some come more than once. Two goroutines call it; while it blocks the
	// relay is not read, and an error ends all.
	Take func(ctx context.Context, e nostr.Event, first bool) error
	// CaughtUp says that everything since Since that the relay had when the
	// subscription began was taken. unreached is why it may be less, as
	// [pager.Pager.Unreached] says it, or "". An error ends all.
	CaughtUp func(ctx context.Context, began time.Time, unreached string) error
}

// Follow subscribes to a relay and reads what it has stored, from the moment on from
// which nothing more can be missed. It ends with an error.
func Follow(ctx context.Context, relay Relay, f Following) error {
	group, ctx := errgroup.WithContext(ctx)
	began := time.Now()
	group.Go(func() error {
		return f.live(ctx, relay, func() {
			group.Go(func() error {
				unreached, err := f.stored(ctx, relay)
				if err != nil {
					return err
				}
				return f.CaughtUp(ctx, began, unreached)
			})
		})
	})
	return group.Wait()
}

// live takes what the relay receives. The filters have no since of ours: authors
// publish again what they made long ago. The limit keeps the relay from sending all
// that it has, and 1 is understood by more of them than 0.
func (f *Following) live(ctx context.Context, relay Relay, subscribed func()) error {
	filters := slices.Clone(f.Filters)
	for i := range filters {
		filters[i].Limit = 1
	}
	first := true
	for u, err := range relay.Subscribe(ctx, filters...) {
		switch {
		case err != nil:
			return err
		case u.EOSE:
			first = false
			subscribed()
		default:
			if err := f.Take(ctx, u.Event, first); err != nil {
				return err
			}
		}
	}
	return fmt.Errorf("%w: the relay ended the subscription", ErrInterrupted)
}

// stored takes everything stored since f.Since.
func (f *Following) stored(ctx context.Context, relay Relay) (unreached string, err error) {
	for _, filter := range f.Filters {
		filter.Since, filter.Limit = max(filter.Since, f.Since), f.Takes.PageSize()
		p := pager.Pager{Filter: filter, Most: f.Takes.Page}
		err := Walk(ctx, relay, &p, func(e nostr.Event) error { return f.Take(ctx, e, false) })
		if err != nil {
			return "", err
		}
		unreached = cmp.Or(unreached, p.Unreached())
	}
	return unreached, nil
}
