package bus

import "context"

// Apply makes one change, whether it is allowed or not.
func Apply(ctx context.Context, c Change) error { return c.apply(ctx) }
