package bus

import "context"

// Apply makes one change, whether it is allowed or not.
func Apply(ctx context.Context, c Change) error { return c.apply(ctx) }

// Bound gives a stream other bounds than the contract does.
func Bound(stream string, bytes int64, waiting int) (restore func()) {
	for i := range streams {
		if s := &streams[i]; s.Name == stream {
			old := *s
			s.MaxBytes, s.MaxWaiting = bytes, waiting
			return func() { *s = old }
		}
	}
	panic("no stream " + stream)
}

// AtLeast compares the version of a server.
var AtLeast = atLeast
