package syncing

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/health"
	"github.com/relaymesh/relaymesh/internal/pager"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	// overlap is how far behind the last sync a live subscription reads what is
	// stored: events reach a relay late, and clocks differ.
	overlap = 10 * time.Minute
	// saveEvery is how often the progress of a live subscription is written
	// down; it must be shorter than overlap.
	saveEvery = 5 * time.Minute
	// A REQ of 3 filters of 500 authors is within the 128 KiB that relays take,
	// and 4 of them leave slots of the connection for syncs. Who writes to a
	// relay with more authors than that is seen by its syncs alone.
	filtersPerREQ = 3
	maxREQs       = 4
	// writing is how many events of one subscription are written at a time.
	writing = 16
	// maxAttempts is how often a message is tried while KV fails or the worker
	// holds all the subscriptions that it may; then the next sync asks again.
	maxAttempts = 3
	// resigns is the attempt from which on a message is given up when its
	// subscription ends with the worker: the next sync makes a new one, before
	// it would wait for more than a minute, see below.
	resigns = 7
)

// Why a live subscription ends, besides the relay.
var (
	errStopping  = errors.New("the worker is stopping")
	errOutranked = errors.New("a relay with more authors needs the connection")
	errChanged   = errors.New("something else is to be followed there now")
	errAgain     = errors.New("it was cut soon after it was made")
	errLocal     = errors.New("couldn't write to the local relay")
)

// HandleLive takes live.due.<relay key>: hold a live subscription with this
// relay, and write what arrives to the local relay, for as long as it lasts.
// Until then the message stays unacknowledged, so that exactly one worker holds
// the subscription, and another one takes over from a worker that is killed.
//
// It ends with the connection. Then a sync repairs the gap and asks for the
// subscription again. After one that did not last that happens after ever longer
// waits, and only for a relay that the operator has named: others are not worth a sync
// each time, so it is made again here, with what is stored since the last sync.
func (s *Stage) HandleLive(ctx context.Context, m contract.Message) ([]contract.Output, contract.Verdict) {
	p, err := nostr.Decode[contract.LiveDue](m.Data)
	if err != nil {
		return nil, contract.Reject(err.Error())
	}
	key := m.Key()
	if nostr.RelayKey(p.URL) != key {
		return nil, contract.Reject("url: does not belong to the key of the subject")
	}
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	for !s.Denied.Relay(p.URL) {
		began := s.Now()
		list, authors, err := s.jobs(ctx, p.URL)
		var last contract.Sync
		if err == nil {
			last, _, err = s.Syncs.Get(ctx, key)
		}
		filters := down(list)
		switch none := len(filters) == 0 || last.Failures > 0; {
		case err != nil && m.Attempt <= maxAttempts:
			return nil, contract.Retry(retryAfter, err.Error())
		case err != nil:
			// What waits for longer is held as a retry, beside the next ask.
			return nil, contract.Done()
		case none && m.Attempt < stage.StaleAttempts:
			return nil, contract.Retry(stage.StaleAfter, "KV does not show the sync yet that asked for this")
		case none:
			return nil, contract.Done() // a sync that succeeds asks again
		}
		leave, ok := s.live.acquire(key, authors, s.MaxLive, end)
		if !ok {
			if m.Attempt < maxAttempts {
				return nil, contract.Retry(retryAfter, "this worker holds as many live subscriptions as it may")
			}
			return nil, contract.Done()
		}
		err = s.follow(ctx, p.URL, filters, max(last.Through, last.Live))
		leave()
		switch err = s.afterCut(ctx, p.URL, s.Now().Sub(began), err); {
		case err == nil:
			return []contract.Output{{
				Subject: contract.SyncDueSubject(key), Data: nostr.Encode(contract.SyncDue{URL: p.URL, Cause: m.Cause}),
			}}, contract.Done()
		case errors.Is(err, errChanged), errors.Is(err, errAgain), errors.Is(err, stage.ErrDenied):
			continue
		case errors.Is(err, errStopping) && m.Attempt < resigns:
			return nil, contract.Retry(0, err.Error())
		case ctx.Err() != nil && !errors.Is(err, errStopping) && !errors.Is(err, errOutranked):
			return nil, contract.Retry(retryAfter, context.Cause(ctx).Error())
		}
		return nil, contract.Done()
	}
	return nil, contract.Done() // nor is it synced any more
}

