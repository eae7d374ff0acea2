package syncing

import (
	"context"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// sides are the local relay and another one as the sides of a sync.
func (s *Stage) sides(ctx context.Context, url string, quickest *latency, from *authors) (local, remote reconcile.Side, err error) {
	home, err := s.local(ctx)
	if err != nil {
		return local, remote, err
	}
	other, err := s.Net.At(ctx, url)
	return reconcile.Side{Relay: delivered(home, from), Name: s.Local}, reconcile.Side{Relay: timed(other, quickest), Name: url}, err
}

// local returns the local relay, with what holds for every write to it.
func (s *Stage) local(ctx context.Context) (reconcile.Relay, error) {
	home, err := s.Net.At(ctx, s.Local)
	return s.ingestFirst(home), err
}

// syncJob makes the local relay complete for one filter, or the other relay, or
// both, and adds to the figures, also when it fails. A relay that is in doubt is
// listed, or not written to.
func (s *Stage) syncJob(
	ctx context.Context, local, remote reconcile.Side, j job, of *memory, result *events.SyncFinished,
) (r reconcile.Result, err error) {
	a, middle, err := s.opposite(ctx, local, j)
	if err != nil {
		return r, err
	}
	known := known{of, middle}
	doubt := doubtOf(of.sync, s.Now().Unix())
	direction := allowed(j.direction, doubt)
	if doubt.Why != "" {
		result.Why = doubt.Why
	}
	if direction == reconcile.None && j.direction != reconcile.None {
		return r, nil
	}
	remote.Listed = remote.Listed || doubt.Listed
	gaveBack := [2][]string{negentropy.SideB: of.sync.GaveBack}
	if middle != nil {
		a.Listed = doubtOf(middle.sync, s.Now().Unix()).Listed
		gaveBack[negentropy.SideA] = middle.sync.GaveBack
	}
	sample := 0
	if j.key() == of.sample {
		sample = sampled
	}
	r, err = reconcile.Sync(ctx, a, remote, j.filter, reconcile.Options{
		Direction: direction,
		Sample:    sample,
		GaveBack:  gaveBack,
		Denied:    s.Denied.Event,
		Refused: func(to negentropy.Side, id negentropy.ID) bool {
			return known.has(to, id) || s.Denied.ID(id.String())
		},
		Remember: func(r reconcile.Refusal) { known.add(ctx, r) },
		Progress: of.shown.part(direction),
		Enough:   of.enough,
		Now:      s.Now,
	})
	if j.direction&reconcile.Down != 0 {
		result.Missing += r.OnlyB
	}
	result.Stored += r.ToA
	result.Sent += r.ToB
	result.Refused += r.Refused + r.HeldBack
	result.Invalid += r.Undelivered
	result.Messages += r.Messages
	if r.Why != "" {
		result.Why = r.Why
	}
	memories := [2]*memory{middle, of}
	for side, name := range [2]string{a.Name, remote.Name} {
		sampled := sample > 0 && err == nil && negentropy.Side(side) == negentropy.SideB
		s.doubt(ctx, name, r.Doubts[side], r.GaveBack[side], memories[side], result, sampled)
	}
	if err == nil && middle != nil && r.Doubts[negentropy.SideA].Loses {
		err = errKeepsNothing
	}
	return r, err
}

// doubt writes down in what a relay has contradicted itself in a sync, and some of
// what it gave back. What the local relay does, which has no memory, is said only. That
// this fails is no reason to stop: the next sync finds it out again.
func (s *Stage) doubt(
	ctx context.Context, url string, found reconcile.Doubt, gaveBack []string, known *memory, result *events.SyncFinished, sampled bool,
) {
	if found.Some() {
		result.Why = found.Sentence(url)
		s.Log.WarnContext(ctx, "relay contradicts itself", "relay", url, "reason", result.Why)
	}
	if known == nil || !found.Some() && len(gaveBack) == 0 && !sampled {
		return
	}
	after, err := s.Syncs.Update(ctx, nostr.RelayKey(url), func(old contract.Sync, _ bool) (contract.Sync, bool) {
		if old.URL = url; sampled {
			old.SampledAt = s.Now().Unix()
		}
		return decideDoubt(old, found, gaveBack, s.Now().Unix()), true
	})
	if err != nil {
		s.Log.WarnContext(ctx, "couldn't write down that a relay contradicts itself", "relay", url, "err", err)
		return
	}
	known.sync = after
}
