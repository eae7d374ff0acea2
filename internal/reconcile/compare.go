package reconcile

import (
	"context"
	"fmt"
	"math"

	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// findings are what one pass has found.
type findings struct {
	fresh int                // ids queued to be transferred
	other [2]int             // ids that a side lacks and is not to be given
	lacks [2][]negentropy.ID // these, if somebody wants to know
	left  []Refusal          // the first differences that cannot be settled
	lefts int                // how many there are

	// floor is a created_at: both sides have shown what they have above it.
	floor   int64
	floored bool
	// reopened is that a side was asked in more than one session.
	reopened bool
	// suspects are ids that a side is said to lack and was not given, or was
	// given: if it has them, its sets are cut short.
	suspects [2][]negentropy.ID
	// unlisted are ids that a side has confirmed before its session was opened,
	// which does not list them.
	unlisted [2][]negentropy.ID
}

const maxSuspects = 10

func (f *findings) suspect(to negentropy.Side, id negentropy.ID) {
	if len(f.suspects[to]) < maxSuspects {
		f.suspects[to] = append(f.suspects[to], id)
	}
}

func (f *findings) leave(r Refusal) {
	if f.lefts++; len(f.left) < maxRefused {
		f.left = append(f.left, r)
	}
}

// plus adds the differences of others.
func (f *findings) plus(g *findings) *findings {
	f.lefts += g.lefts
	f.left = append(f.left, g.left[:min(len(g.left), maxRefused-len(f.left))]...)
	return f
}

// answer is what an exchange with a side brought.
type answer struct {
	from   negentropy.Side
	msg    []byte
	opened int // see session
	err    error
}

// compare runs one pass over a window: both sides are asked at the same time,
// in new sessions, and what only one side has is queued as it is found.
func (r *run) compare(ctx context.Context, w window) (*findings, error) {
	f := &findings{}
	var failed error
	found := func(to negentropy.Side) func(negentropy.ID) {
		return func(id negentropy.ID) {
			if err := r.found(w, f, to, id); err != nil {
				failed = err
			}
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	answers, flying := make(chan answer, len(r.sessions)), 0
	defer func() {
		cancel()
		for ; flying > 0; flying-- {
			<-answers
		}
		for _, l := range r.sessions {
			l.hangUp()
		}
	}()
	filter := w.filter(r.filter)
	var limits [2]negentropy.SideOptions
	var opened [2]int
	for s, l := range r.sessions {
		l.start(w)
		limits[s] = l.options(filter)
	}
	bridge := negentropy.NewBridge(negentropy.BridgeOptions{
		A: limits[0], B: limits[1],
		OnlyA: found(negentropy.SideB), OnlyB: found(negentropy.SideA), MaxMessages: r.opts.MaxMessages,
	})
	hear := func(a answer) error {
		if a.err != nil {
			r.uncount(f)
			return a.err
		}
		if opened[a.from] > 0 && a.opened > opened[a.from] {
			f.reopened = true
			bridge.Reopened(a.from)
		}
		opened[a.from] = a.opened
		_ = bridge.Feed(a.from, a.msg) // Err returns it
		for _, q := range r.queues {
			if err := q.awaitCapacity(ctx); err != nil {
				return err
			}
		}
		return nil
	}
	for {
		// Those in this process first: what they answer goes into the same message to the other side.
		for asked := true; asked; {
			asked = false
			for s, l := range r.sessions {
				if !l.near() {
					continue
				}
				if msg, ok := bridge.Next(negentropy.Side(s)); ok {
					asked = true
					reply, err := r.exchange(ctx, l, filter, msg)
					if err := hear(answer{negentropy.Side(s), reply, l.opened, err}); err != nil {
						return nil, err
					}
				}
			}
		}
		for s, l := range r.sessions {
			side := negentropy.Side(s)
			msg, ok := bridge.Next(side)
			if !ok {
				continue
			}
			flying++
			go func() {
				reply, err := r.exchange(ctx, l, filter, msg)
				answers <- answer{side, reply, l.opened, err}
			}()
		}
		if err := bridge.Err(); err != nil {
			return nil, fmt.Errorf("compare %s (A) with %s (B): %w", r.sessions[0].Name, r.sessions[1].Name, err)
		}
		if failed != nil || flying == 0 {
			floor, ok := bridge.Floor()
			f.floor, f.floored = int64(min(floor, math.MaxInt64)), ok
			return f, failed
		}
		a := <-answers
		flying--
		if err := hear(a); err != nil {
			return nil, err
		}
	}
}

// exchange is that of a session, and counts what went over a wire and was answered.
func (r *run) exchange(ctx context.Context, l *session, filter nostr.Filter, msg []byte) (answer []byte, err error) {
	size := len(msg) // the bridge may use it again once it is answered
	answer, err = l.exchange(ctx, filter, msg)
	if err != nil || l.near() {
		return answer, err
	}
	r.tally.add(func(f *Figures) {
		f.Messages += 2
		f.NegBytes += int64(2 * (size + len(answer))) // in hex
	})
	return answer, nil
}

// uncount takes back what a pass has counted that another will find again.
func (r *run) uncount(found *findings) {
	r.tally.add(func(f *Figures) {
		for to, n := range found.other {
			*f.only(negentropy.Side(to).Other()) -= n
		}
	})
}

// found takes an id that a side lacks.
func (r *run) found(w window, f *findings, to negentropy.Side, id negentropy.ID) error {
	first := func() { r.tally.add(func(f *Figures) { *f.only(to.Other())++ }) }
	if !r.opts.Direction.writes(to) {
		f.suspect(to, id)
		if r.opts.Lacks != nil {
			r.opts.Lacks(to, id)
		}
		if w.seen == 0 {
			f.other[to]++
			first()
		}
		return r.lacks(f, to, id)
	}
	if refusal, round, ok := r.verdicts.refused(to, id); ok {
		if round > w.seen {
			f.leave(refusal)
		}
		return nil
	}
	if r.opts.Refused != nil && r.opts.Refused(to, id) {
		first()
		return r.refuse(Refusal{id, to, Reason{Cause: ByEarlier, Text: "refused in an earlier sync"}})
	}
	if when, ok := r.verdicts.confirmedIn(to, id); ok {
		switch {
		case when == r.pass.number: // reported again, after a session was opened anew
		case r.sessions[to].hides && r.sessions[to].source: // it may be there, and Result.Why says so
		default:
			f.unlisted[to] = append(f.unlisted[to], id)
		}
		return nil
	}
	if r.sessions[to].loses() {
		first()
		return r.refuse(notWritten(to, id))
	}
	if why, ok := r.sessions[to.Other()].unreadable(id); ok {
		first()
		return r.refuse(Refusal{id, to, Reason{Cause: BySource, Text: why}})
	}
	if r.queues[to].put(id) {
		f.fresh++
		first()
	}
	return nil
}