// afterCut returns why there is no subscription any more: nil if a sync is due,
// [errAgain] if it is to be made again, for which it has waited, the reasons of ours
// as they are, and any other error if the schedule decides.
func (s *Stage) afterCut(ctx context.Context, url string, lasted time.Duration, err error) error {
	for _, ours := range []error{errChanged, errStopping, errOutranked, stage.ErrDenied} {
		if errors.Is(err, ours) {
			return err
		}
	}
	if ctx.Err() != nil {
		return err
	}
	s.Log.DebugContext(ctx, "live subscription ended", "relay", url, "err", err)
	key := nostr.RelayKey(url)
	if health.Wanted.Steady(lasted) {
		s.cuts.Delete(key)
		return nil
	}
	cuts, _ := s.cuts.Get(key)
	cuts = health.Wanted.Next(cuts, health.Failed, s.Now(), rand.Float64())
	s.cuts.Put(key, cuts)
	switch {
	case !passes(err):
		return err
	case !s.pause(ctx, cuts.LeftAloneUntil, err):
		return errStopping
	case s.named(url):
		return nil
	}
	return errAgain
}

// passes reports whether a subscription that ended so may go well soon: the relay has
// not said no, breaks no rule, and is there. One that is away is synced when it is
// back, see [Stage.Back], and that asks for the subscription.
func passes(err error) bool {
	switch {
	case errors.Is(err, errLocal):
		return true
	case reconcile.RefusalOf(err) != nil:
		return reconcile.ForTheMoment(err)
	}
	return !final(err) && reconcile.AwayOf(err) == nil
}

// pause waits until a time and reports whether the worker goes on. While it is the
// local relay that is away, nobody is asked for what could not be stored.
func (s *Stage) pause(ctx context.Context, until time.Time, err error) bool {
	wait := time.NewTimer(until.Sub(s.Now()))
	defer wait.Stop()
	due, back := wait.C, (<-chan struct{})(nil)
	if away := reconcile.AwayOf(err); away != nil {
		due, back = nil, away.Back
	}
	select {
	case <-due:
		return true
	case <-back:
		return true
	case <-ctx.Done():
	case <-s.Stopping:
	}
	return false
}

// liveDue asks for a live subscription with a relay, unless one is held or
// waited for.
func liveDue(m contract.Message, url string) contract.Output {
	return contract.Output{
		Subject: contract.LiveDueSubject(nostr.RelayKey(url)), Data: nostr.Encode(contract.LiveDue{URL: url}), ID: "live:" + m.Cause,
	}
}

