package syncing

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

var (
	// errNotDone is why a sync ends that is to go on later.
	errNotDone = errors.New("goes on later")
	// errLong is that of one that takes longer than [maxDuration], and errSessions of one of a relay that was asked
	// for as many sessions as it is to be asked for at once.
	errLong     = fmt.Errorf("not done in %s, %w", maxDuration, errNotDone)
	errSessions = fmt.Errorf("asked for as many sessions as one relay is in an hour, %w", errNotDone)
)

// errSilent is why a sync ends of a relay that does not answer at all.
var errSilent = fmt.Errorf("%w: no answer in %s", reconcile.ErrTimeout, firstAnswer)

// turn is a sync with a relay, or a part of one that goes on.
type turn struct {
	plan
	url      string
	begun    int64                  // of all parts, Unix seconds
	progress *contract.SyncProgress // of those before
	room     int                    // sessions that the relay may be asked for
	begins   int                    // the same if the sync begins

	result events.SyncFinished
	done   int // jobs that became complete
	paged  *contract.Paged
	passes bool // something was refused for the moment
	timing latency
	from   authors
}

// sync works through the jobs of a turn, but for those that are complete since the
// sync has begun. What was stored before an error stays stored; the figures say how
// much.
func (s *Stage) sync(ctx context.Context, t *turn) (err error) {
	t.result = events.SyncFinished{URL: t.url}
	if t.timing.most = t.room; t.progress == nil {
		t.timing.most = t.begins
	}
	if t.timing.most <= 0 {
		return errSessions
	}
	ctx, cancel := context.WithTimeoutCause(ctx, maxDuration, errLong)
	defer cancel()
	ctx, leave := stage.UntilDenied(ctx, s.Denied, t.url)
	defer leave()
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	t.timing.asked = sync.OnceFunc(func() { // not before: the local relay may take its time
		silent := time.AfterFunc(firstAnswer, func() {
			if !t.timing.answered.Load() {
				giveUp(errSilent)
			}
		})
		context.AfterFunc(ctx, func() { silent.Stop() })
	})
	defer func() {
		if err != nil && !errors.Is(err, errNotDone) && errors.Is(context.Cause(ctx), errNotDone) {
			err = fmt.Errorf("%w: %w", errLong, err)
		}
	}()
	known, err := s.recall(ctx, t.url)
	if err == nil {
		known.sync, _, err = s.Syncs.Get(ctx, nostr.RelayKey(t.url))
	}
	if err != nil {
		return err
	}
	local, remote, err := s.sides(ctx, t.url, &t.timing, &t.from)
	if err != nil {
		return err
	}
	start, list := s.Now().Unix(), toBeginning(t.jobs)
	if t.paged != nil || remote.Relay.Limits(ctx).NoNegentropy {
		t.paged = pagedBy(t.paged, true, t.jobs)
		list = inPages(list, *t.paged, t.read, known.sync.Through, start)
	}
	if len(list) > 0 && sampleDue(known.sync, start, rand.Float64()) {
		known.sample = list[rand.IntN(len(list))].key()
	}
	left := undone(list, t.progress)
	known.shown = s.running.sync(contract.RunningSync{URL: t.url, Begun: t.begun, Done: len(list) - len(left), Of: len(list)})
	defer known.shown.end()
	largest := 1 // of the jobs, in sessions: another one may be as large
	known.enough = t.timing.enough
	for _, j := range left {
		before := t.timing.sessions()
		if begins := t.progress == nil && t.done == 0; !begins && before+largest > t.room {
			return errSessions
		}
		part := partOf(t.progress, j, s.Now().Unix())
		rest := j
		rest.filter.Until = part.Until
		r, err := s.syncMember(ctx, local, remote, rest, known, &t.result)
		again := forNow(r)
		part.Yield = part.Plus(yieldOf(r))
		switch {
		case errors.Is(err, errSessions) && r.Settled > 1 && !again:
			part.Until = r.Settled - 1
			if wrote := s.progress(ctx, t, len(list), &part, nil); wrote != nil {
				return wrote
			}
			return err
		case errors.Is(err, errSessions) && r.ToA+r.ToB == 0 && r.Undelivered > 0: // it would end so each time
			return fmt.Errorf("%w: %d events that %s lists do not come", reconcile.ErrUnproved, r.Undelivered, t.url)
		case err != nil:
			return err
		}
		largest = max(largest, t.timing.sessions()-before)
		t.passes = t.passes || again
		if paged := r.Paged[negentropy.SideB]; t.done == 0 {
			t.paged = pagedBy(t.paged, paged, t.jobs)
			remote.Listed = remote.Listed || paged // each session would be refused
		}
		t.done++
		known.shown.partDone()
		if err := s.readToBeginning(ctx, t, j, part); err != nil {
			return err
		}
		if len(list) > 1 && !again {
			if err := s.progress(ctx, t, len(list), nil, &j); err != nil {
				return err
			}
		}
	}
	return nil
}

// readToBeginning writes down what of a relay was read to its beginning by a job, in parts of which this is the last.
func (s *Stage) readToBeginning(ctx context.Context, t *turn, j job, part contract.SyncPart) error {
	if t.paged == nil || j.begins == "" {
		return nil
	}
	after := func(was contract.Read) contract.Read {
		return contract.Read{At: part.At, Again: part.At + againAfter(was, part.Yield, len(j.filter.Authors)), By: was.By}
	}
	if j.begins != writers {
		t.paged.Read[j.begins] = after(t.paged.Read[j.begins])
		return nil
	}
	by := readBy(t.jobs)
	for _, author := range j.filter.Authors {
		was := t.read[author]
		if was.By != by {
			was = contract.Read{By: by}
		}
		read := after(was)
		if read.Again == read.At && was.Again == was.At && was.At != 0 {
			continue // it is as it was
		}
		_, err := s.Links.Update(ctx, contract.LinkKey(nostr.RelayKey(t.url), author), func(old contract.Link, found bool) (contract.Link, bool) {
			old.Read = &read
			return old, found
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// undone returns the jobs that are not complete since the sync has begun.
func undone(list []job, progress *contract.SyncProgress) []job {
	if progress == nil {
		return list
	}
	return slices.DeleteFunc(slices.Clone(list), func(j job) bool { return slices.Contains(progress.Done, j.key()) })
}

// progress writes down which job of so many is complete since the sync has begun, or how far one has come.
func (s *Stage) progress(ctx context.Context, t *turn, of int, part *contract.SyncPart, done *job) error {
	_, err := s.Syncs.Update(ctx, nostr.RelayKey(t.url), func(old contract.Sync, _ bool) (contract.Sync, bool) {
		progress := contract.SyncProgress{Begun: t.begun, Of: of, Part: part}
		if old.Progress != nil && old.Progress.Begun == t.begun {
			progress.Done = slices.Clone(old.Progress.Done)
		}
		if done != nil {
			progress.Done = append(progress.Done, done.key())
		}
		old.URL, old.Progress = t.url, &progress
		return old, true
	})
	return err
}
