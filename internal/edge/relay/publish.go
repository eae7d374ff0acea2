package relay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// ok is a relay's answer to an EVENT or AUTH.
type ok struct {
	accepted bool
	reason   string
}

// Publish sends an event and waits for the relay's OK. A refusal is a
// [*RefusedError]; "duplicate:" is none, because the relay has the event. On
// auth-required it authenticates once, if there is a key, and sends it again.
//
// Many goroutines may publish at once; up to 100 events are in flight. After
// an error other than a refusal it is unknown whether the relay has the event,
// and publishing it again is harmless.
func (c *Conn) Publish(ctx context.Context, e nostr.Event) error {
	if err := c.acquire(ctx, c.pubSlots); err != nil {
		return err
	}
	defer func() { <-c.pubSlots }()
	err := c.submit(ctx, "EVENT", e)
	if isAuthRequired(err) && c.opts.Auth != nil {
		if authErr := c.authenticate(ctx); authErr == nil {
			err = c.submit(ctx, "EVENT", e)
		} else {
			err = fmt.Errorf("%w; %w", err, authErr)
		}
	}
	if err != nil {
		return fmt.Errorf("relay %s: publish %s: %w", c.url, e.ID, err)
	}
	return nil
}

// submit sends an EVENT or AUTH message and waits for its OK.
func (c *Conn) submit(ctx context.Context, label string, e nostr.Event) error {
	answer := make(chan ok, 1)
	c.mu.Lock()
	c.oks[e.ID] = append(c.oks[e.ID], answer)
	c.mu.Unlock()
	defer c.stopWaiting(e.ID, answer)
	if err := c.send(ctx, nostr.Message(label, e)); err != nil {
		return err
	}
	wait := time.NewTimer(c.opts.timing.answer)
	defer wait.Stop()
	select {
	case a := <-answer:
		if a.accepted {
			return nil
		}
		if r := refusal(a.reason); r.Prefix != "duplicate" {
			return r
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-c.ctx.Done():
		return c.Err()
	case <-wait.C:
		return ErrTimeout
	}
}

// resolve gives an OK to the goroutine that has waited longest for it: the
// same event may be published twice at once.
func (c *Conn) resolve(id string, a ok) {
	c.mu.Lock()
	defer c.mu.Unlock()
	waiting := c.oks[id]
	if len(waiting) == 0 {
		return
	}
	waiting[0] <- a
	c.setWaiting(id, waiting[1:])
}

func (c *Conn) stopWaiting(id string, answer chan ok) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.setWaiting(id, slices.DeleteFunc(c.oks[id], func(a chan ok) bool { return a == answer }))
}

func (c *Conn) setWaiting(id string, waiting []chan ok) {
	if len(waiting) == 0 {
		delete(c.oks, id)
		return
	}
	c.oks[id] = waiting
}

func isAuthRequired(err error) bool { return errors.Is(err, ErrAuthRequired) }
