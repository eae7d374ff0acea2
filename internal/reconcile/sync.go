package reconcile

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	// maxPasses bounds the comparisons of one window: one to find, one to
	// prove, and some for what changes meanwhile.
	maxPasses = 6
	// provedToStart is the first pass that leaves out what is newer than the
	// start of the sync.
	provedToStart = 2
	// maxWindows bounds the spans that a sync is cut into.
	maxWindows = 10_000

	defaultMaxMessages = 100_000
)

// run is one sync.
type run struct {
	opts     Options
	filter   nostr.Filter
	start    int64 // Unix seconds
	sessions [2]*session
	queues   [2]*queue // by the side that is written to
	verdicts *verdicts
	tally    tally
	differ   func(onlyA, onlyB []negentropy.ID) error // see [Differences]; nil in a sync

	pass *passState // replaced while nothing is transferred
	spot spotCheck

	// Of the comparing goroutine.
	left  []Refusal
	lefts int
	why   string
	above int64 // see [Result.Settled]
}

// Sync makes two relays hold the same of what matches the filter, in the
// directions of the options, and returns what that came to; after an error the
// figures are right, too. An error says which side is at fault, and is worth
// another try unless it is ErrMisbehaving. The filter must have no limit.
//
// It goes on until it is done or ctx ends: callers who do not trust the relays
// bound it by that.
func Sync(ctx context.Context, a, b Side, filter nostr.Filter, o Options) (Result, error) {
	if filter.Limit != 0 {
		return Result{}, errors.New("filter: a limit has no meaning in a sync")
	}
	return newRun(a, b, filter, o).sync(ctx)
}

func (r *run) sync(ctx context.Context) (Result, error) {
	var asking sync.WaitGroup
	for _, l := range r.sessions {
		asking.Go(func() { l.takes = l.Limits(ctx) })
	}
	asking.Wait()
	group, gctx := errgroup.WithContext(ctx)
	for to := range r.sessions {
		if !r.opts.Direction.writes(negentropy.Side(to)) {
			continue
		}
		for range workers {
			group.Go(func() error { return r.carry(gctx, negentropy.Side(to)) })
		}
	}
	group.Go(func() error {
		err := r.give(gctx)
		if err == nil {
			err = r.windows(gctx)
		}
		for _, q := range r.queues {
			q.close()
		}
		return err
	})
	err := group.Wait()
	if err == nil {
		r.above = 0
	}
	return Result{
		Figures: r.tally.figures(), Complete: err == nil && r.why == "", Why: r.why, Refusals: r.left, Left: r.lefts,
		Settled:  r.above,
		Doubts:   [2]Doubt{r.sessions[0].doubts(), r.sessions[1].doubts()},
		GaveBack: [2][]string{r.sessions[0].owed.gaveBack, r.sessions[1].owed.gaveBack},
		Paged:    [2]bool{r.sessions[0].no77 != nil, r.sessions[1].no77 != nil},
	}, err
}

