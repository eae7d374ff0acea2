package syncing

import (
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/health"
	"github.com/relaymesh/relaymesh/pkg/events"
)

// healthOf reads how a relay does in syncs.
func healthOf(r contract.Relay) health.State { return health.Stored(r.Failures, r.RetryAt) }

// decideHealth returns what is known of a relay after a sync that ended at now.
// why is empty if the relay answered; latency is how long its first answer
// took, 0 if there was none; jitter is from 0 up to 1.
func decideHealth(r contract.Relay, e health.Event, why string, latency time.Duration, now time.Time, jitter float64) contract.Relay {
	if ms := latency.Milliseconds(); latency > 0 {
		if r.LatencyMS > 0 {
			ms = (3*r.LatencyMS + ms) / 4
		}
		r.LatencyMS = max(ms, 1)
	}
	was := healthOf(r)
	if is := health.Sync.Next(was, e, now, jitter); is != was {
		r.Failures, r.RetryAt, r.Fault = is.Failures, is.Unix(), why
	}
	return r
}

// together is what two attempts of one sync have come to: the second goes on where
// the first was interrupted. What is refused is met by both.
func together(before, r events.SyncFinished) events.SyncFinished {
	r.Missing = max(before.Missing, before.Stored+r.Missing)
	r.Stored += before.Stored
	r.Sent += before.Sent
	r.Refused, r.Invalid = max(before.Refused, r.Refused), max(before.Invalid, r.Invalid)
	r.Messages += before.Messages
	r.Millis += before.Millis
	return r
}
