package syncing

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/health"
	"github.com/relaymesh/relaymesh/internal/hosts"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// errLookLong is why a look ends that takes longer than [maxLook].
var errLookLong = fmt.Errorf("not done in %s, goes on with the next look", maxLook)

// look asks one relay for what a set lacks. An error is that of KV or the local relay.
// whole says that the set is of the whole slice, so that what comes of it decides when
// the relay is asked again.
func (p *pass) look(ctx context.Context, c candidate, set *surveySet, whole bool) error {
	s := p.stage
	relay, _, err := s.Relays.Get(ctx, c.key)
	if err != nil {
		return err
	}
	synced, _, err := s.Syncs.Get(ctx, c.key)
	if err != nil {
		return err
	}
	filters := len(set.filters(span{}, c.most))
	if !mayLook(relay, synced, filters, s.Now()) {
		p.later(whole)
		return nil
	}
	release, err := s.Survey.slots.Acquire(ctx, hosts.Of(c.url), relay.Proven(s.Now().Unix()))
	if err == nil {
		defer release() // also if ctx ends in this moment
	}
	switch {
	case errors.Is(err, hosts.ErrBusy), ctx.Err() != nil:
		p.later(whole)
		return nil
	case err != nil:
		return err
	}
	// Whoever writes that they ask, asks: other slices and replicas come later.
	mine := false
	_, err = s.Relays.Update(ctx, c.key, func(old contract.Relay, found bool) (contract.Relay, bool) {
		mine = found && mayLook(old, synced, filters, s.Now())
		old.SurveyedAt = s.Now().Unix()
		old.SurveyRoomAt, old.Asked = busier(old.SurveyRoomAt, old.SurveyedAt, 1), askedFor(old.Asked, old.SurveyedAt, 1)
		return old, mine
	})
	if err != nil || !mine {
		p.later(whole)
		return err
	}
	old, from := p.state.Looks[c.key], &authors{}
	of := func(c candidate) []span {
		if !whole {
			return []span{{}}
		}
		return begunBy(spans(old, c, s.Now().Unix()), set.filter.Since)
	}
	r, lookErr := s.ask(ctx, c, set, of, roomForLook(slices.Concat(relay.Asked, synced.Asked), s.Now().Unix()), from)
	if s.Survey.Observe != nil {
		s.Survey.Observe(r.ToA, r.bytes, lookErr)
	}
	if localFault(lookErr) {
		return lookErr
	}
	if ctx.Err() != nil || errors.Is(lookErr, hosts.ErrBusy) {
		return nil
	}
	if errors.Is(lookErr, errSessions) && r.ToA == 0 && r.Undelivered > 0 && !r.Paged[negentropy.SideB] {
		lookErr = nil // ids that are invented, of which more would be compared each time: it has nothing
	}
	late := errors.Is(lookErr, errLookLong) || errors.Is(lookErr, errSessions)
	var l *look
	if whole && (lookErr == nil || late) {
		begins := r.spans[len(r.spans)-1].since
		l = &look{
			n: r.ToA, whole: !late && (begins == 0 || r.Undelivered == 0), since: begins, late: late, done: r.done, pages: r.pages,
			turn:  turnOf(p.slice, r.sessions),
			paged: paged(r.Result, begins, len(set.filter.Authors)) || old.Paged && begins > 0,
		}
	}
	if l != nil && errors.Is(lookErr, errSessions) && !r.Paged[negentropy.SideB] && !old.Paged {
		l.cut, l.paged = true, false // not dear either: what has come makes the next one shorter
	}
	p.done(c.key, l, r.bytes)
	if err := s.looked(ctx, c, lookErr, late, from, r.sessions); err != nil {
		return err
	}
	return s.seen(ctx, c.url, from)
}

// paged reports whether a look at authors that began at a time, 0 is the beginning, was such
// that not all is to be compared each time. What was listed and did not come is.
func paged(r reconcile.Result, begins int64, authors int) bool {
	if r.Paged[negentropy.SideB] {
		return begins > 0 || r.Undelivered == 0 && !little(r.EventBytes, authors)
	}
	return dear(r.NegBytes, authors)
}

// mayLook decides whether a relay may be asked by so many filters of a survey at now, each of which takes a session or more.
func mayLook(r contract.Relay, synced contract.Sync, filters int, now time.Time) bool {
	room := roomForLook(slices.Concat(r.Asked, synced.Asked), now.Unix())
	return room >= min(max(filters, 1), roomOfMany) && now.Unix() >= r.SurveyRoomAt &&
		!r.AuthRequired && now.Unix() >= r.SurveyRetryAt && !healthOf(r).LeftAlone(now)
}

// answer is what a relay has answered in a look.
type answer struct {
	reconcile.Result
	bytes    int64  // that it took, about: filters, messages and events
	spans    []span // that were to be compared, never none
	done     int    // of them, to their ends
	pages    int    // of REQs that the last one took
	sessions int    // that it was asked for
}

