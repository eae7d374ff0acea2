package reconcile

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	// workers is how many batches of one direction are under way at a time.
	workers = 2
	// idsPerRequest is how many events are asked for in one REQ.
	idsPerRequest = 100
	// writing is how many events of a batch wait for their OK at a time.
	writing = 50
	// maxBatchBytes is how much is read before it is written.
	maxBatchBytes = 8 << 20
	// readTime bounds one REQ, so that a relay that trickles is dropped.
	readTime = 3 * time.Minute
	// tolerated is how many events a side may promise and not deliver before
	// those that it delivers count: some list what they do not show to us.
	tolerated = 1000
)

// carry moves what is queued for a side, until the queue is closed.
func (r *run) carry(ctx context.Context, to negentropy.Side) error {
	q := r.queues[to]
	for {
		ids, ok := q.take(ctx, idsPerRequest)
		if !ok {
			return context.Cause(ctx)
		}
		if err := r.move(ctx, to, ids); err != nil {
			return err
		}
		q.settle(ids)
	}
}

// move reads events from one side and writes them to the other. A batch is read
// to its end before the first of it is written: while a REQ is being read,
// nothing may wait for an answer of a relay.
func (r *run) move(ctx context.Context, to negentropy.Side, ids []negentropy.ID) error {
	want := make(map[string]negentropy.ID, len(ids))
	for _, id := range ids {
		want[id.String()] = id
	}
	from := r.sessions[to.Other()]
	if err := r.skipHad(ctx, to, want); err != nil {
		return err
	}
	for len(want) > 0 {
		// A relay that caps what it sends for one REQ is asked for the rest,
		// until it sends nothing more of it.
		batch, err := r.fetch(ctx, from, want)
		if err != nil {
			return err
		}
		if len(batch) == 0 {
			break
		}
		if err := r.write(ctx, to, batch); err != nil {
			return err
		}
		if err := r.askBack(ctx, to, batch); err != nil {
			return err
		}
	}
	for _, id := range want {
		why, ok := from.unreadable(id)
		if !ok {
			why = from.Name + " lists it and does not deliver it"
		}
		if err := r.refuse(Refusal{id, to, Reason{Cause: BySource, Text: why}}); err != nil {
			return err
		}
	}
	if f := r.tally.figures(); f.Undelivered > tolerated+f.ToA+f.ToB+f.Refused+f.HeldBack {
		return from.fail(fmt.Errorf("%w: %d events that are listed are not delivered as asked", ErrMisbehaving, f.Undelivered))
	}
	return nil
}

// fetch asks for the wanted events, up to maxBatchBytes, and takes those that
// came off the wanted ones. What an earlier sync has read is not asked for.
func (r *run) fetch(ctx context.Context, from *session, want map[string]negentropy.ID) (batch []nostr.Event, err error) {
	if batch = r.opts.Cache.take(want); len(batch) > 0 {
		r.pass.reads(from.at, batch)
		return batch, nil
	}
	filter := nostr.Filter{Limit: min(len(want), from.takes.PageSize()), IDs: slices.Sorted(maps.Keys(want))}
	size := 0
	_, err = from.each(WithUnread(ctx, from.cannotRead), filter, func(e *nostr.Event) (more bool, err error) {
		if _, ok := want[e.ID]; ok {
			delete(want, e.ID)
			batch = append(batch, *e)
			size += weight(e)
		}
		return size < maxBatchBytes, nil
	})
	r.tally.add(func(f *Figures) { f.EventBytes += int64(size) })
	r.pass.reads(from.at, batch)
	r.opts.Cache.keep(batch)
	return batch, err
}

