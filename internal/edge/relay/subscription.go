package relay

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/pkg/events"
)

// Update is one item of a live subscription: an event, or the mark that all
// stored events have been delivered.
type Update struct {
	Event events.Event
	EOSE  bool
}

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

// Query yields the stored events that match any of the filters, in the relay's
// order, and ends at EOSE. A failure is yielded once, as the last item: a
// [*RefusedError] for CLOSED, ErrTimeout, ErrConnClosed, ErrSlowConsumer,
// ErrMisbehaving, or the context's error. On auth-required it authenticates
// once, if there is a key, and asks again.
//
// A filter without ids or a limit lets the relay decide how much it sends; the
// caller bounds that by breaking off or by the context. While the caller works
// on an event the next ones wait, and behind them whatever else comes on the
// connection: inside the loop, do not wait for an answer on the same one.
func (c *Conn) Query(ctx context.Context, filters ...events.Filter) iter.Seq2[events.Event, error] {
	return func(yield func(events.Event, error) bool) {
		c.request(ctx, request{filters: filters}, func(u Update, err error) bool { return yield(u.Event, err) })
	}
}

// Subscribe is [Conn.Query] that goes on after EOSE, of which it yields a
// mark, with the events that the relay receives from then on. It ends only
// with an error.
func (c *Conn) Subscribe(ctx context.Context, filters ...events.Filter) iter.Seq2[Update, error] {
	return func(yield func(Update, error) bool) {
		c.request(ctx, request{filters: filters, live: true}, yield)
	}
}

// request is what a Query or a Subscribe asks for.
type request struct {
	filters []events.Filter
	live    bool
	trusted bool // skip the signature: only whether events are there is asked
}

// request runs a request to its end.
func (c *Conn) request(ctx context.Context, r request, yield func(Update, error) bool) {
	if len(r.filters) == 0 {
		return
	}
	retried := false
	for {
		delivered, err := c.ask(ctx, r, yield)
		if isAuthRequired(err) && !delivered && !retried && c.opts.Auth != nil {
			retried = true
			if authErr := c.authenticate(ctx); authErr == nil {
				continue
			} else {
				err = fmt.Errorf("%w; %w", err, authErr)
			}
		}
		if err != nil {
			yield(Update{}, fmt.Errorf("relay %s: %w", c.url, err))
		}
		return
	}
}

// ask sends one REQ and passes on what comes. It returns whether anything was
// passed on, and nil at EOSE of a query or when yield has had enough.
func (c *Conn) ask(ctx context.Context, r request, yield func(Update, error) bool) (delivered bool, err error) {
	s, err := c.open(ctx, r.filters)
	if err != nil {
		return false, err
	}
	defer s.close()
	judge, stored := newJudge(r), true
	wait := time.NewTimer(c.opts.timing.answer)
	defer wait.Stop()
	for {
		d, err := s.next(ctx, wait.C)
		if err != nil {
			return delivered, err
		}
		var u Update
		switch {
		case d.eose && !r.live:
			return delivered, nil
		case d.eose:
			stored, judge.most = false, -1
			wait.Stop() // from here on, silence is normal
			u.EOSE = true
		default:
			var good bool
			if u.Event, good, err = judge.event(d.event); err != nil {
				return delivered, err
			}
			if !good {
				continue
			}
		}
		delivered = true
		if !yield(u, nil) {
			return delivered, nil
		}
		if stored {
			wait.Reset(c.opts.timing.answer)
		}
	}
}

// judge decides which events of a request are passed on, and when a relay has
// sent too much that it should not have.
type judge struct {
	request
	most      int // how many events were asked for, or -1
	good, bad int
}

// tolerated is how many bad events are dropped before the good ones count.
const tolerated = 100

func newJudge(r request) *judge {
	j := &judge{request: r}
	for _, f := range r.filters {
		switch {
		case f.Limit > 0:
			j.most += f.Limit
		case len(f.IDs) > 0:
			j.most += len(f.IDs)
		default:
			j.most = -1
			return j
		}
	}
	return j
}

// event decodes and checks one event. An error ends the request.
func (j *judge) event(raw []byte) (e events.Event, good bool, err error) {
	e, err = events.ParseEvent(raw)
	if err == nil && !j.trusted {
		err = schnorr.Verify(&e)
	}
	if err == nil && slices.ContainsFunc(j.filters, func(f events.Filter) bool { return f.Match(&e) }) {
		if j.good++; j.most >= 0 && j.good > j.most+tolerated {
			return e, false, fmt.Errorf("%w: it sent %d events where %d were asked for", ErrMisbehaving, j.good, j.most)
		}
		return e, true, nil
	}
	if j.bad++; j.bad > tolerated+j.good {
		if err == nil {
			err = fmt.Errorf("event %s does not match the filter", e.ID)
		}
		return e, false, fmt.Errorf("%w: %d of %d events were bad, the last because: %w", ErrMisbehaving, j.bad, j.bad+j.good, err)
	}
	return e, false, nil
}
