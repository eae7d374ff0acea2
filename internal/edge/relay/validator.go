package relay

import (
	"context"
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
	stray     int // from outside the period that was asked for
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

// read decodes and verifies what came, all signatures at once; unread[i] is the
// i-th if something is wrong with it.
func (j *validator) read(batch []delivery) (all []nostr.Event, unread []*reconcile.Unread) {
	all, unread = make([]nostr.Event, len(batch)), make([]*reconcile.Unread, len(batch))
	var open []*nostr.Event
	var at []int
	for i, d := range batch {
		if unread[i] = d.unread; d.eose || d.unread != nil {
			continue
		}
		var err error
		if all[i], err = nostr.ParseEvent(d.event); err != nil {
			unread[i] = &reconcile.Unread{Claim: claim(d.event), Why: err.Error()}
			if read := all[i].UnmarshalJSON(d.event); read == nil {
				if all[i].ID = all[i].Hash(); all[i].Check() == nil {
					unread[i].Why = "its id is not its hash" // and not both, so that reasons can be counted
				}
			}
		} else if !j.trusted && (j.held == nil || !j.held(&all[i])) && !schnorr.Verified(&all[i]) {
			open, at = append(open, &all[i]), append(at, i)
		}
	}
	for n, err := range schnorr.VerifyAll(open) {
		if err != nil {
			unread[at[n]] = &reconcile.Unread{Claim: *open[n], Why: err.Error()}
		}
	}
	return all, unread
}

// tooLarge reads what may be read of an event that is too large.
func tooLarge(event []byte) *reconcile.Unread {
	return &reconcile.Unread{Claim: claim(event), Why: fmt.Sprintf("larger than %d bytes", nostr.MaxEventBytes)}
}

// claim reads what an event says of itself, but for its content, as far as it can
// be read.
func claim(event []byte) nostr.Event {
	var e nostr.Event
	_ = e.UnmarshalJSON(event) // goes on after a field of another type
	return nostr.Event{
		ID: reconcile.Clip(e.ID), PubKey: reconcile.Clip(e.PubKey), CreatedAt: e.CreatedAt, Kind: e.Kind,
		Tags: slices.Clone(e.Tags[:min(len(e.Tags), nostr.MaxTags)]),
	}
}

// matches reports whether an event was asked for.
func (j *validator) matches(e *nostr.Event) bool {
	return slices.ContainsFunc(j.filters, func(f nostr.Filter) bool { return f.Match(e) })
}

// inAnyPeriod reports whether an event was asked for but for its date: some relays
// heed no since or until.
func (j *validator) inAnyPeriod(e *nostr.Event) bool {
	return slices.ContainsFunc(j.filters, func(f nostr.Filter) bool {
		f.Since, f.Until = 0, 0
		return f.Match(e)
	})
}

// admit says whether an event is passed on; unread is what [validator.read] has
// found. An error ends the request.
func (j *validator) admit(ctx context.Context, e *nostr.Event, unread *reconcile.Unread) (bool, error) {
	if unread == nil && j.matches(e) {
		if j.good++; j.most >= 0 && j.good > j.most+tolerated {
			return false, fmt.Errorf("%w: it sent %d events where %d were asked for (%w)",
				reconcile.ErrMisbehaving, j.good, j.most, pager.ErrOverflow)
		}
		return true, nil
	}
	if unread == nil && j.most >= 0 && j.inAnyPeriod(e) {
		if j.stray++; j.stray > j.most+tolerated {
			return false, fmt.Errorf("%w: %d of its events are from outside the period that was asked for (%w)",
				reconcile.ErrMisbehaving, j.stray, pager.ErrOverflow)
		}
		reconcile.TellStray(ctx, e.CreatedAt)
		return false, nil
	}
	if j.bad++; j.bad > tolerated+j.good {
		why := "does not match the filter"
		if unread != nil {
			e, why = &unread.Claim, unread.Why
		}
		return false, fmt.Errorf("%w: %d of %d events were bad, the last, %s, because: %s",
			reconcile.ErrMisbehaving, j.bad, j.bad+j.good, e.ID, why)
	}
	if unread != nil && j.matches(&unread.Claim) {
		reconcile.TellUnread(ctx, *unread)
	}
	return false, nil
}