// timely returns why ctx ended, if it has, and err otherwise.
func timely(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// weight is about the size of an event in JSON, in bytes.
func weight(e *nostr.Event) int {
	n := 320 + len(e.Content)
	for _, t := range e.Tags {
		n += 2
		for _, s := range t {
			n += 3 + len(s)
		}
	}
	return n
}

// write writes a batch to a side and waits for every OK. Deletions (NIP-09) come
// first: a relay that knows them refuses what they delete, and shows it to nobody
// in between.
func (r *run) write(ctx context.Context, to negentropy.Side, batch []nostr.Event) error {
	var parts [2][]nostr.Event
	for _, e := range batch {
		later := 1
		if e.Kind == nostr.KindDeletion {
			later = 0
		}
		parts[later] = append(parts[later], e)
	}
	for _, part := range parts {
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(writing)
		for _, e := range part {
			group.Go(func() error { return r.writeOne(ctx, to, e) })
		}
		if err := group.Wait(); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) writeOne(ctx context.Context, to negentropy.Side, e nostr.Event) error {
	id, err := negentropy.ParseID(e.ID)
	if err != nil {
		return err
	}
	if !r.filter.Match(&e) {
		// Some relays drop parts of a filter in sessions, so their set is larger.
		return r.refuse(Refusal{
			id, to, Reason{Cause: BySource, Text: r.sessions[to.Other()].Name + " lists it, but it does not match the filter"},
		})
	}
	if rule := r.forbidden(to, &e); rule != "" {
		return r.refuseForGood(Refusal{id, to, Reason{Cause: ByRules, Code: rule}})
	}
	if r.sessions[to].loses() {
		return r.refuse(notWritten(to, id))
	}
	reply, err := r.publish(ctx, r.sessions[to], e)
	switch {
	case err != nil:
		return err
	case reply.Kept():
	case reply.Reason.Passes():
		return r.refuse(Refusal{id, to, reply.Reason})
	default:
		return r.refuseForGood(Refusal{id, to, reply.Reason})
	}
	r.sessions[to].written.Store(true)
	r.confirm(to, id, &e)
	r.tally.add(func(f *Figures) { *f.to(to)++ })
	return nil
}

// confirm notes that a side has an event now.
func (r *run) confirm(to negentropy.Side, id negentropy.ID, e *nostr.Event) {
	r.verdicts.confirm(to, id, r.pass.number)
	r.pass.writes(to, negentropy.Item{Timestamp: uint64(e.CreatedAt), ID: id})
}

// forbidden returns the rule of ours that keeps an event from a side, or "".
func (r *run) forbidden(to negentropy.Side, e *nostr.Event) Code {
	if r.opts.Denied != nil && r.opts.Denied(e) {
		return Denied
	}
	if to == negentropy.SideA {
		return MayCopy(e, r.opts.Now().Unix())
	}
	return mayUpload(e, r.opts.Now().Unix(), r.opts.UploadPrivate)
}

// publish writes an event, again after interruptions and refusals that pass.
func (r *run) publish(ctx context.Context, to *session, e nostr.Event) (reply Reply, err error) {
	for n := 1; ; n++ {
		err = to.again(ctx, func() error {
			var err error
			reply, err = to.Publish(ctx, e)
			return err
		})
		if err != nil || reply.Kept() || !reply.Reason.Passes() || n == attempts {
			return reply, err
		}
		if err := sleep(ctx, betweenAttempts.Wait(n, rand.Float64())); err != nil {
			return reply, err
		}
	}
}

// refuseForGood notes that a side cannot be given an event, and has that
// remembered for the syncs to come.
func (r *run) refuseForGood(refusal Refusal) error {
	if r.opts.Remember != nil {
		r.opts.Remember(refusal)
	}
	return r.refuse(refusal)
}

// refuse notes that a side cannot be given an event.
func (r *run) refuse(refusal Refusal) error {
	r.tally.add(func(f *Figures) {
		switch refusal.Cause {
		case BySource:
			f.Undelivered++
		case ByRules:
			f.HeldBack++
		case ByRelay, ByEarlier:
			f.Refused++
		}
	})
	r.pass.refuses(refusal)
	return r.verdicts.refuse(refusal, r.pass.number)
}
