package stage

import "time"

// Backoff decides how long to leave alone what has failed n times in a row:
// first, then twice as long each time, up to most. jitter, from 0 up to 1,
// spreads the wait over a quarter to either side, so that what failed together
// does not come back together.
func Backoff(n int, first, most time.Duration, jitter float64) time.Duration {
	wait := first
	for i := 1; i < n && wait < most; i++ {
		wait *= 2
	}
	wait = min(wait, most)
	return wait + time.Duration((jitter-0.5)*0.5*float64(wait))
}
