package relay

import (
	"context"
	"sync"
	"time"

	"github.com/relaymesh/relaymesh/pkg/events"
)

// subscription is a REQ between its sending and its end. The reading
// goroutine fills the queue, the goroutine of the caller empties it.
type subscription struct {
	id    string
	conn  *Conn
	queue chan delivery
	left  chan struct{} // closed when the caller is gone
	ended chan struct{} // closed when nothing more will be queued
	once  sync.Once
	err   error // why it ended; read after ended is closed
}

type delivery struct {
	event []byte
	eose  bool
}

// deliver queues for the caller. A full queue stops the reading of the socket,
// so the relay is slowed and nothing is lost; a caller who takes nothing for
// timing.stall loses the subscription, not the others their connection.
func (s *subscription) deliver(d delivery) {
	select {
	case s.queue <- d:
		return
	default:
	}
	stalled := time.NewTimer(s.conn.opts.timing.stall)
	defer stalled.Stop()
	select {
	case s.queue <- d:
	case <-s.left:
	case <-s.conn.ctx.Done():
	case <-stalled.C:
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

// next returns what is queued, in order, and then why there is no more.
func (s *subscription) next(ctx context.Context, wait <-chan time.Time) (delivery, error) {
	select {
	case d := <-s.queue:
		return d, nil
	default:
	}
	select {
	case d := <-s.queue:
		return d, nil
	case <-s.ended:
	case <-s.conn.ctx.Done():
	case <-ctx.Done():
		return delivery{}, ctx.Err()
	case <-wait:
		return delivery{}, ErrTimeout
	}
	// Nothing is queued after the end, but something may have been before it.
	select {
	case d := <-s.queue:
		return d, nil
	default:
	}
	select {
	case <-s.ended:
		return delivery{}, s.err
	default:
		return delivery{}, s.conn.Err()
	}
}

// open sends a REQ. The caller must close the subscription.
func (c *Conn) open(ctx context.Context, filters []events.Filter) (*subscription, error) {
	if err := c.acquire(ctx, c.subSlots); err != nil {
		return nil, err
	}
	s := &subscription{
		id: c.nextID("r"), conn: c,
		queue: make(chan delivery, queueLength),
		left:  make(chan struct{}),
		ended: make(chan struct{}),
	}
	c.mu.Lock()
	c.subs[s.id] = s
	c.mu.Unlock()
	elements := []any{"REQ", s.id}
	for _, f := range filters {
		elements = append(elements, f)
	}
	msg, err := message(elements...)
	if err == nil {
		err = c.send(ctx, msg)
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// close ends the subscription at both sides and frees its slot.
func (s *subscription) close() {
	close(s.left)
	if s.conn.forget(s) {
		s.conn.tell("CLOSE", s.id)
	}
	s.conn.touch()
	<-s.conn.subSlots
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
