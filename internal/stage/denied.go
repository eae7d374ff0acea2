package stage

import (
	"context"
	"errors"

	"github.com/relaymesh/relaymesh/internal/deny"
)

// ErrDenied is the cause of a context of [UntilDenied] that ended for it.
var ErrDenied = errors.New("the relay is on a deny list")

// UntilDenied returns a context that ends when a relay is denied. The caller ends
// it, too.
func UntilDenied(ctx context.Context, denied *deny.Lists, url string) (_ context.Context, end func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		for {
			changed := denied.Changed()
			if denied.Relay(url) {
				cancel(ErrDenied)
			}
			select {
			case <-ctx.Done():
				return
			case <-changed:
			}
		}
	}()
	return ctx, func() { cancel(nil) }
}
