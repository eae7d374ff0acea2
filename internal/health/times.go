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
	// soon is the wait in place of it until failures in a row have gone on for
	// soonFor. It takes no longer than a quarter of that time, or its first wait:
	// most relays that go away are restarted, and syncs wait for them.
	soon    backoff.Backoff
	soonFor time.Duration
	// steady is how long a connection or subscription must last to have gone
	// well although it ended.
	steady time.Duration
	// slow is how long a use may take before the next one may hold up a worker.
	slow time.Duration
}

// Every use of a relay, with all the times that decide how long it is left
// alone.
var (
	// Dial is the connection of a pool to a relay that nobody has named, and that was
	// not followed lately.
	Dial = Use{wait: backoff.Backoff{First: time.Second, Most: 10 * time.Minute}}
	// Local is the same to the relay that nothing can be done without.
	Local = Use{wait: backoff.Backoff{First: time.Second, Most: 2 * time.Second}}
	// Wanted is the connection to a relay that the operator has named, or that is
	// followed: of a pool, a tail, a live subscription. Spread by a quarter, it is
	// tried every four seconds at most for ten minutes, and every minute then.
	Wanted = Use{
		soon: backoff.Backoff{First: time.Second, Most: 3 * time.Second}, soonFor: 10 * time.Minute,
		wait: backoff.Backoff{First: time.Second, Most: 48 * time.Second}, steady: time.Minute,
	}
	// Probe is the request for a NIP-11 document: see [Use.Within]. The first wait
	// is shorter than the one before another attempt of the message.
	Probe = Use{wait: backoff.Backoff{First: 5 * time.Second, Most: 24 * time.Hour}}
	// Sync tolerates all failures of one scheduled sync but the last.
	Sync = Use{tolerated: 2, wait: backoff.Backoff{First: 10 * time.Minute, Most: 6 * time.Hour}, slow: time.Minute}
	// Survey is a session for one slice of the authors with a relay that no list may name. From
	// the first failure on that is fewer than six dials a day; a relay that refuses is left alone for a month.
	Survey = Use{wait: backoff.Backoff{First: 6 * time.Hour, Most: 30 * 24 * time.Hour}}
	// Index is a question to a list index, of which there are others. One that lies is left alone for the longest time.
	Index = Use{wait: backoff.Backoff{First: 30 * time.Second, Most: 24 * time.Hour}}
	// Libp2p is the connection to a HORNETS relay by libp2p, which has others.
	Libp2p = Use{wait: backoff.Backoff{First: 10 * time.Minute, Most: 10 * time.Minute}}
)

// Within is the use with no longer wait than most.
func (u Use) Within(most time.Duration) Use {
	u.wait.Most = min(u.wait.Most, most)
	return u
}
