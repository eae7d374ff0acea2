package syncing

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/health"
	"github.com/relaymesh/relaymesh/internal/hosts"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
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
	errOutranked = errors.New("another relay needs the slot")
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
		is, err := s.plan(ctx, p.URL)
		var last contract.Sync
		if err == nil {
			last, _, err = s.Syncs.Get(ctx, key)
		}
		jobs := down(is.jobs)
		switch none := len(jobs) == 0 || last.Failures > 0; {
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
		look, leave, ok := s.live.acquire(key, claim{hosts.Of(p.URL), s.trusts(p.URL, is.relay), is.weight}, s.MaxLive, end)
		if !ok {
			if m.Attempt < maxAttempts {
				return nil, contract.Retry(retryAfter, "this worker holds as many live subscriptions as it may")
			}
			return nil, contract.Done()
		}
		err = s.follow(ctx, p.URL, jobs, max(last.Through, last.Live), look)
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
