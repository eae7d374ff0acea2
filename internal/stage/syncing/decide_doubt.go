package syncing

import (
	"slices"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/reconcile"
)

const (
	// sampled is how many events of each side are asked of the other after a sync of
	// one filter, once in sampleEvery or so: a sync of equal relays takes one message
	// each way, a sample some REQs and kilobytes.
	sampled     = 20
	sampleEvery = 24 * time.Hour
	// maxGaveBack is how many events are remembered that a relay gave back.
	maxGaveBack = 8
)

// sampleDue decides whether a sync at now is one after which a sample is asked for.
// jitter is from 0 up to 1, so that no relay foresees it.
func sampleDue(s contract.Sync, now int64, jitter float64) bool {
	return float64(now-s.SampledAt) >= (0.5+jitter)*sampleEvery.Seconds()
}

// doubtOf decides what of a doubt still stands at now.
func doubtOf(s contract.Sync, now int64) contract.Doubt {
	if s.Doubt == nil || s.Doubt.At+int64(contract.DoubtFor/time.Second) <= now {
		return contract.Doubt{}
	}
	return *s.Doubt
}

// decideDoubt returns what is known of a relay after a sync at now in which it has, or
// has not, contradicted itself, and has given back some events that it was given.
func decideDoubt(old contract.Sync, found reconcile.Doubt, gaveBack []string, now int64) contract.Sync {
	stands := doubtOf(old, now)
	if old.Doubt = nil; stands != (contract.Doubt{}) {
		old.Doubt = &stands
	}
	if found.Unlisted() || found.Loses {
		old.Doubt = &contract.Doubt{
			At: now, Why: found.Sentence(old.URL),
			Listed: stands.Listed || found.Unlisted(), Unwritten: stands.Unwritten || found.Loses,
		}
	}
	if found.Loses {
		old.GaveBack = nil
	} else if len(gaveBack) > 0 {
		list := slices.Concat(gaveBack, old.GaveBack)
		old.GaveBack = slices.Clone(list[:min(len(list), maxGaveBack)])
	}
	return old
}

// allowed decides in which direction a job of a relay goes.
func allowed(d reconcile.Direction, doubt contract.Doubt) reconcile.Direction {
	if doubt.Unwritten {
		return d &^ reconcile.Up
	}
	return d
}
