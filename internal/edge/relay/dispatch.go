package relay

import (
	"bytes"
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// dispatch hands a message to whom it concerns, and keeps nothing of data. An
// error ends the connection.
func (c *Conn) dispatch(data []byte) error {
	elements, err := splitArray(data)
	if err != nil {
		if id, reason, ok := brokenNegErr(data); ok {
			if c.endNeg(id, reconcile.NewSessionRefusal(reason)) {
				return nil
			}
		}
		return c.stray(data)
	}
	switch id := stringAt(elements, 1); stringAt(elements, 0) {
	case "EVENT":
		s := c.subscription(id)
		switch {
		case s == nil || len(elements) < 3:
			return c.stray(data)
		case len(elements[2]) > nostr.MaxEventBytes:
			s.deliver(delivery{unread: tooLarge(elements[2])})
			return c.stray(data)
		}
		s.deliver(delivery{event: bytes.Clone(elements[2])})
		if s.repeats(elements[2]) {
			return c.stray(data)
		}
	case "EOSE":
		s := c.subscription(id)
		if s == nil || s.complete {
			return c.stray(data)
		}
		s.complete = true
		s.deliver(delivery{eose: true})
	case "CLOSED":
		reason := stringAt(elements, 2)
		s := c.subscription(id)
		if s != nil {
			c.forget(s)
			s.end(reconcile.NewQueryRefusal(reason))
		}
		if !c.endNegAsClosed(id, reason) && s == nil {
			return c.stray(data)
		}
	case "OK":
		if !c.resolve(strings.ToLower(id), reconcile.ParseReply(trueAt(elements, 2), stringAt(elements, 3))) {
			return c.stray(data)
		}
	case "AUTH":
		if !c.challenged(id) {
			return c.stray(data)
		}
	case "NOTICE":
		return cmp.Or(c.notice(id), c.stray(data))
	case "NEG-MSG":
		if !c.negMessage(id, elements) {
			return c.stray(data)
		}
	case "NEG-ERR", "NEG-ERROR":
		if reason := reasonAt(elements, 2); !c.again(id, reason) && !c.endNeg(id, reconcile.NewSessionRefusal(reason)) {
			return c.stray(data)
		}
	default:
		return c.stray(data)
	}
	return nil
}

// stray counts what nobody asked for.
func (c *Conn) stray(data []byte) error {
	return c.opts.account.charge(max(len(data), frameCost), time.Now())
}

func (c *Conn) notice(text string) error {
	if c.notices++; c.notices > maxNotices {
		return fmt.Errorf("%w: it sent %d notices", reconcile.ErrMisbehaving, c.notices)
	}
	c.log.Debug("notice from relay", "notice", reconcile.Clip(text))
	c.noticed.Store(&text)
	c.noticeToNeg(text)
	return nil
}

func (c *Conn) subscription(id string) *subscription {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.subs[id]
}
