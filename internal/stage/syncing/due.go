package syncing

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/health"
	"github.com/relaymesh/relaymesh/internal/hosts"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	// localAttempts is how often a message is tried while it is the local relay
	// that fails, so that no sync of another would go better: they take more than
	// an hour.
	localAttempts = 10
	// maxDuration bounds one sync, so that a relay that trickles cannot hold
	// a worker's slot for ever. What was complete by then stays so.
	maxDuration = 30 * time.Minute
	// firstAnswer is how long a relay may take for its first answer.
	firstAnswer = time.Minute
	// busyAttempts is how often a relay whose host has used up its share is tried
	// before it waits for its next turn: over some ten minutes.
	busyAttempts = 6
	// maxResumeAge is how old an unfinished sync may be to be gone on with: one with many
	// thousands of authors takes days, see [roomFor].
	maxResumeAge = 7 * day
)

// HandleDue takes sync.due.<relay key>: make the local relay complete with
// what this relay holds of the authors who write to it, or what the operator's
// rules say.
func (s *Stage) HandleDue(ctx context.Context, m contract.Message) ([]contract.Output, contract.Verdict) {
	p, err := nostr.Decode[contract.SyncDue](m.Data)
	if err != nil {
		return nil, contract.Reject(err.Error())
	}
	key := m.Key()
	if nostr.RelayKey(p.URL) != key {
		return nil, contract.Reject("url: does not belong to the key of the subject")
	}
	if ok, err := s.flights.acquire(ctx, key); err != nil {
		return nil, contract.Retry(retryAfter, err.Error())
	} else if !ok {
		return nil, contract.Done()
	}
	defer s.flights.release(key)
	if s.Denied.Relay(p.URL) {
		return s.forget(ctx, p.URL)
	}
	is, err := s.plan(ctx, p.URL)
	if err != nil {
		return nil, contract.Retry(retryAfter, err.Error())
	}
	switch {
	case len(is.jobs) == 0 && m.Attempt < stage.StaleAttempts:
		return nil, contract.Retry(stage.StaleAfter, "KV does not show anybody who writes to the relay")
	case len(is.jobs) == 0:
		return s.end(ctx, p.URL, neverOK)
	}
	if !is.known {
		if kept, err := s.admit(ctx, p.URL); err != nil {
			return nil, contract.Retry(retryAfter, err.Error())
		} else if !kept {
			return s.end(ctx, p.URL, neverOK)
		}
	}
	if is.jobs = apart(is.jobs, p.URL); len(is.jobs) == 0 { // others are synced with it
		out := []contract.Output{s.schedule(p.URL, true)}
		if s.MaxLive > 0 {
			out = append(out, liveDue(m, p.URL))
		}
		return out, contract.Done()
	}
	relay := is.relay
	if !is.known {
		if relay, err = s.keep(ctx, p.URL); err != nil {
			return nil, contract.Retry(retryAfter, err.Error())
		}
	}
	last, _, err := s.Syncs.Get(ctx, key)
	if err != nil {
		return nil, contract.Retry(retryAfter, err.Error())
	}
	allowed := health.Sync.Attempts(healthOf(relay), s.Now())
	if allowed == 0 {
		return nil, contract.Done() // its next scheduled sync will tell
	}
	release, err := s.slot(ctx, p.URL, relay, last)
	switch {
	case errors.Is(err, hosts.ErrBusy) && m.Attempt >= busyAttempts:
		return nil, contract.Done() // so does its next turn
	case err != nil:
		return nil, contract.Retry(retryAfter, err.Error())
	}
	defer release()
	result, syncErr, err := s.syncRelay(ctx, m.Cause, p.URL, is, relay.Asked, last)
	result.Authors = is.authors
	if s.Denied.Relay(p.URL) { // since
		return s.forget(ctx, p.URL)
	}
	if err != nil {
		return nil, contract.Retry(retryAfter, err.Error())
	}
	switch {
	case syncErr == nil, errors.Is(syncErr, errSessions): // which goes on by the schedule
	case localFault(syncErr):
		if m.Attempt < localAttempts {
			return nil, contract.Retry(retryAfter, result.Why)
		}
	case m.Attempt < allowed && !final(syncErr):
		return nil, contract.Retry(retryAfter, result.Why)
	}
	out := []contract.Output{
		s.schedule(p.URL, true),
		{Subject: events.SubjectSyncFinished, Data: nostr.Encode(result), ID: outcomeID(m, result)},
	}
	if s.MaxLive > 0 && (syncErr == nil || errors.Is(syncErr, errSessions)) {
		out = append(out, liveDue(m, p.URL))
	}
	return out, contract.Done()
}

// forget ends the syncs with a relay that is denied, and what is known of it.
func (s *Stage) forget(ctx context.Context, url string) ([]contract.Output, contract.Verdict) {
	if _, err := s.Relays.Remove(ctx, nostr.RelayKey(url), func(contract.Relay) bool { return true }); err != nil {
		return nil, contract.Retry(retryAfter, err.Error())
	}
	return s.end(ctx, url, func(contract.Sync) bool { return true })
}

