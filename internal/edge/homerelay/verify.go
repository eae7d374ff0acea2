package homerelay

import (
	"context"

	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Signatures are verified in batches, which take a third of the time. A batch is
// whatever waits when the one before is done, in the order of the turns: a lone event
// waits for nothing, and none comes after what it would come before without batches.
const (
	// maxBatch takes about 3 ms, for which an event may wait while the batch before is
	// verified.
	maxBatch = 64
	// alone is how many events of a party are verified one by one after a bad
	// signature, which makes the batch that it is in cost three times as much.
	alone = 4 * maxBatch
)

// verify returns an error that says what is wrong with the signature of an event, or
// that the context has ended before it was the party's turn.
func (r *Relay) verify(ctx context.Context, p party, e *nostr.Event) (err error) {
	left, _ := r.forgers.Get(p)
	var done bool
	if left > 0 {
		done = r.work(ctx, p, verifying, func() { err = schnorr.VerifySignature(e) })
	} else {
		done, err = r.working.verify(ctx, p, verifying+minWork, e)
	}
	switch {
	case !done:
		return ctx.Err()
	case err != nil:
		r.forgers.Put(p, alone)
	case left > 0:
		r.forgers.Put(p, left-1)
	}
	return err
}

// verify verifies a signature with those of others, and reports whether it did before
// the context ended.
func (g *gate) verify(ctx context.Context, p party, cost int, e *nostr.Event) (done bool, err error) {
	if ctx.Err() == nil {
		t := g.queue(&turn{party: p, width: 1, event: e}, cost)
		select {
		case <-t.open:
			return true, t.err
		case <-ctx.Done():
			g.giveUp(t)
		}
	}
	return false, nil
}

// batchReady reports whether signatures may be verified. While some are, others gather,
// unless there are enough for a full batch; mu is held.
func (g *gate) batchReady() bool {
	return len(g.signed) > 0 && (g.batches == 0 || len(g.signed) >= g.batch)
}

// startBatch verifies what waits, in a slot that is taken; mu is held.
func (g *gate) startBatch() {
	var turns []*turn
	for len(turns) < g.batch && len(g.signed) > 0 {
		turns = append(turns, g.take(&g.signed))
	}
	g.batches++
	go g.verifyBatch(turns)
}

func (g *gate) verifyBatch(turns []*turn) {
	events := make([]*nostr.Event, len(turns))
	for i, t := range turns {
		events[i] = t.event
	}
	errs := g.verifyAll(events)
	g.mu.Lock()
	g.batches--
	g.mu.Unlock()
	g.leave(1)
	for i, t := range turns {
		t.err = errs[i]
		close(t.open)
	}
}
