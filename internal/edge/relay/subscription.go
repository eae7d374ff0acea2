package relay

import (
	"context"
	"hash/maphash"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// subscription is a REQ between its sending and its end. The reading
// goroutine fills the queue, the goroutine of the caller empties it.
type subscription struct {
	id     string
	conn   *Conn
	ctx    context.Context //nolint:containedctx // ends when the caller or the connection is gone
	leave  context.CancelFunc
	exit   func()   // gives its slots back
	known  identity // when it was sent
	queue  chan delivery
	budget *semaphore.Weighted // bytes of what is queued or being verified
	ended  chan struct{}       // closed when nothing more will be queued
	once   sync.Once
	err    error // why it ended; read after ended is closed

	// Of the reading goroutine only.
	complete bool     // EOSE came
	latest   []uint32 // parts of hashes of ids, each at its place; nil unless it is live
}

// maxLatest is how many ids of a live subscription are remembered, to count what
// is sent again and again.
const maxLatest = 4096

var latestSeed = maphash.MakeSeed()

// repeats reports whether a live subscription brought an event lately. Relays do
// so when one is both stored and new, which is no harm: it is passed on. A few ids
// that were forgotten for others go unnoticed.
func (s *subscription) repeats(event []byte) bool {
	id, ok := nostr.PeekID(event)
	if s.latest == nil || !ok {
		return false
	}
	hash := maphash.String(latestSeed, id)
	at := &s.latest[hash%maxLatest]
	part := uint32(hash >> 32) //nolint:gosec // the part that the place does not tell
	again := *at == part
	*at = part
	return again
}

type delivery struct {
	event  []byte
	unread *reconcile.Unread // in place of an event
	eose   bool
}

// size is what a delivery takes of the budget, in bytes. Of an event that is too
// large the tags are held, which may be most of it.
func (d delivery) size() int64 {
	if d.unread != nil {
		return maxMessage
	}
	return int64(len(d.event))
}

// deliver queues for the caller. A full queue stops the reading of the socket,
// so the relay is slowed and nothing is lost; a caller who takes nothing for
// timing.stall loses the subscription, not the others their connection.
func (s *subscription) deliver(d delivery) {
	size := d.size()
	if s.budget.TryAcquire(size) {
		select {
		case s.queue <- d:
			return
		default:
			s.budget.Release(size)
		}
	}
	wait, cancel := context.WithTimeout(s.ctx, s.conn.opts.timing.stall)
	defer cancel()
	if s.budget.Acquire(wait, size) == nil {
		select {
		case s.queue <- d:
			return
		case <-wait.Done():
		}
	}
	if s.ctx.Err() == nil {
		s.conn.forget(s)
		s.end(ErrSlowConsumer)
		// This is the reading goroutine, which must not wait for the writing one.
		s.conn.running.Go(func() { s.conn.tell("CLOSE", s.id) })
	}
}

func (s *subscription) end(err error) {
	s.once.Do(func() {
		s.err = err
		close(s.ended)
	})
}

// next returns what is queued, in order, and then why there is no more. It
// waits for the first, and [gather] for others, up to most in all, because
// verifying many together is cheaper. The caller releases the budget that they
// take.
func (s *subscription) next(ctx context.Context, wait <-chan time.Time, most int) (batch []delivery, err error) {
	if batch = s.drain(nil); len(batch) > 0 {
		return s.gather(batch, most), nil
	}
	select {
	case d := <-s.queue:
		return s.gather([]delivery{d}, most), nil
	case <-s.ended:
	case <-s.conn.ctx.Done():
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-wait:
		return nil, reconcile.ErrTimeout
	}
	// Nothing is queued after the end, but something may have been before it.
	if batch = s.drain(nil); len(batch) > 0 {
		return batch, nil
	}
	select {
	case <-s.ended:
		return nil, s.err
	default:
		return nil, s.conn.Err()
	}
}

// gather waits a moment for what is to come, which ends with EOSE.
func (s *subscription) gather(batch []delivery, most int) []delivery {
	late := time.NewTimer(gather)
	defer late.Stop()
	for batch = s.drain(batch); len(batch) < most && !batch[len(batch)-1].eose; batch = s.drain(batch) {
		select {
		case d := <-s.queue:
			batch = append(batch, d)
		case <-late.C:
			return batch
		case <-s.ended:
			return s.drain(batch)
		case <-s.ctx.Done():
			return batch
		}
	}
	return batch
}

// drain adds what is queued to a batch, without waiting.
func (s *subscription) drain(batch []delivery) []delivery {
	for len(batch) < queueLength {
		select {
		case d := <-s.queue:
			batch = append(batch, d)
		default:
			return batch
		}
	}
	return batch
}

// open sends a REQ. The caller must close the subscription.
func (c *Conn) open(ctx context.Context, r request) (*subscription, error) {
	leave, err := c.enter(ctx, r.live)
	if err != nil {
		return nil, err
	}
	s := &subscription{
		id: c.nextID("r"), conn: c, exit: leave, known: c.identity(),
		queue:  make(chan delivery, queueLength),
		budget: semaphore.NewWeighted(queueBytes),
		ended:  make(chan struct{}),
	}
	if r.live {
		s.latest = make([]uint32, maxLatest)
	}
	s.ctx, s.leave = context.WithCancel(c.ctx)
	c.mu.Lock()
	c.subs[s.id] = s
	c.mu.Unlock()
	elements := []any{"REQ", s.id}
	for _, f := range r.filters {
		elements = append(elements, f)
	}
	if err := c.send(ctx, nostr.Message(elements...)); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// close ends the subscription at both sides and frees its slot.
func (s *subscription) close() {
	s.leave()
	if s.conn.forget(s) {
		s.conn.tell("CLOSE", s.id)
	}
	s.conn.touch()
	s.exit()
}

// forget takes the subscription off the connection and reports whether it was
// still open there.
func (c *Conn) forget(s *subscription) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, open := c.subs[s.id]
	delete(c.subs, s.id)
	return open
}
