// Package backoff decides how long to wait before something that failed is
// tried again. It has no clock and no randomness of its own.
package backoff

import "time"

// Backoff is a wait that doubles with each failure in a row, from First up to
// Most. Both are positive.
type Backoff struct {
	First, Most time.Duration
}

// After returns the wait after n failures in a row, counting from 1.
func (b Backoff) After(n int) time.Duration {
	wait := b.First
	for i := 1; i < n && wait < b.Most; i++ {
		wait *= 2
	}
	return min(wait, b.Most)
}

// Wait is [Backoff.After], spread over a quarter to either side by jitter, from
// 0 up to 1 (rand.Float64): else all that failed together comes back together.
func (b Backoff) Wait(n int, jitter float64) time.Duration {
	wait := b.After(n)
	return wait + time.Duration((jitter-0.5)*0.5*float64(wait))
}
