package gateway

import (
	"context"
	"slices"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	// maxWatched is how many REQs of a connection are watched at a time; others
	// pass.
	maxWatched = 128
	// maxAdded is how many bytes of found events wait for a slow client.
	maxAdded    = 1 << 20
	maxHeldBack = 4
	// wantBytes is what is held of an event that is wanted. A short REQ may want many:
	// each of its authors in each of its kinds.
	wantBytes = 512
)

// sub is a REQ that is watched: until the relay has said EOSE and what was missing
// is there, and as long as the relay may send what we have sent.
type sub struct {
	id       []byte // as the client wrote it
	cost     int    // of what is held, in bytes
	question *question

	completing bool
	stop       context.CancelFunc // of the completion; nil for none
	heldBack   [][]byte           // EOSE, and a CLOSED behind it
	sent       map[string]bool    // ids of what we have sent, which is not to come twice
}

// watch looks at a REQ on its way to the relay. One of an id that is used again takes
// the place of what the id stood for in one step: an EOSE that the relay sent before is
// held back like its own, and does not pass in between.
func (c *conn) watch(id, rest []byte) {
	name, ok := unquote(id)
	if !ok {
		return
	}
	q := c.questionOf(rest)
	if q == nil {
		c.unwatch(name) // a used id ends what was pending for it
		return
	}
	cost := 4*(len(id)+len(rest)) + wantBytes*q.size()
	c.mu.Lock()
	defer c.mu.Unlock()
	defer func() { c.watching.Store(len(c.subs) > 0) }()
	if before := c.subs[name]; before != nil {
		c.release(before)
		delete(c.subs, name)
	}
	if !c.held.take(cost) {
		return
	}
	if len(c.subs) >= maxWatched && !c.forgetAnswered() {
		c.held.give(cost)
		return
	}
	if c.subs == nil {
		c.subs = map[string]*sub{}
	}
	c.subs[name] = &sub{id: slices.Clone(id), cost: cost, question: q}
	c.gateway.metrics.watched.Inc()
}

// questionOf returns what a REQ may name that the relay lacks, or nil where nothing is
// looked for.
func (c *conn) questionOf(rest []byte) *question {
	if c.hop || c.gateway.completer == nil || !mayName(rest) {
		return nil
	}
	filters, err := filtersOf(rest)
	if err != nil {
		return nil // the relay says so
	}
	return newQuestion(filters)
}

// forgetAnswered drops a subscription of which only what may come twice is
// remembered, and reports whether there was one; mu is held.
func (c *conn) forgetAnswered() bool {
	for name, s := range c.subs {
		if s.question == nil {
			c.forget(name)
			return true
		}
	}
	return false
}

// unwatch ends a subscription. An EOSE that was held back is nothing that the
// client waits for any more.
func (c *conn) unwatch(name string) {
	if !c.watching.Load() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget(name)
}

// forget drops a subscription; mu is held.
func (c *conn) forget(name string) {
	s := c.subs[name]
	if s == nil {
		return
	}
	c.release(s)
	delete(c.subs, name)
	c.watching.Store(len(c.subs) > 0)
}

// release ends the completion of a subscription, and gives back what it holds; mu is held.
func (c *conn) release(s *sub) {
	if s.stop != nil {
		s.stop()
	}
	c.held.give(s.cost)
}

// onEvent looks at an event on its way to the client, and reports whether it is to
// pass.
func (c *conn) onEvent(id, rest []byte) bool {
	name, _ := unquote(id)
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.subs[name]
	if s == nil {
		return true
	}
	var e nostr.Event
	if e.UnmarshalJSON(rest) != nil {
		return true
	}
	if s.sent[e.ID] {
		delete(s.sent, e.ID)
		c.settle(name, s)
		return false
	}
	if s.question != nil {
		s.question.saw(&e)
	}
	return true
}

// settle drops a subscription that nothing is to be known of any more; mu is held.
func (c *conn) settle(name string, s *sub) {
	if s.question == nil && len(s.sent) == 0 {
		c.forget(name)
	}
}

// onEOSE looks at the end of stored events, and reports whether it is to pass now.
func (c *conn) onEOSE(id, text []byte) bool {
	name, _ := unquote(id)
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.subs[name]
	switch {
	case s == nil || s.question == nil:
		return true
	case s.completing:
		return len(s.heldBack) == 0 // else twice, which the client need not know
	case c.challenged && !c.authenticated && !c.public:
		c.forget(name)
		return true
	}
	missing := s.question.missing()
	if len(missing) == 0 {
		c.forget(name)
		return true
	}
	return c.complete(name, s, missing, text)
}

// onClosed looks at the end of a subscription, and reports whether it is to pass
// now: not before an EOSE that is held back.
func (c *conn) onClosed(id, text []byte) bool {
	name, _ := unquote(id)
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.subs[name]
	if s == nil {
		return true
	}
	if len(s.heldBack) == 0 {
		c.forget(name)
		return true
	}
	if len(s.heldBack) < maxHeldBack {
		s.heldBack = append(s.heldBack, slices.Clone(text))
	}
	return false
}
