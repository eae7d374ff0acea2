package reconcile

import (
	"context"
	"errors"

	"github.com/relaymesh/relaymesh/internal/pager"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

type straysKey struct{}

// WithStrays has each [Relay.Query] of the context tell of the events that match but
// for since and until, by their dates in Unix seconds, and which it leaves out: the
// goroutine that ranges over the events calls tell.
func WithStrays(ctx context.Context, tell func(createdAt int64)) context.Context {
	return context.WithValue(ctx, straysKey{}, tell)
}

// TellStray tells whoever has asked for it, if anybody has, see [WithStrays].
func TellStray(ctx context.Context, createdAt int64) {
	if tell, ok := ctx.Value(straysKey{}).(func(int64)); ok {
		tell(createdAt)
	}
}

// Walk asks a relay for page after page and passes on what is fresh, to the end of
// the walk. An error of the relay or of do ends it.
func Walk(ctx context.Context, relay Relay, p *pager.Pager, do func(nostr.Event) error) error {
	ctx = WithStrays(ctx, p.Stray)
	for more := true; more; {
		switch err := readPage(ctx, relay, p, do); {
		case refusesExtra(p, err):
			_, more = p.Refused()
		case err != nil:
			return err
		default:
			_, more = p.Next(false)
		}
	}
	return nil
}

// readPage reads the next page of a walk.
func readPage(ctx context.Context, relay Relay, p *pager.Pager, do func(nostr.Event) error) error {
	for e, err := range relay.Query(ctx, p.Request()) {
		switch {
		case errors.Is(err, pager.ErrOverflow):
			return nil
		case err != nil:
			return err
		case !p.Add(&e):
			continue
		}
		if err := do(e); err != nil {
			return err
		}
	}
	return nil
}

// refusesExtra reports whether an error is the relay's answer to an extra page, which
// it need not give.
func refusesExtra(p *pager.Pager, err error) bool {
	return err != nil && p.Extra() && (RefusalOf(err) != nil || errors.Is(err, ErrTimeout) || errors.Is(err, ErrTooMany))
}
