package syncing

import (
	"time"

	"github.com/relaymesh/relaymesh/internal/backoff"
	"github.com/relaymesh/relaymesh/internal/contract"
)

const (
	// opensAfter is how many syncs with a relay fail in a row, by its fault,
	// before it is left alone for a while: the circuit opens. It is as many as
	// one turn tries.
	opensAfter = maxAttempts
	// slow is how long a sync may take before the next one with that relay
	// counts as slow.
	slow = time.Minute
)

// circuit is how long a relay is left alone.
var circuit = backoff.Backoff{First: 10 * time.Minute, Most: 6 * time.Hour}

// fault is what a sync has to say about a relay.
type fault int

const (
	noFault fault = iota
	// failed: it may go well another time.
	failed
	// refused: the relay does not serve us, and will not soon.
	refused
)

// attempts decides how often a sync of a relay is tried in this turn. A relay
// that was left alone is tried once (the circuit is half open), and one whose
// time has not come not at all.
func attempts(r contract.Relay, now int64) int {
	switch {
	case r.RetryAt > now:
		return 0
	case r.Failures >= opensAfter:
		return 1
	}
	return maxAttempts
}

// decideHealth returns what is known of a relay after a sync at now (Unix seconds),
// and the number of its first wait if it must be left alone for a while, else
// 0. latency is how long its first answer took, 0 if there was none. A sync
// that failed while the relay was to be left alone already was under way with
// the one that failed first, or is that one, and counts no more.
func decideHealth(r contract.Relay, f fault, why string, latency time.Duration, now int64) (next contract.Relay, wait int) {
	if ms := latency.Milliseconds(); latency > 0 {
		if r.LatencyMS > 0 {
			ms = (3*r.LatencyMS + ms) / 4
		}
		r.LatencyMS = max(ms, 1)
	}
	if f == failed && r.RetryAt > now {
		return r, 0
	}
	r.RetryAt = 0
	switch f {
	case noFault:
		r.Failures, r.Fault = 0, ""
		return r, 0
	case refused:
		r.Failures, r.Fault = max(r.Failures+1, opensAfter+32), why // the longest wait
	case failed:
		r.Failures, r.Fault = r.Failures+1, why
	}
	return r, max(r.Failures-opensAfter+1, 0)
}

// suspect decides whether a relay may hold up a worker, so that only a few like
// it may be synced at a time.
func suspect(r contract.Relay, s contract.Sync) bool {
	return r.Failures > 0 || s.Last.Millis > slow.Milliseconds()
}
