package ingest

import (
	"bytes"
	"errors"
	"slices"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	// compareEvery is how often a relay is compared with what was heard of it,
	// besides after each absence.
	compareEvery = time.Hour
	// compareGap is how long after the beginning of a comparison the next one begins
	// at the earliest, even if the connection was cut meanwhile.
	compareGap = 10 * time.Second
	// A relay that speaks NIP-77 is compared as a whole, in spans of up to 100,000
	// events; of others that many parts are read each time, at most 10,000 events
	// besides what was not heard.
	spanParts, pagedParts = 200, 20
	// idsPerREQ is how many events are asked for at a time.
	idsPerREQ = 100
)

// intakeError is an error of KV or NATS, which ends the tail.
type intakeError struct{ error }

func (e intakeError) Unwrap() error { return e.error }

// keepComparing looks for what the relay has and was not heard, at once and then
// now and then, until the run or the intake ends.
func (r *tailRun) keepComparing() error {
	for wait := time.Until(r.compared.Add(compareGap)); ; wait = compareEvery {
		select {
		case <-time.After(wait):
		case <-r.ctx.Done():
			return nil
		}
		r.compared = time.Now()
		if err := r.compareAll(); err != nil && r.ctx.Err() == nil {
			if ours := (intakeError{}); errors.As(err, &ours) {
				return ours.error
			}
			r.Log.InfoContext(r.ctx, "what the relay received while the tail was away is looked for later", "err", err, "wait", compareEvery)
		}
	}
}

// compareAll compares the relay span by span, the newest first. A relay without
// NIP-77 is read for that, so it is one span, and the next one the next time.
func (r *tailRun) compareAll() error {
	relay, err := r.Relay(r.ctx)
	if err != nil {
		return err
	}
	cursor, _, err := r.Cursors.Get(r.ctx, r.key)
	if err != nil {
		return intakeError{err}
	}
	for until := cursor.Compared; ; {
		parts := pagedParts
		if r.speaks {
			parts = spanParts
		}
		r.mu.Lock()
		since := r.heard.span(until, parts)
		end := since <= max(r.heard.floor(), 1)
		r.mu.Unlock()
		if err := r.compareSpan(relay, since, until); err != nil {
			return err
		}
		until = since - 1
		if end {
			until = 0
		}
		if end || !r.speaks {
			if err := r.move(func(c *contract.Cursor) { c.Compared = until }); err != nil {
				return intakeError{err}
			}
			return nil
		}
	}
}

// compareSpan handles what the relay has of a span of time and was not heard, and
// forgets what it has no more: if that comes back, it is heard again.
func (r *tailRun) compareSpan(relay reconcile.Relay, since, until int64) error {
	r.mu.Lock()
	items, err := r.heard.load(r.ctx, since, until)
	r.mu.Unlock()
	if err != nil {
		return intakeError{err}
	}
	var gone []negentropy.ID
	compared, err := reconcile.Differences(
		r.ctx, reconcile.Side{Relay: relay, Name: r.URL}, negentropy.NewVector(slices.Clone(items)), nostr.Filter{Since: since, Until: until},
		func(unheard, only []negentropy.ID) error {
			gone = append(gone, only...)
			return r.hear(relay, unheard)
		},
	)
	if err != nil {
		return err
	}
	r.speaks = !compared.Paged
	r.mu.Lock()
	defer r.mu.Unlock()
	err = r.flush()
	if err == nil && compared.Complete {
		slices.SortFunc(gone, compareIDs)
		err = r.heard.remove(r.ctx, slices.DeleteFunc(items, func(item negentropy.Item) bool {
			_, found := slices.BinarySearchFunc(gone, item.ID, compareIDs)
			return !found
		}))
	}
	if err != nil {
		return intakeError{err}
	}
	return nil
}

func compareIDs(a, b negentropy.ID) int { return bytes.Compare(a[:], b[:]) }

// hear asks for events and handles them. What the relay lists and does not deliver
// is asked for again the next time.
func (r *tailRun) hear(relay reconcile.Relay, ids []negentropy.ID) error {
	for some := range slices.Chunk(ids, min(idsPerREQ, relay.Limits(r.ctx).PageSize())) {
		filter := nostr.Filter{Limit: len(some)}
		for _, id := range some {
			filter.IDs = append(filter.IDs, id.String())
		}
		for e, err := range relay.Query(r.ctx, filter) {
			if err != nil {
				return err
			}
			if err := r.handle(r.ctx, e); err != nil {
				return intakeError{err}
			}
		}
	}
	return nil
}
