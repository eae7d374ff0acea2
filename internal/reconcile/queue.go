package reconcile

import (
	"context"
	"sync"

	"github.com/relaymesh/relaymesh/pkg/negentropy"
)

// highWater is how many ids may wait for their transfer before the comparison
// pauses; it goes on at half of that. One more answer may come on top.
const highWater = 10_000

// queue holds the ids that wait to be written to one side. An id that is
// waiting or in flight is not queued again.
type queue struct {
	mu      sync.Mutex
	changed chan struct{} // closed and replaced with every change
	waiting []negentropy.ID
	pending map[negentropy.ID]struct{} // waiting or in flight
	flying  int                        // how many batches are in flight
	hurry   bool                       // somebody waits until nothing is pending
	full    bool
	closed  bool
}

func newQueue() *queue {
	return &queue{changed: make(chan struct{}), pending: map[negentropy.ID]struct{}{}}
}

// put queues an id, without waiting, and reports whether it was new. Whoever takes
// hears of it by [queue.awaitCapacity] or [queue.wake]: an answer shows many ids at
// once.
func (q *queue) put(id negentropy.ID) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if _, dup := q.pending[id]; dup {
		return false
	}
	q.pending[id] = struct{}{}
	q.waiting = append(q.waiting, id)
	if len(q.pending) >= highWater {
		q.full = true
	}
	return true
}

// take returns up to n ids, and false when the queue is closed and empty. While
// other batches are in flight and more may be found, it waits for n.
func (q *queue) take(ctx context.Context, n int) (ids []negentropy.ID, ok bool) {
	_ = q.until(ctx, func() bool {
		if len(q.waiting) < n && q.flying > 0 && !q.hurry && !q.closed {
			return false
		}
		next := q.waiting[:min(n, len(q.waiting))]
		ids = append(ids, next...)
		q.waiting = q.waiting[len(next):]
		if len(ids) > 0 {
			q.flying++
		}
		return len(ids) > 0 || q.closed
	})
	return ids, len(ids) > 0
}

// settle takes the ids of a batch off the queue for good.
func (q *queue) settle(ids []negentropy.ID) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.flying--
	for _, id := range ids {
		delete(q.pending, id)
	}
	if len(q.pending) <= highWater/2 {
		q.full = false
	}
	q.signal()
}

// awaitCapacity waits until more may be put.
func (q *queue) awaitCapacity(ctx context.Context) error {
	q.wake(false)
	return q.until(ctx, func() bool { return !q.full })
}

// drained waits until nothing waits or is in flight.
func (q *queue) drained(ctx context.Context) error {
	return q.until(ctx, func() bool { return len(q.pending) == 0 })
}

// wake has whoever takes look again. hurry says that no more is put meanwhile.
func (q *queue) wake(hurry bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.hurry = hurry
	q.signal()
}

// close ends take once everything is taken.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.signal()
}

// signal wakes whoever waits; mu is held.
func (q *queue) signal() {
	close(q.changed)
	q.changed = make(chan struct{})
}

// until waits until a condition holds, which is called with mu held.
func (q *queue) until(ctx context.Context, holds func() bool) error {
	for {
		q.mu.Lock()
		changed := q.changed
		if holds() {
			q.mu.Unlock()
			return nil
		}
		q.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
