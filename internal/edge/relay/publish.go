package relay

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Publish sends an event and waits for the relay's OK. On auth-required it
// authenticates once, if there is a key, and sends it again.
//
// Many goroutines may publish at once; up to 100 events are in flight. After an
// error it is unknown whether the relay has the event, and publishing it again
// is harmless.
func (c *Conn) Publish(ctx context.Context, e nostr.Event) (reply reconcile.Reply, err error) {
	if err := c.acquire(ctx, c.pubSlots); err != nil {
		return reply, err
	}
	defer func() { <-c.pubSlots }()
	reply, err = c.submit(ctx, "EVENT", e)
	if err == nil && reply.Reason.Code == reconcile.PrefixAuthRequired && c.opts.Auth != nil {
		if authErr := c.authenticate(ctx); authErr == nil {
			reply, err = c.submit(ctx, "EVENT", e)
		} else {
			reply.Reason.Text = reconcile.Clip(fmt.Sprintf("%s; %v", reply.Reason.Text, authErr))
		}
	}
	if err != nil {
		return reply, named{c.url, fmt.Errorf("publish %s: %w", e.ID, err)}
	}
	return reply, nil
}

// submit sends an EVENT or AUTH message and waits for its OK. A NOTICE, which names no
// event, counts as the refusal of what gets no OK.
func (c *Conn) submit(ctx context.Context, label string, e nostr.Event) (reply reconcile.Reply, err error) {
	answer, before := make(chan reconcile.Reply, 1), c.noticed.Load()
	c.mu.Lock()
	c.oks[e.ID] = append(c.oks[e.ID], answer)
	c.mu.Unlock()
	defer c.stopWaiting(e.ID, answer)
	if err := c.send(ctx, nostr.Message(label, e)); err != nil {
		return reply, err
	}
	wait := time.NewTimer(c.opts.timing.answer)
	defer wait.Stop()
	select {
	case reply = <-answer:
		return reply, nil
	case <-ctx.Done():
		return reply, ctx.Err()
	case <-c.ctx.Done():
		return reply, c.Err()
	case <-wait.C:
		if notice := c.noticed.Load(); notice != before { // some refuse so what is too large
			return reconcile.Refuse(reconcile.ParseReason(*notice)), nil
		}
		return reply, reconcile.ErrTimeout
	}
}

// resolve gives an OK to the goroutine that has waited longest for it, if there is
// one: the same event may be published twice at once.
func (c *Conn) resolve(id string, a reconcile.Reply) (awaited bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	waiting := c.oks[id]
	if len(waiting) == 0 {
		return false
	}
	waiting[0] <- a
	c.setWaiting(id, waiting[1:])
	return true
}

func (c *Conn) stopWaiting(id string, answer chan reconcile.Reply) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.setWaiting(id, slices.DeleteFunc(c.oks[id], func(a chan reconcile.Reply) bool { return a == answer }))
}

func (c *Conn) setWaiting(id string, waiting []chan reconcile.Reply) {
	if len(waiting) == 0 {
		delete(c.oks, id)
		return
	}
	c.oks[id] = waiting
}
