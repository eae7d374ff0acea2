package homerelay

import (
	"context"
	"errors"
	"fmt"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// subscription is a REQ; its context ends with its CLOSE or its connection.
type subscription struct {
	client   *client
	id       string
	viewer   *viewer // when it was opened: of what is stored
	filters  []nostr.Filter
	watches  []*watch        // of the matcher
	size     int             // of the REQ's text
	bytes    int             // that it takes
	ctx      context.Context //nolint:containedctx // one per REQ
	cancel   context.CancelFunc
	answered chan struct{} // closed when its stored events were sent
}

// onReq takes a REQ. It counts from before its stored events are read, so that
// no event falls between those and the live ones; one may come twice.
func (c *client) onReq(m message) {
	c.unsubscribe(m.id()) // a REQ with an id in use replaces the other (NIP-01), or ends it
	id, filters, v, ok := c.asked(m)
	if !ok {
		return
	}
	sub := &subscription{
		client: c, id: id, viewer: v, filters: filters, size: m.size, bytes: subscriptionBytes(filters), answered: make(chan struct{}),
	}
	sub.ctx, sub.cancel = context.WithCancel(c.ctx)
	if err := c.subscribe(sub); err != nil {
		sub.cancel()
		c.tell("CLOSED", id, "blocked: "+err.Error())
		return
	}
	c.running.Go(func() { c.answer(sub) })
}

// asked reads the id and the filters of a REQ or COUNT, which must be answered as the
// viewer may see. Where it is not ok, the client has been told why.
func (c *client) asked(m message) (id string, filters []nostr.Filter, v *viewer, ok bool) {
	if id = m.id(); id == "" {
		c.tell("NOTICE", "invalid: "+m.label+" takes an id, a string")
		return "", nil, nil, false
	}
	if why := longID(id); why != "" {
		c.tell("CLOSED", id, why)
		return "", nil, nil, false
	}
	filters, err := c.decodeFilters(m.elements[2:])
	if err != nil {
		c.tell("CLOSED", id, err.Error())
		return "", nil, nil, false
	}
	if v = c.viewer.Load(); v.mustAuth(filters) {
		c.demandAuth()
		c.tell("CLOSED", id, hidden)
		return "", nil, nil, false
	}
	return id, filters, v, true
}

func (c *client) onClose(m message) { c.unsubscribe(m.id()) }

func (c *client) subscribe(sub *subscription) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.subs) == maxSubscriptions || c.held+sub.size > maxHeld {
		return errors.New("too many concurrent subscriptions")
	}
	l := c.relay.ledger
	if err := l.take(c.hold, subscriptions, 1); err != nil {
		return err
	}
	if err := l.take(c.hold, heldBytes, sub.bytes); err != nil {
		l.give(c.hold, subscriptions, 1)
		return err
	}
	c.subs[sub.id] = sub
	c.held += sub.size
	c.relay.clients.matcher.add(sub)
	return nil
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
		c.relay.clients.matcher.remove(sub)
		c.relay.ledger.give(c.hold, subscriptions, 1)
		c.relay.ledger.give(c.hold, heldBytes, sub.bytes)
	}
}

// forgetAll ends all subscriptions.
func (c *client) forgetAll() {
	for _, sub := range c.subs { // nothing else of the client runs any more
		c.forget(sub)
	}
}

// subscriptionBytes is about what a subscription takes: its filters' values,
// each a string with its places in the filter and in the matcher.
func subscriptionBytes(filters []nostr.Filter) int {
	const base, filter, value = 1024, 512, 96
	n := base
	list := func(values []string) {
		for _, v := range values {
			n += value + len(v)
		}
	}
	for _, f := range filters {
		n += filter + value*len(f.Kinds)
		list(f.IDs)
		list(f.Authors)
		for _, values := range f.Tags {
			n += value
			list(values)
		}
	}
	return n
}

// answer sends the stored events, each once for every filter that it matches.
func (c *client) answer(sub *subscription) {
	defer close(sub.answered)
	if !acquire(sub.ctx, c.querying) {
		return
	}
	defer func() { <-c.querying }()
	if !c.keep(sub.bytes) { // a query has its values once more
		return
	}
	defer c.drop(sub.bytes)
	c.lookUp(sub)
	message := func(event []byte) []byte { return eventMessage(sub.id, event) }
	for _, f := range sub.filters {
		sent := 0
		err := c.relay.store.pages(sub.ctx, sub.viewer, f, message, c.work, func(page [][]byte) bool {
			sent += len(page)
			return c.sendPage(sub, page)
		})
		if err != nil && !errors.Is(err, context.Canceled) {
			c.relay.log.Error("home relay query failed", "err", err)
			c.send(sub.ctx, nostr.Message("CLOSED", sub.id, storeReason(err)))
			c.forget(sub)
			return
		}
		if f.IDs == nil || sent < min(len(f.IDs), limitOf(f)) {
			c.offerAuth(sub.viewer, f)
		}
	}
	c.send(sub.ctx, nostr.Message("EOSE", sub.id))
}

// sendPage sends messages, of which those that wait are counted; it reports
// whether the subscription goes on.
func (c *client) sendPage(sub *subscription, page [][]byte) bool {
	waiting := 0
	for _, msg := range page {
		waiting += cap(msg)
	}
	if !c.keep(waiting) {
		return false
	}
	for i, msg := range page {
		page[i] = nil
		c.drop(cap(msg)) // send counts it
		waiting -= cap(msg)
		if !c.send(sub.ctx, msg) {
			break
		}
	}
	c.drop(waiting)
	return sub.ctx.Err() == nil
}

// offer queues an event for a subscription, if it may be shown. A client that
// does not keep up is disconnected, so that it knows that it missed something.
func (c *client) offer(sub *subscription, e *nostr.Event, event *live) {
	if !c.viewer.Load().sees(e) {
		return
	}
	if !c.feed.push(update{sub, event}) {
		c.cutOff(errLags)
		return
	}
	c.keep(updateBytes)
}

// nextUpdate returns the message of the next live event, or nil where there is
// none to be sent.
func (c *client) nextUpdate() []byte {
	u, ok := c.feed.pop()
	if !ok {
		return nil
	}
	c.drop(updateBytes)
	if u.sub.ctx.Err() != nil {
		return nil
	}
	if text := u.event.text.Load(); text != nil {
		return eventMessage(u.sub.id, *text)
	}
	text, err := c.relay.store.Text(u.event.id)
	switch {
	case err != nil:
		c.cutOff(fmt.Errorf("store: %w", err))
	case text != nil:
		return eventMessage(u.sub.id, text)
	case !u.event.stored:
		c.cutOff(errLags)
	}
	return nil // it has been deleted since
}

var errLags = errors.New("the client does not keep up with live events")

// cutOff ends the connection without waiting for it.
func (c *client) cutOff(cause error) { c.cancel(cause) }
