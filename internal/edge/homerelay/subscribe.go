package homerelay

import (
	"context"
	"errors"
	"slices"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// subscription is a REQ; its context ends with its CLOSE or its connection.
type subscription struct {
	id       string
	viewer   *viewer // when it was opened: of what is stored
	filters  []nostr.Filter
	size     int
	ctx      context.Context //nolint:containedctx // one per REQ
	cancel   context.CancelFunc
	answered chan struct{} // closed when its stored events were sent
}

// update is an event, as JSON, that a subscription is to get.
type update struct {
	sub   *subscription
	event []byte
}

// onReq takes a REQ. It counts from before its stored events are read, so that
// no event falls between those and the live ones; one may come twice.
func (c *client) onReq(m message) {
	id := m.id()
	if id == "" {
		c.tell("NOTICE", "invalid: REQ takes an id, a string")
		return
	}
	if why := longID(id); why != "" {
		c.tell("CLOSED", id, why)
		return
	}
	c.unsubscribe(id) // a REQ with an id in use replaces the other (NIP-01), or ends it
	filters, err := decodeFilters(m.elements[2:])
	if err != nil {
		c.tell("CLOSED", id, err.Error())
		return
	}
	v := c.viewer.Load()
	if v.mustAuth(filters) {
		c.demandAuth()
		c.tell("CLOSED", id, hidden)
		return
	}
	sub := &subscription{id: id, viewer: v, filters: filters, size: m.size, answered: make(chan struct{})}
	sub.ctx, sub.cancel = context.WithCancel(c.ctx)
	if !c.subscribe(sub) {
		sub.cancel()
		c.tell("CLOSED", id, "blocked: too many concurrent subscriptions")
		return
	}
	c.running.Go(func() { c.answer(sub) })
}

func (c *client) onClose(m message) { c.unsubscribe(m.id()) }

func (c *client) subscribe(sub *subscription) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.subs) == maxSubscriptions || c.held+sub.size > maxHeld {
		return false
	}
	c.subs[sub.id] = sub
	c.held += sub.size
	return true
}

// unsubscribe ends a subscription and waits until nothing of it runs.
func (c *client) unsubscribe(id string) {
	c.mu.Lock()
	sub := c.subs[id]
	c.mu.Unlock()
	if sub != nil {
		c.forget(sub)
		<-sub.answered
	}
}

func (c *client) forget(sub *subscription) {
	sub.cancel()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.subs[sub.id] == sub {
		delete(c.subs, sub.id)
		c.held -= sub.size
	}
}

// answer sends the stored events, each once for every filter that it matches.
func (c *client) answer(sub *subscription) {
	defer close(sub.answered)
	if !acquire(sub.ctx, c.querying) {
		return
	}
	defer func() { <-c.querying }()
	for _, f := range sub.filters {
		err := c.relay.store.Query(sub.ctx, sub.viewer, f, func(event []byte) bool {
			return c.send(sub.ctx, eventMessage(sub.id, event))
		})
		if err != nil && !errors.Is(err, context.Canceled) {
			c.relay.log.Error("home relay query failed", "err", err)
			c.send(sub.ctx, nostr.Message("CLOSED", sub.id, "error: store: "+err.Error()))
			c.forget(sub)
			return
		}
	}
	c.send(sub.ctx, nostr.Message("EOSE", sub.id))
}

// offer queues an event for every subscription that it matches. A client that
// does not keep up is disconnected, so that it knows that it missed something.
func (c *client) offer(e *nostr.Event, text []byte) {
	if !c.viewer.Load().sees(e) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, sub := range c.subs {
		if !slices.ContainsFunc(sub.filters, func(f nostr.Filter) bool { return f.Match(e) }) {
			continue
		}
		if c.lag.Add(int64(len(text))) > feedBytes {
			c.cutOff()
			return
		}
		select {
		case c.feed <- update{sub, text}:
		default:
			c.cutOff()
			return
		}
	}
}

// cutOff ends the connection without waiting for it.
func (c *client) cutOff() {
	c.cancel(errors.New("the client does not keep up with live events"))
}
