package relay

import (
	"fmt"
	"slices"

	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/internal/pager"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// validator decides which events of a request are passed on, and when a relay has
// sent too much that it should not have.
type validator struct {
	request
	most      int // how many events were asked for, or -1
	good, bad int
}

// tolerated is how many bad events are dropped before the good ones count.
const tolerated = 100

func newValidator(r request) *validator {
	j := &validator{request: r}
	if r.live { // some ignore a limit, and there is no end to ask again from
		j.most = -1
		return j
	}
	for _, f := range r.filters {
		switch {
		case f.Limit > 0:
			j.most += f.Limit
		case len(f.IDs) > 0:
			j.most += len(f.IDs)
		default:
			j.most = -1
			return j
		}
	}
	return j
}

// read decodes and verifies what came, all signatures at once; why[i] is what
// is wrong with the i-th, if anything is.
func (j *validator) read(batch []delivery) (all []nostr.Event, why []error) {
	all, why = make([]nostr.Event, len(batch)), make([]error, len(batch))
	var open []*nostr.Event
	var at []int
	for i, d := range batch {
		if d.eose {
			continue
		}
		if all[i], why[i] = nostr.ParseEvent(d.event); why[i] == nil && !j.trusted {
			open, at = append(open, &all[i]), append(at, i)
		}
	}
	for n, err := range schnorr.VerifyAll(open) {
		why[at[n]] = err
	}
	return all, why
}

// admit says whether an event is passed on; why is what [validator.read] found
// wrong with it. An error ends the request.
func (j *validator) admit(e *nostr.Event, why error) (bool, error) {
	if why == nil && slices.ContainsFunc(j.filters, func(f nostr.Filter) bool { return f.Match(e) }) {
		if j.good++; j.most >= 0 && j.good > j.most+tolerated {
			return false, fmt.Errorf("%w: it sent %d events where %d were asked for (%w)",
				reconcile.ErrMisbehaving, j.good, j.most, pager.ErrOverflow)
		}
		return true, nil
	}
	if j.bad++; j.bad > tolerated+j.good {
		if why == nil {
			why = fmt.Errorf("event %s does not match the filter", e.ID)
		}
		return false, fmt.Errorf("%w: %d of %d events were bad, the last because: %w", reconcile.ErrMisbehaving, j.bad, j.bad+j.good, why)
	}
	return false, nil
}
