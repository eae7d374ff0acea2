package relay

import (
	"fmt"
	"slices"

	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/pkg/events"
)

// judge decides which events of a request are passed on, and when a relay has
// sent too much that it should not have.
type judge struct {
	request
	most      int // how many events were asked for, or -1
	good, bad int
}

// tolerated is how many bad events are dropped before the good ones count.
const tolerated = 100

func newJudge(r request) *judge {
	j := &judge{request: r}
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

// event decodes and checks one event. An error ends the request.
func (j *judge) event(raw []byte) (e events.Event, good bool, err error) {
	e, err = events.ParseEvent(raw)
	if err == nil && !j.trusted {
		err = schnorr.Verify(&e)
	}
	if err == nil && slices.ContainsFunc(j.filters, func(f events.Filter) bool { return f.Match(&e) }) {
		if j.good++; j.most >= 0 && j.good > j.most+tolerated {
			return e, false, fmt.Errorf("%w: it sent %d events where %d were asked for", ErrMisbehaving, j.good, j.most)
		}
		return e, true, nil
	}
	if j.bad++; j.bad > tolerated+j.good {
		if err == nil {
			err = fmt.Errorf("event %s does not match the filter", e.ID)
		}
		return e, false, fmt.Errorf("%w: %d of %d events were bad, the last because: %w", ErrMisbehaving, j.bad, j.bad+j.good, err)
	}
	return e, false, nil
}