// follow subscribes to what matches the filters, reads what was made after a
// time, less the overlap, and writes what comes to the local relay. It ends with
// an error.
func (s *Stage) follow(ctx context.Context, url string, filters []nostr.Filter, through int64) error {
	since := s.Now().Unix()
	if through > 0 {
		since = through
	}
	since -= int64(overlap.Seconds())
	ctx, leave := stage.UntilDenied(ctx, s.Denied, url)
	defer leave()
	remote, err := s.Net.At(ctx, url)
	if err != nil {
		return err
	}
	local, err := s.local(ctx)
	if err != nil {
		return err
	}
	parts := slices.Collect(slices.Chunk(filters, filtersPerREQ))
	parts = parts[:min(len(parts), maxREQs)]
	var caughtUp atomic.Int64
	group, gctx := errgroup.WithContext(ctx)
	for _, part := range parts {
		group.Go(func() error {
			return s.subscribe(gctx, url, remote, part, since, func() { caughtUp.Add(1) }, func(ctx context.Context, e nostr.Event) error {
				return s.receive(ctx, url, local, e)
			})
		})
	}
	group.Go(func() error {
		return s.attend(gctx, url, filters, func() bool { return int(caughtUp.Load()) == len(parts) })
	})
	err = group.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// subscribe holds one subscription, and reads what is stored since a time when
// it is open. caughtUp is told when all of that was read.
func (s *Stage) subscribe(
	ctx context.Context, url string, remote reconcile.Relay, filters []nostr.Filter, since int64,
	caughtUp func(), receive func(context.Context, nostr.Event) error,
) error {
	writers, ctx := errgroup.WithContext(ctx)
	writers.SetLimit(writing)
	take := func(e nostr.Event) {
		if _, known := s.recent.LoadOrStore(e.ID, struct{}{}); !known {
			// While all slots are taken the relay is not read.
			writers.Go(func() error { return receive(ctx, e) })
		}
	}
	readers, rctx := errgroup.WithContext(ctx)
	readers.Go(func() error {
		return listen(rctx, remote, filters, take, func() {
			readers.Go(func() error {
				unreached, err := readSince(rctx, remote, filters, since, take)
				switch {
				case err != nil:
				case unreached != "":
					why := "the relay " + unreached
					s.Log.InfoContext(ctx, "a live subscription may lack stored events until the next sync", "relay", url, "reason", why)
				default:
					caughtUp()
				}
				return err
			})
		})
	})
	err := readers.Wait()
	if failed := writers.Wait(); failed != nil {
		return failed
	}
	return err
}

// listen takes what a relay receives, whatever its date: authors publish again
// what they made long ago. The stored events before EOSE, of which no relay that
// heeds limits sends more than one per filter, are those of the last sync.
func listen(
	ctx context.Context, remote reconcile.Relay, filters []nostr.Filter, take func(nostr.Event), subscribed func(),
) error {
	filters = slices.Clone(filters)
	for i := range filters {
		filters[i].Limit = 1
	}
	open := false
	for u, err := range remote.Subscribe(ctx, filters...) {
		switch {
		case err != nil:
			return err
		case u.EOSE:
			open = true
			subscribed()
		case open:
			take(u.Event)
		}
	}
	return errors.New("the relay ended the subscription")
}

// readSince takes what a relay has stored since a time. unreached is why events may
// be left out, as [pager.Pager.Unreached] says it.
func readSince(
	ctx context.Context, remote reconcile.Relay, filters []nostr.Filter, since int64, take func(nostr.Event),
) (unreached string, err error) {
	for _, f := range filters {
		f.Since, f.Limit = max(f.Since, since), remote.Limits(ctx).PageSize()
		p := pager.Pager{Filter: f}
		err := p.Walk(
			func(f nostr.Filter) iter.Seq2[nostr.Event, error] { return remote.Query(ctx, f) },
			func(e nostr.Event) error { take(e); return nil },
		)
		if err != nil {
			return "", err
		}
		unreached = cmp.Or(unreached, p.Unreached())
	}
	return unreached, nil
}

// receive writes an event that arrived live to the local relay. What our rules
// or a passing refusal keep back, the next sync decides on again.
func (s *Stage) receive(ctx context.Context, url string, local reconcile.Relay, e nostr.Event) error {
	reply, err := local.Publish(ctx, e)
	switch {
	case err != nil:
		s.recent.Delete(e.ID)
		return fmt.Errorf("%w: %w", errLocal, err)
	case reply.Reason.Cause == reconcile.ByRules:
		return nil
	}
	if id, err := negentropy.ParseID(e.ID); err == nil && !reply.Kept() && !reply.Reason.Passes() {
		s.refuse(ctx, nostr.RelayKey(url), reconcile.Refusal{ID: id, To: side(true), Reason: reply.Reason})
	}
	s.arrived(reply)
	return nil
}

// attend ends a subscription that must end, and writes its progress down.
func (s *Stage) attend(ctx context.Context, url string, filters []nostr.Filter, caughtUp func() bool) error {
	save, look := time.NewTicker(saveEvery), time.NewTicker(s.SyncEvery)
	defer save.Stop()
	defer look.Stop()
	denied := s.Denied.Changed()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-s.Stopping:
			return errStopping
		case <-save.C:
			if !caughtUp() {
				continue
			}
			now := s.Now().Unix()
			_, err := s.Syncs.Update(ctx, nostr.RelayKey(url), func(old contract.Sync, found bool) (contract.Sync, bool) {
				old.Live = now
				return old, found
			})
			if err != nil {
				return err
			}
		case <-look.C:
			if err := s.unchanged(ctx, url, filters); err != nil {
				return err
			}
		case <-denied:
			denied = s.Denied.Changed()
			if err := s.unchanged(ctx, url, filters); err != nil {
				return err
			}
		}
	}
}

// unchanged fails if something else than the filters is to be followed at a relay.
func (s *Stage) unchanged(ctx context.Context, url string, filters []nostr.Filter) error {
	list, _, err := s.jobs(ctx, url)
	if err == nil && !slices.EqualFunc(down(list), filters, func(a, b nostr.Filter) bool { return a.Key() == b.Key() }) {
		err = errChanged
	}
	return err
}