func newRun(a, b Side, filter nostr.Filter, o Options) *run {
	if o.MaxMessages == 0 {
		o.MaxMessages = defaultMaxMessages
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	r := &run{
		opts: o, filter: filter, start: o.Now().Unix(), verdicts: newVerdicts(), tally: tally{report: o.Progress},
		sessions: [2]*session{
			{Side: a, at: negentropy.SideA, listed: a.Listed}, {Side: b, at: negentropy.SideB, listed: b.Listed},
		},
		queues: [2]*queue{newQueue(), newQueue()}, pass: &passState{},
	}
	for _, l := range r.sessions {
		l.owed.turn, l.owed.asked = make(chan struct{}, 1), len(o.GaveBack[l.at])
		l.source = o.Direction.writes(l.at.Other()) || o.Direction == None
	}
	return r
}

// give writes to the sides what they are known to lack, as a pass of its own.
func (r *run) give(ctx context.Context) error {
	r.pass = &passState{number: 1}
	for s, list := range r.opts.Give {
		to := negentropy.Side(s)
		for _, id := range list {
			if r.queues[to].put(id) {
				r.tally.add(func(f *Figures) { *f.only(to.Other())++ })
			}
			if err := r.queues[to].awaitCapacity(ctx); err != nil {
				return err
			}
		}
	}
	return r.drained(ctx)
}

// windows works through the spans of time, the newest first, and again if REQs
// contradict what came of it.
func (r *run) windows(ctx context.Context) error {
	open := []window{{since: r.filter.Since, until: r.filter.Until}}
	for n := 1; ; n++ {
		if len(open) == 0 {
			again, err := r.contradicted(ctx)
			if !again || err != nil {
				return err
			}
			open = []window{{r.filter.Since, r.filter.Until, r.pass.number}}
		}
		if n > maxWindows {
			return fmt.Errorf("cut into more than %d spans of time; give a narrower filter", maxWindows)
		}
		next := open[len(open)-1]
		listed := r.sessions[0].listed || r.sessions[1].listed
		if r.above = 0; listed && next.until != r.filter.Until && r.spot.round == 0 {
			r.above = next.until + 1
		}
		if err := r.enough(); n > 1 && err != nil {
			return err
		}
		more, err := r.settle(ctx, next)
		if err != nil {
			return err
		}
		open = append(open[:len(open)-1], more...)
	}
}

func (r *run) enough() error {
	if r.opts.Enough == nil {
		return nil
	}
	return r.opts.Enough()
}

// settle compares a window, waits for the transfers, and compares it again,
// until nothing is found any more. It returns the windows that are left to be
// settled of it, the oldest first.
func (r *run) settle(ctx context.Context, w window) (rest []window, err error) {
	for _, l := range r.sessions {
		l.list, l.unread = nil, nil
	}
	r.tally.add(func(f *Figures) { f.Windows++ })
	for pass := 0; pass < maxPasses; {
		since, err := r.list(ctx, w)
		if err != nil {
			return nil, err
		}
		if since > w.since {
			rest = append(rest, window{w.since, since - 1, w.seen})
			w.since = since
		}
		f, err := r.one(ctx, w, pass)
		if at := (*sideError)(nil); errors.As(err, &at) && (errors.Is(err, ErrTooLarge) || errors.Is(err, ErrNoNegentropy)) {
			// What was found before belongs to this pass, and ends with it.
			if err := r.drained(ctx); err != nil {
				return nil, err
			}
			if newer, older, ok := w.split(r.opts.Now().Unix()); ok && errors.Is(err, ErrTooLarge) {
				return append(rest, older, newer), nil
			}
			r.sessions[at.side].listed, r.sessions[at.side].no77 = true, at.err
			continue
		}
		if err != nil {
			return nil, err
		}
		pass++
		f.spread()
		cut, err := r.truncated(ctx, f)
		if err != nil {
			return nil, err
		}
		if !cut && f.fresh == 0 {
			if r.differ != nil {
				if err := r.differ(f.lacks[negentropy.SideB], f.lacks[negentropy.SideA]); err != nil {
					return nil, err
				}
			}
			return rest, r.accept(*f, r.pass.refused)
		}
		if !cut {
			older, refused, err := r.proved(ctx, w, f)
			if err != nil {
				return nil, err
			}
			if refused != nil {
				return append(rest, older), r.accept(*f, r.pass.held, *refused)
			}
		}
		r.uncount(f)
		if newer, older, ok := r.halves(w, f.reopened); ok && !cut {
			return append(rest, older, newer), nil
		}
	}
	return nil, fmt.Errorf("%w after %d passes: %s (A) and %s (B)", ErrUnproved, maxPasses, r.sessions[0].Name, r.sessions[1].Name)
}

// accept takes what a window comes to: what cannot be the same, and what cannot be
// read, even if both sides list the id.
func (r *run) accept(parts ...findings) error {
	for _, l := range r.sessions {
		if len(l.unread) == maxUnread {
			r.why = fmt.Sprintf("%s delivers %d or more events that cannot be read, and no more of them are told", l.Name, maxUnread)
		}
		f := findings{}
		for listed, why := range l.unread {
			id, err := negentropy.ParseID(listed) // the zero ID is for what has none
			if _, _, told := r.verdicts.refused(l.at.Other(), id); told && err == nil {
				continue
			}
			refusal := Refusal{id, l.at.Other(), Reason{Cause: BySource, Text: why}}
			f.leave(refusal)
			if err := r.refuse(refusal); err != nil {
				return err
			}
		}
		parts = append(parts, f)
	}
	for _, f := range parts {
		r.lefts += f.lefts
		r.left = append(r.left, f.left[:min(len(f.left), maxRefused-len(r.left))]...)
	}
	return nil
}

// one runs a pass and waits for its transfers.
func (r *run) one(ctx context.Context, w window, pass int) (*findings, error) {
	if pass >= provedToStart && r.start >= w.since && (w.until == 0 || w.until > r.start) {
		w.until = r.start
	}
	r.pass = &passState{number: r.pass.number + 1}
	f, err := r.compare(ctx, w)
	if err != nil {
		return nil, err
	}
	r.tally.add(func(f *Figures) { f.Passes++ })
	if err := r.drained(ctx); err != nil {
		return nil, err
	}
	for _, l := range r.sessions {
		if err := r.recall(ctx, l, 1); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// drained waits until all that was found is transferred.
func (r *run) drained(ctx context.Context) error {
	for _, q := range r.queues {
		q.wake(true)
		defer q.wake(false)
	}
	for _, q := range r.queues {
		if err := q.drained(ctx); err != nil {
			return err
		}
	}
	return nil
}

// list lists the sides that need it, and returns where their lists begin.
func (r *run) list(ctx context.Context, w window) (since int64, err error) {
	since = w.since
	for _, l := range r.sessions {
		if written := l.written.Swap(false); !l.listed || (l.list != nil && !written) {
			continue
		}
		ctx := ctx
		if other, is := r.sessions[l.at.Other()].Relay.(overSet); is {
			ctx = WithHeld(ctx, other.held())
		}
		begin, unreached, err := l.fill(ctx, r.filter, w, r.enough)
		r.tally.add(func(f *Figures) { f.EventBytes += int64(l.size) })
		if err != nil {
			return 0, err
		}
		// One that is only written to is asked for what it was given, see unlisted.
		if l.hides = unreached != ""; l.hides && l.source {
			r.why = l.Name + " " + unreached
		}
		since = max(since, begin)
	}
	return since, nil
}

// tally holds the figures.
type tally struct {
	mu     sync.Mutex
	f      Figures
	report func(Figures)
}

func (t *tally) add(change func(*Figures)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	change(&t.f)
	if t.report != nil {
		t.report(t.f)
	}
}

func (t *tally) figures() Figures {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.f
}