func neverOK(old contract.Sync) bool { return old.LastOK == 0 }

// end ends the syncs with a relay, and what is known of them if decide agrees.
func (s *Stage) end(ctx context.Context, url string, decide func(contract.Sync) bool) ([]contract.Output, contract.Verdict) {
	if _, err := s.Syncs.Remove(ctx, nostr.RelayKey(url), decide); err != nil {
		return nil, contract.Retry(retryAfter, err.Error())
	}
	return []contract.Output{s.schedule(url, false)}, contract.Done()
}

// proven reports whether a relay is more than a stranger's.
func (s *Stage) proven(ctx context.Context, url string) (bool, error) {
	relay, _, err := s.Relays.Get(ctx, nostr.RelayKey(url))
	return s.trusts(url, relay), err
}

// trusts is [Stage.proven] where what is known of the relay has been read.
func (s *Stage) trusts(url string, relay contract.Relay) bool {
	return relay.Proven(s.Now().Unix()) || s.named(url)
}

// slot waits for a slot for a sync.
func (s *Stage) slot(ctx context.Context, url string, relay contract.Relay, last contract.Sync) (release func(), err error) {
	proven := s.trusts(url, relay)
	suspect := health.Sync.Suspect(healthOf(relay), time.Duration(last.Last.Millis)*time.Millisecond)
	s.begin.Do(func() { s.slots.slow.Size = slowSlots })
	return s.slots.of(suspect).Acquire(ctx, hosts.Of(url), proven)
}

// schedule makes a relay due at regular times, or not any more.
func (s *Stage) schedule(url string, on bool) contract.Output {
	key := nostr.RelayKey(url)
	cron := contract.CronNever
	if on {
		cron, _ = contract.Cron("sync:"+key, s.SyncEvery) // checked with the configuration
	}
	return contract.Output{Subject: contract.SyncDueSubject(key), Data: nostr.Encode(contract.SyncDue{URL: url}), Cron: cron}
}

// outcomeID makes two syncs with equal figures two outcomes, and one sync that
// is handled twice one.
func outcomeID(m contract.Message, r events.SyncFinished) string {
	return "sync:" + m.Cause + ":" + nostr.RelayKey(r.URL)
}

// syncRelay syncs a relay, and writes down what that came to. syncErr is why the
// sync failed, err that it could not be written.
func (s *Stage) syncRelay(
	ctx context.Context, cause, url string, is plan, asked []int64, last contract.Sync,
) (_ events.SyncFinished, syncErr, err error) {
	key, start := nostr.RelayKey(url), s.Now()
	begun := start.Unix()
	if last.Progress != nil && last.Progress.Begun > begun-seconds(maxResumeAge) {
		begun = last.Progress.Begun
	} else {
		last.Progress = nil
	}
	t := &turn{url: url, plan: is, begun: begun, progress: last.Progress, paged: last.Paged}
	t.room = roomFor(slices.Concat(asked, last.Asked), start.Unix())
	// Looks leave syncs some, whatever their room. The operator may have said to ask more often than there is room for.
	t.begins = max(t.room, syncSessions-len(lately(last.Asked, start.Unix())))
	if s.SyncEvery < time.Hour/inAnHour {
		t.begins = max(t.room, syncSessions)
	}
	if s.named(url) {
		t.room, t.begins = math.MaxInt, math.MaxInt // the operator's word
	}
	syncErr = s.sync(ctx, t)
	result, timing := t.result, &t.timing
	result.Millis = s.Now().Sub(start).Milliseconds()
	result.OK = syncErr == nil
	if syncErr != nil {
		result.Why = syncErr.Error()
	}
	s.observe(ctx, result, timing.least())
	if ctx.Err() != nil {
		return result, syncErr, context.Cause(ctx) // we are stopping, it did not fail
	}
	// The fault may be the local relay's, and a relay that has so much that there
	// is no end yet is at none.
	// The same goes for a host that has used up its budget.
	if err := s.evidence(ctx, url, &t.from, false); err != nil {
		return result, syncErr, err
	}
	goesOn := errors.Is(syncErr, errSessions) || errors.Is(syncErr, errNotDone) && t.done+result.Stored+result.Sent > 0
	switch {
	case goesOn, localFault(syncErr), errors.Is(syncErr, hosts.ErrBusy):
		err = s.noteSessions(ctx, url, timing.sessions())
	default:
		err = s.note(ctx, url, syncErr, timing, s.followed(ctx, &t.from))
	}
	if err != nil {
		return result, syncErr, err
	}
	if last.Cause == cause { // an attempt before this one, which failed
		result = together(last.Last, result)
	}
	_, err = s.Syncs.Update(ctx, key, func(old contract.Sync, _ bool) (contract.Sync, bool) {
		next := remember(old, cause, result, begun, s.Now().Unix())
		next.Asked = askedFor(old.Asked, s.Now().Unix(), timing.sessions())
		if next.Paged = t.paged; goesOn {
			next.Failures = old.Failures // it has not failed
		}
		if t.paged != nil && t.passes { // which the next sync would not come by
			next.Through = old.Through
		}
		return next, true
	})
	return result, syncErr, err
}

