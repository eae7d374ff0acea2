package reconcile

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"sync/atomic"

	"github.com/relaymesh/relaymesh/internal/pager"
	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	// spots is how many events of a batch are asked for to see whether a side means
	// what it says, spotsBefore the same of those that it is said to lack, which cost
	// an id each, and oneIn how many batches have one that is looked at. Which ones,
	// the side cannot foresee.
	spots       = 5
	spotsBefore = 20
	oneIn       = 4
	// recalls is how often what is owed is asked for again, in 3 s.
	recalls = 2
)

// pick returns up to n of a list at random.
func pick[T any](list []T, n int) []T {
	picked := make([]T, 0, min(n, len(list)))
	for _, i := range rand.Perm(len(list))[:min(n, len(list))] {
		picked = append(picked, list[i])
	}
	return picked
}

func hexOf(ids []negentropy.ID) []string {
	list := make([]string, len(ids))
	for i, id := range ids {
		list[i] = id.String()
	}
	return list
}

// gives asks a side for events by their ids, in the form in which what is
// transferred is asked for, and returns those that come. more is added to the limit:
// some relays answer what they were just asked from memory.
func (r *run) gives(ctx context.Context, l *session, ids []string, more int) (given []nostr.Event, err error) {
	want := make(map[string]bool, len(ids))
	for _, id := range ids {
		want[id] = true
	}
	if len(ids) == 0 {
		return nil, nil
	}
	size, most := 0, l.takes.PageSize()
	if most == pager.Size {
		most += more
	}
	filter := nostr.Filter{IDs: ids, Limit: min(len(ids)+more, most)}
	_, err = l.each(ctx, filter, func(e *nostr.Event) (bool, error) {
		if want[e.ID] {
			delete(want, e.ID)
			given = append(given, *e)
			size += weight(e)
		}
		return len(want) > 0 && size < maxBatchBytes, nil
	})
	r.tally.add(func(f *Figures) { f.EventBytes += int64(size) })
	return given, err
}

// looked decides whether a batch is looked at: each is, until so many events were asked
// for as each worker asks for of a full one. The first batches may be of one event.
func looked(asked *atomic.Int64, full int64) bool {
	return asked.Load() < workers*full || rand.IntN(oneIn) == 0
}

// skipHad takes off the wanted ids what the side that is to be written to delivers
// already, although its session does not list it. A few of a batch are asked for,
// and all of it once one of them came. Whether the event has only just come, the
// next comparison tells.
func (r *run) skipHad(ctx context.Context, to negentropy.Side, want map[string]negentropy.ID) error {
	l := r.sessions[to]
	all := slices.Collect(maps.Keys(want))
	once := map[string]bool{} // it had these, and gave them back
	for _, id := range r.opts.GaveBack[to] {
		if _, ok := want[id]; ok {
			once[id] = true
		}
	}
	if l.listed && len(once) == 0 || !l.hiding.Load() && len(once) == 0 && !looked(&l.skipping, spotsBefore) {
		return nil
	}
	some := all
	if !l.hiding.Load() {
		some = slices.DeleteFunc(pick(all, spotsBefore), func(id string) bool { return once[id] })
		some = slices.AppendSeq(some, maps.Keys(once))
	}
	given, err := r.gives(ctx, l, some, 0)
	l.skipping.Add(int64(len(some)))
	if err == nil {
		for _, e := range given {
			delete(once, e.ID)
		}
		l.owed.lose(len(once))
	}
	if err == nil && len(given) > 0 {
		l.hiding.Store(true)
		if len(some) < len(all) {
			given, err = r.gives(ctx, l, all, 0)
		}
	}
	r.pass.reads(to.Other(), given) // which shows it too
	for _, e := range given {
		r.confirm(to, want[e.ID], &e)
		delete(want, e.ID)
	}
	r.pass.had(to, slices.DeleteFunc(given, func(e nostr.Event) bool { return !r.settled(&e) }))
	return err
}

// askBack asks a side for some of the events of a batch that it has said OK to.
func (r *run) askBack(ctx context.Context, to negentropy.Side, batch []nostr.Event) error {
	l := r.sessions[to]
	if !looked(&l.asking, spots) && !l.owed.suspected() {
		return nil
	}
	select {
	case l.owed.turn <- struct{}{}:
		defer func() { <-l.owed.turn }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if l.loses() {
		return nil
	}
	list := pick(slices.DeleteFunc(slices.Clone(batch), func(e nostr.Event) bool {
		id, err := negentropy.ParseID(e.ID)
		when, ok := r.verdicts.confirmedIn(to, id)
		return err != nil || !ok || when != r.pass.number || !lasts(&e)
	}), spots)
	missing, err := r.missing(ctx, l, list, 1)
	if err != nil {
		return err
	}
	l.asking.Add(int64(len(list)))
	l.owed.owes(list, missing)
	return r.recall(ctx, l, maxOwed)
}

// missing returns which of the events a side does not deliver.
func (r *run) missing(ctx context.Context, l *session, list []nostr.Event, more int) (missing []nostr.Event, err error) {
	ids := make([]string, len(list))
	for i, e := range list {
		ids[i] = e.ID
	}
	given, err := r.gives(ctx, l, ids, more)
	return slices.DeleteFunc(slices.Clone(list), func(e nostr.Event) bool {
		return slices.ContainsFunc(given, func(g nostr.Event) bool { return g.ID == e.ID })
	}), err
}

// recall asks a side again for what it owes, if that is enough, and takes what does
// not come for not kept.
func (r *run) recall(ctx context.Context, l *session, least int) error {
	list := l.owed.take(least)
	for n := 1; n <= recalls && len(list) > 0; n++ {
		err := sleep(ctx, betweenAttempts.Wait(n, rand.Float64()))
		if err == nil {
			list, err = r.missing(ctx, l, list, 1+n)
		}
		if err != nil {
			return err
		}
	}
	l.owed.loseAll(list)
	for _, e := range list {
		id, err := negentropy.ParseID(e.ID)
		if err == nil {
			err = r.refuseForGood(Refusal{id, l.at, Reason{Cause: ByRelay, Code: NotKept}})
		}
		if err != nil {
			return err
		}
	}
	return nil
}
