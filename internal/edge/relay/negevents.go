package relay

import (
	"errors"
	"fmt"
	"time"

	"github.com/relaymesh/relaymesh/internal/reconcile"
)

// resendAfter gives khatru the moment that it needs; see again.
const resendAfter = 5 * time.Millisecond

// negMessage takes a NEG-MSG, and reports whether its session is open. Two in a
// row are a breach: answers alternate with questions.
func (c *Conn) negMessage(id string, elements [][]byte) (open bool) {
	c.mu.Lock()
	s := c.negs[id]
	c.mu.Unlock()
	if s == nil {
		return false
	}
	frame, err := hexAt(elements, 2)
	if err != nil {
		c.removeNeg(s, fmt.Errorf("%w: NEG-MSG is not hex", reconcile.ErrMisbehaving))
		return true
	}
	select {
	case s.frames <- frame:
	default:
		c.removeNeg(s, fmt.Errorf("%w: two NEG-MSG in answer to one", reconcile.ErrMisbehaving))
	}
	return true
}

// endNeg takes a NEG-ERR, and reports whether a session ends by it; one without an
// id is about every session.
func (c *Conn) endNeg(id string, why error) (ended bool) {
	c.mu.Lock()
	var over []*NegSession
	for _, s := range c.negs {
		if s.id == id || id == "" {
			over = append(over, s)
		}
	}
	c.mu.Unlock()
	for _, s := range over {
		c.removeNeg(s, why)
	}
	return len(over) > 0
}

// again sends a session's last message once more and reports whether it does.
// khatru v0.19.1 answers NEG-OPEN before it has noted the session, so that a
// quick NEG-MSG meets NEG-ERROR "CLOSED"; a moment later it is welcome.
func (c *Conn) again(id, reason string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.negs[id]
	if s == nil || s.resent || reason != "CLOSED" {
		return false
	}
	s.resent = true
	msg := s.last
	c.running.Go(func() {
		select {
		case <-time.After(resendAfter):
			_ = c.send(c.ctx, msg) // whoever waits for the answer notices
		case <-c.ctx.Done():
		}
	})
	return true
}

// endNegAsClosed takes a CLOSED, and reports whether it names a session: relays
// that know no NIP-77 may answer so. Unless the reason is about permission or size, that is
// what it means.
func (c *Conn) endNegAsClosed(id, reason string) (open bool) {
	why := reconcile.NewSessionRefusal(reason)
	if why.Means == nil && !why.Busy() && why.Reason.Code != reconcile.PrefixRateLimited {
		why.Means = reconcile.ErrNoNegentropy
	}
	c.mu.Lock()
	s := c.negs[id]
	c.mu.Unlock()
	if s != nil {
		c.removeNeg(s, why)
	}
	return s != nil
}

// noticeToNeg ends the session that is being opened if the notice reads like a
// refusal. A notice is never progress.
func (c *Conn) noticeToNeg(text string) {
	c.mu.Lock()
	s := c.opening
	c.mu.Unlock()
	if s == nil {
		return
	}
	why := reconcile.NewSessionRefusal(text)
	if why.Means == nil && !why.Busy() {
		return // small talk
	}
	if errors.Is(why, reconcile.ErrInterrupted) {
		return
	}
	c.removeNeg(s, why)
}

func (c *Conn) removeNeg(s *NegSession, why error) {
	c.mu.Lock()
	delete(c.negs, s.id)
	c.mu.Unlock()
	s.end(why)
}
