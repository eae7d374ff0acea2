package ingest

import "sync"

// rateLimit counts what authors have used of Policy.MissingPerMinute.
type rateLimit struct {
	perMinute int

	mu     sync.Mutex
	minute int64
	used   map[string]int
}

// allow uses up to n of an author's rate limit in a minute, counted from any start,
// and returns how many are granted.
func (q *rateLimit) allow(pubkey string, n int, minute int64) int {
	if q.perMinute == 0 || pubkey == "" || n == 0 {
		return n
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if minute != q.minute || q.used == nil {
		q.minute, q.used = minute, map[string]int{}
	}
	n = max(0, min(n, q.perMinute-q.used[pubkey]))
	q.used[pubkey] += n
	return n
}