// noteSessions writes down until when surveys leave a relay alone that a sync has asked for so many sessions.
func (s *Stage) noteSessions(ctx context.Context, url string, n int) error {
	_, err := s.Relays.Update(ctx, nostr.RelayKey(url), func(old contract.Relay, found bool) (contract.Relay, bool) {
		old.SurveyRoomAt = busier(old.SurveyRoomAt, s.Now().Unix(), n)
		return old, found && n > syncSessions
	})
	return err
}

// final reports whether trying again soon is of no use.
func final(syncErr error) bool {
	return errors.Is(syncErr, reconcile.ErrRefused) || errors.Is(syncErr, reconcile.ErrMisbehaving)
}

// localFault reports whether it is the local relay that made a sync fail.
func localFault(syncErr error) bool {
	side, known := reconcile.FaultOf(syncErr)
	return known && side == negentropy.SideA
}

// keep returns what is known of a relay that was admitted, and writes down that there is
// one if nothing is.
func (s *Stage) keep(ctx context.Context, url string) (contract.Relay, error) {
	return s.Relays.Update(ctx, nostr.RelayKey(url), func(old contract.Relay, found bool) (contract.Relay, bool) {
		if found {
			return old, false
		}
		return contract.Relay{URL: url, Via: contract.ViaHint, FirstSeen: s.Now().Unix()}, true
	})
}

// note writes down how a relay has behaved.
func (s *Stage) note(ctx context.Context, url string, syncErr error, timing *latency, delivered bool) error {
	event, why := health.Answered, ""
	refused := errors.Is(syncErr, reconcile.ErrTooMany)
	if syncErr != nil && !refused {
		if event, why = health.Failed, syncErr.Error(); errors.Is(syncErr, reconcile.ErrRefused) {
			event = health.Refused
		}
	}
	jitter, now := rand.Float64(), s.Now()
	var before contract.Relay
	gone := false // it has made room for another of its host meanwhile, see [stage.Families]
	after, err := s.Relays.Update(ctx, nostr.RelayKey(url), func(old contract.Relay, found bool) (contract.Relay, bool) {
		if gone = !found && syncErr != nil; gone {
			return old, false
		}
		if !found {
			old = contract.Relay{URL: url, Via: contract.ViaHint, FirstSeen: now.Unix()}
		}
		before = old
		next := old
		if fewer, ok := fewerAuthors(old.MostAuthors); refused && ok {
			next.MostAuthors = fewer
			return next, true
		} else if refused {
			event, why = health.Refused, syncErr.Error()
		}
		next = decideHealth(old, event, why, timing.least(), now, jitter)
		news := next.Failures != old.Failures || next.RetryAt != old.RetryAt || moved(old.LatencyMS, next.LatencyMS)
		if timing.answered.Load() && !old.HasAnswered() {
			next.Answered, news = now.Unix(), true
		}
		if delivered && old.Delivered < now.Add(-deliveredEvery).Unix() {
			next.Delivered, news = now.Unix(), true
		}
		if n := timing.sessions(); n > syncSessions { // for fewer there is room beside the looks
			next.SurveyRoomAt, news = busier(old.SurveyRoomAt, now.Unix(), n), true
		}
		return next, news
	})
	if err == nil && gone {
		return errors.New("KV does not show the relay any more")
	}
	// A relay that is away is told of by who dials it.
	switch rests := after.RetryAt != 0; {
	case err != nil || rests == (before.RetryAt != 0) || !s.named(url) || reconcile.AwayOf(syncErr) != nil:
	case rests:
		s.Log.WarnContext(ctx, "relay is left alone, its syncs fail", "relay", url, "err", why, "wait", time.Unix(after.RetryAt, 0).Sub(now))
	default:
		s.Log.WarnContext(ctx, "relay is not left alone any more, a sync went well", "relay", url)
	}
	return err
}

// moved reports whether a figure is worth a write.
func moved(old, next int64) bool { return next > old+old/4 || next < old-old/4 }

func remember(old contract.Sync, cause string, r events.SyncFinished, begun, now int64) contract.Sync {
	next := old
	counted := 0
	if cause == old.Cause {
		counted = old.Last.Stored // by its earlier attempts, which r has as well
	}
	next.Stored += max(0, r.Stored-counted)
	next.URL, next.LastTry, next.Last, next.Cause, next.Failures = r.URL, now, r, cause, old.Failures+1
	if r.OK {
		next.LastOK, next.Failures, next.Through, next.Progress = now, 0, begun, nil
	}
	return next
}
