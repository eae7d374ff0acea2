package dht

import (
	"time"

	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/pkg/events"
)

const (
	// minHolders is how many nodes must hold a record before it counts as
	// safe until the next refresh: with four copies and an hour, 0.04 % of
	// records would be lost to churn.
	minHolders = 4
	// soon is when a record with fewer holders is tried again, for up to
	// maxSoon passes in a row; then it waits for its turn like the others,
	// since a network that small has no more nodes to offer.
	soon    = 15 * time.Minute
	maxSoon = 3
)

// decidePlaced returns the record after a put that found it standing so, and
// what to tell. put is the record that was put; stored is what is kept now,
// which may have become newer meanwhile: then nothing changes.
func decidePlaced(stored, put events.Record, p Placement, now int64, every time.Duration) (next events.Record, write bool) {
	if stored.Seq != put.Seq || stored.Sig != put.Sig {
		return stored, false
	}
	next = stored
	if p.Newer != nil {
		stage.SetItem(&next, *p.Newer)
		next.Superseded = true
		next.NextDue = now // the newer one must be kept alive as well: next pass
		return next, true
	}
	next.Nodes = p.Nodes
	next.Failures = 0
	if p.Holders > 0 {
		next.VerifiedAt = now
	}
	next.NextDue = now + int64(every/time.Second)
	if p.Holders < minHolders {
		if next.Failures = stored.Failures + 1; next.Failures <= maxSoon {
			next.NextDue = now + int64(min(soon, every)/time.Second)
		}
	}
	return next, true
}

// due reports whether a record is to be refreshed in a pass at now. The slack
// keeps a pass that comes a little early from skipping a whole interval.
func due(r events.Record, now int64, every time.Duration) bool {
	return r.NextDue <= now+int64(every/time.Second)/10
}
