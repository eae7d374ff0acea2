package health

import (
	"time"

	"github.com/relaymesh/relaymesh/internal/backoff"
)

// Use is a way in which relays are used, and its times. How a relay does in one
// use says little of another, so each has a [State] of its own.
type Use struct {
	// wait is how long a relay is left alone after failures in a row, of which
	// the first few are tolerated.
	wait      backoff.Backoff
	tolerated int
	// steady is how long a connection or subscription must last to have gone
	// well although it ended.
	steady time.Duration
	// slow is how long a use may take before the next one may hold up a worker.
	slow time.Duration
}

// Every use of a relay, with all the times that decide how long it is left
// alone.
var (
	// Dial is the connection of a pool that all but tails share: of syncs, live
	// subscriptions and searches.
	Dial = Use{wait: backoff.Backoff{First: time.Second, Most: 10 * time.Minute}}
	// Local is the same to the relay that nothing can be done without.
	Local = Use{wait: backoff.Backoff{First: time.Second, Most: 2 * time.Second}}
	// Tail is the connection of a tail, which is wanted all the time.
	Tail = Use{wait: backoff.Backoff{First: time.Second, Most: time.Minute}, steady: time.Minute}
	// Live is a live subscription. After one that was steady a sync follows at
	// once, which asks for the next; after another the schedule decides.
	Live = Use{steady: time.Minute}
	// Probe is the request for a NIP-11 document: see [Use.Within]. The first wait
	// is shorter than the one before another attempt of the message.
	Probe = Use{wait: backoff.Backoff{First: 5 * time.Second, Most: 24 * time.Hour}}
	// Sync tolerates all failures of one scheduled sync but the last.
	Sync = Use{tolerated: 2, wait: backoff.Backoff{First: 10 * time.Minute, Most: 6 * time.Hour}, slow: time.Minute}
	// Libp2p is the connection to a HORNETS relay by libp2p, which has others.
	Libp2p = Use{wait: backoff.Backoff{First: 10 * time.Minute, Most: 10 * time.Minute}}
)

// Within is the use with no longer wait than most.
func (u Use) Within(most time.Duration) Use {
	u.wait.Most = min(u.wait.Most, most)
	return u
}