// ask reconciles a set with a relay, filter by filter. of decides on the spans, when it is known whether the relay says that it
// speaks NIP-77. room is for how many sessions the relay may be asked: as many as there are filters in any case, but where
// something comes of each they are several.
func (s *Stage) ask(
	ctx context.Context, c candidate, set *surveySet, of func(candidate) []span, room int, from *authors,
) (a answer, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, maxLook, errLookLong)
	defer cancel()
	ctx, leave := stage.UntilDenied(ctx, s.Denied, c.url)
	defer leave()
	a.spans = of(c)
	known, err := s.recall(ctx, c.url)
	if err != nil {
		return a, err
	}
	remote, err := s.Net.At(ctx, c.url)
	if err != nil {
		return a, err
	}
	c.paged = c.paged || remote.Limits(ctx).NoNegentropy
	a.spans = of(c)
	timing := &latency{asked: func() {}}
	remote = timed(remote, timing)
	for _, span := range a.spans {
		before := timing.pages.Load()
		filters, largest := set.filters(span, c.most), 1 // sessions of one of them, as another one may take
		timing.most = max(min(room, sessionsOfAFilter*len(filters)), len(filters))
		for i, filter := range filters {
			asked := timing.sessions()
			if i > 0 && asked+largest > timing.most {
				err = errSessions
				break
			}
			was := a.Figures
			a.Result, err = reconcile.Sync(ctx,
				reconcile.Side{Relay: set.relay(&filter, from), Name: s.Local}, reconcile.Side{Relay: remote, Name: c.url},
				filter, reconcile.Options{
					Direction: reconcile.Down, Denied: s.Denied.Event, Now: s.Now, Enough: timing.enough,
					Refused: func(to negentropy.Side, id negentropy.ID) bool {
						return known.has(to, id) || s.Denied.ID(id.String())
					},
					Remember: func(r reconcile.Refusal) { known.add(ctx, r) },
				})
			largest = max(largest, timing.sessions()-asked)
			if timing.answered.Load() { // what was for nobody cost nothing
				a.bytes += a.NegBytes + a.EventBytes + int64(max(a.Passes, 1)*len(nostr.Encode(filter)))
			}
			if a.Figures = was.Plus(a.Figures); err != nil {
				break
			}
		}
		a.sessions, a.pages = timing.sessions(), int(timing.pages.Load()-before)
		if err != nil {
			break
		}
		a.done++
	}
	if err != nil && errors.Is(context.Cause(ctx), errLookLong) {
		err = fmt.Errorf("%w: %w", errLookLong, err)
	}
	return a, err
}

// looked writes down how a relay has behaved in a look.
func (s *Stage) looked(ctx context.Context, c candidate, lookErr error, late bool, from *authors, sessions int) error {
	fewer, asked := fewerAuthors(c.most)
	tooMany := errors.Is(lookErr, reconcile.ErrTooMany) && asked // it stays due, and is asked for fewer then
	event, why, use, jitter := health.Answered, "", health.Survey.Within(latest), rand.Float64()
	switch {
	case lookErr == nil || late:
	case tooMany:
	case errors.Is(lookErr, reconcile.ErrRefused) || reconcile.RefusalOf(lookErr) != nil && !reconcile.ForTheMoment(lookErr):
		event, use, jitter = health.Refused, health.Survey, (1+jitter)/2 // no sooner than the longest wait
		why = reconcile.Clip(lookErr.Error())
	default:
		event, why = health.Failed, reconcile.Clip(lookErr.Error())
	}
	now, proves := s.Now(), s.followed(ctx, from)
	_, err := s.Relays.Update(ctx, c.key, func(old contract.Relay, found bool) (contract.Relay, bool) {
		was := health.Stored(old.SurveyFailures, old.SurveyRetryAt)
		is := use.Next(was, event, now, jitter)
		news := is != was
		if tooMany && (old.MostAuthors == 0 || old.MostAuthors > fewer) {
			old.MostAuthors, news = fewer, true
		}
		old.SurveyFailures, old.SurveyRetryAt, old.SurveyFault = is.Failures, is.Unix(), why
		if sessions > 1 { // one was counted before it was asked
			old.SurveyRoomAt, old.Asked = busier(old.SurveyRoomAt, now.Unix(), sessions-1), askedFor(old.Asked, now.Unix(), sessions-1)
			news = true
		}
		if event == health.Answered && !old.HasAnswered() {
			old.Answered, news = now.Unix(), true
		}
		if proves && old.Delivered < now.Add(-deliveredEvery).Unix() {
			old.Delivered, news = now.Unix(), true
		}
		return old, found && news
	})
	return err
}

// seen links the authors to a relay that delivered their events, and has it synced with
// the others from now on: by its schedule, and live. Only where no sync has ever been through one is due at once,
// from which a live subscription begins; what the relay has of the slice has just been compared.
func (s *Stage) seen(ctx context.Context, url string, from *authors) error {
	if len(from.counts()) == 0 {
		return nil
	}
	if err := s.evidence(ctx, url, from, true); err != nil {
		return err
	}
	cause := "seen:" + s.Now().UTC().Format(time.DateOnly)
	last, _, err := s.Syncs.Get(ctx, nostr.RelayKey(url))
	switch {
	case err != nil:
		return err
	case last.LastOK == 0:
		return s.Publish(ctx, s.due(url, cause)...)
	case s.MaxLive == 0:
		return s.Publish(ctx, s.schedule(url, true))
	}
	return s.Publish(ctx, s.schedule(url, true), liveDue(contract.Message{Cause: cause + ":" + nostr.RelayKey(url)}, url))
}
