package dht

import (
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/stage"
)

const (
	// lifetime is after how long a node may forget an item (BEP 44). Most
	// never do while they run, and no answer tells which.
	lifetime = 2 * time.Hour
	// strictEvery is how often a record is refreshed while its nodes are not
	// known to keep it for longer than lifetime.
	strictEvery = time.Hour
	// maxEvery bounds what a record's interval grows to.
	maxEvery = 12 * time.Hour

	// minHolders is how many nodes must hold a record before it counts as
	// safe until the next refresh: with four copies and an hour, 0.04 % of
	// records would be lost to churn.
	minHolders = 4
	// soon is when a record with fewer holders is tried again, for up to
	// maxSoon passes in a row; then it waits for its next scheduled refresh,
	// since a network that small has no more nodes to offer.
	soon    = 15 * time.Minute
	maxSoon = 3
)

// The values of contract.Record.Trust. Below 0 it counts the passes until the
// nodes may prove themselves again.
const (
	untrusted = 0
	trusted   = 3
	banished  = -24 // a day of strict passes
)

// decideHow says how a record is put in a refresh.
//
// Where the interval is longer than the lifetime of an item, the record must
// lie on nodes that outlive it. They prove it: for three hourly passes the four
// nearest nodes are sent the record again, so that it cannot be lost, and the
// others are only asked. If those keep it, all are only asked from then on, at
// the full interval. If most of them forget it, all are sent it every hour.
func decideHow(r contract.Record, every time.Duration) How {
	switch {
	case len(r.Nodes) == 0, r.Failures >= maxSoon: // or perhaps we look in the wrong place
		return Fresh
	case every <= lifetime, r.Trust < untrusted:
		return Renew
	case r.Trust < trusted:
		return Half
	default:
		return Look
	}
}

// decideTrust returns a record's trust after a refresh.
func decideTrust(trust int, p placement) int {
	switch {
	case trust < untrusted:
		return trust + 1
	case p.Forgot > p.Kept:
		return banished
	case trust == trusted-1 && p.Kept == 0: // nobody there to prove it
		return trust
	default:
		return min(trust+1, trusted)
	}
}

// decideEvery returns how long a record with such a placement waits for its refresh. If
// all of the closest nodes kept it for a whole interval by themselves, they are
// nodes that stay: 0.01 % of such records would be lost in twice that time.
func decideEvery(trust int, p placement, every time.Duration) time.Duration {
	switch {
	case every > lifetime && trust < trusted:
		return strictEvery
	case every > lifetime && p.Kept >= allHolders:
		return max(every, min(2*every, maxEvery))
	default:
		return every
	}
}

// decidePlaced returns the record after a put that found it standing so. put is
// the record that was put; stored is what is kept now, which may have become
// newer meanwhile: then nothing changes.
func decidePlaced(stored, put contract.Record, p placement, how How, now int64, every time.Duration) (next contract.Record, write bool) {
	if stored.Seq != put.Seq || stored.Sig != put.Sig {
		return stored, false
	}
	next = stored
	if p.Newer != nil {
		stage.SetItem(&next, *p.Newer)
		next.Superseded, next.Held, next.VerifiedAt = true, 0, 0
		next.NextDue = now // the newer one must be kept alive as well: next pass
		return next, true
	}
	next.Nodes, next.Held = p.Nodes, p.Held
	next.Failures = 0
	if p.Holders > 0 {
		next.VerifiedAt = now
	}
	if how != Fresh && every > lifetime {
		next.Trust = decideTrust(stored.Trust, p)
	}
	wait := decideEvery(next.Trust, p, every)
	if p.Holders < minHolders {
		if next.Failures = stored.Failures + 1; next.Failures <= maxSoon {
			wait = min(soon, wait)
		}
	}
	next.NextDue = now + int64(wait/time.Second)
	return next, true
}

// due reports whether a record is to be refreshed in a pass at now. The slack
// keeps a pass that comes a little early from skipping a whole interval. A record
// whose refresh is farther off than it can be was written under another setting.
func due(r contract.Record, now int64, every time.Duration) bool {
	longest := every
	if every > lifetime {
		longest = max(every, maxEvery)
	}
	seconds := func(d time.Duration) int64 { return int64(d / time.Second) }
	return r.NextDue <= now+seconds(min(every, strictEvery))/10 || r.NextDue > now+seconds(longest)
}
