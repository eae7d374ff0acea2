package gateway

import (
	"context"
	"slices"
	"sync"
	"time"
)

// behind is how many lookups of one REQ run at a time, once its EOSE has passed;
// behindFor is how long they may go on.
const (
	behind    = 16
	behindFor = time.Minute
)

// complete asks for what is missing, and reports whether the EOSE is to pass at
// once: because all of it was asked for lately, or because it is too much to wait
// for. mu is held.
func (c *conn) complete(name string, s *sub, missing []want, eose []byte) (pass bool) {
	all := c.gateway.completer
	missing = slices.DeleteFunc(missing, all.knows)
	if len(missing) == 0 {
		c.forget(name)
		return true
	}
	ctx, stop := context.WithCancel(c.ctx)
	s.completing, s.stop = true, stop
	if len(missing) > waitedFor || !all.ready() {
		c.tasks.Go(func() { c.completeBehind(ctx, name, s, missing) })
		return true
	}
	var flights []*flight
	for _, w := range missing {
		if f := all.ask(c.share, w); f != nil {
			flights = append(flights, f)
		}
	}
	if len(flights) == 0 {
		stop()
		c.forget(name)
		return true
	}
	s.heldBack = [][]byte{slices.Clone(eose)}
	c.tasks.Go(func() { c.completeBefore(ctx, name, s, flights) })
	return false
}

// completeBefore waits until everything was answered, or for as long as a client
// is to wait, and then lets EOSE pass.
func (c *conn) completeBefore(ctx context.Context, name string, s *sub, flights []*flight) {
	m := c.gateway.metrics
	begun, found := time.Now(), 0
	late := time.NewTimer(c.gateway.completer.wait)
	defer late.Stop()
wait:
	for _, f := range flights {
		select {
		case <-f.done:
			found += c.offer(name, s, f)
		case <-late.C:
			break wait
		case <-ctx.Done():
			break wait
		}
	}
	for _, f := range flights { // those behind one that was late
		select {
		case <-f.done:
			found += c.offer(name, s, f)
		default:
		}
	}
	m.latency.took(time.Since(begun))
	if found == 0 {
		m.vain.Inc()
	}
	c.finish(name, s)
}

// completeBehind asks for what is missing after EOSE has passed.
func (c *conn) completeBehind(ctx context.Context, name string, s *sub, missing []want) {
	ctx, cancel := context.WithTimeout(ctx, behindFor)
	defer cancel()
	var group sync.WaitGroup
	slots := make(chan struct{}, behind)
	for _, w := range missing {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
		f := c.gateway.completer.ask(c.share, w)
		if f == nil {
			<-slots
			continue
		}
		group.Go(func() {
			defer func() { <-slots }()
			select {
			case <-f.done:
				if c.offer(name, s, f) > 0 {
					_ = c.down.flush() // the pump meets the error, too
				}
			case <-ctx.Done():
			}
		})
	}
	group.Wait()
	c.finish(name, s)
}

// offer sends a found event, if the subscription still wants it and a client that
// reads slowly leaves space for it, and returns how many it has sent.
func (c *conn) offer(name string, s *sub, f *flight) int {
	if f.event == nil {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.subs[name] != s || s.sent[f.event.ID] || !s.question.takes(f.want, f.event) || c.down.held() > maxAdded {
		return 0
	}
	text := eventMessage(s.id, f.event)
	if !c.held.take(len(text)) {
		return 0
	}
	s.question.saw(f.event)
	if s.sent == nil {
		s.sent = map[string]bool{}
	}
	s.sent[f.event.ID] = true
	c.down.add(text, len(text))
	c.gateway.metrics.completed.Inc()
	return 1
}

// finish lets pass what was held back. What the relay may yet send of what we have
// sent is remembered as long as the subscription lasts.
func (c *conn) finish(name string, s *sub) {
	c.mu.Lock()
	if c.subs[name] == s {
		for _, text := range s.heldBack {
			c.down.add(text, 0)
		}
		closed := len(s.heldBack) > 1
		s.stop()
		s.completing, s.heldBack, s.question = false, nil, nil
		if closed {
			s.sent = nil
		}
		c.settle(name, s)
	}
	c.mu.Unlock()
	_ = c.down.flush() // the pump meets the error, too
}
