package relay

import (
	"bytes"
	"fmt"

	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// dispatch hands a message to whom it concerns, and keeps nothing of data. An
// error ends the connection.
func (c *Conn) dispatch(data []byte) error {
	elements, err := splitArray(data)
	if err != nil {
		if id, reason, ok := brokenNegErr(data); ok {
			c.endNeg(id, reconcile.NewSessionRefusal(reason))
			return nil
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
	case "EOSE":
		if s := c.subscription(id); s != nil {
			s.deliver(delivery{eose: true})
		}
	case "CLOSED":
		reason := stringAt(elements, 2)
		if s := c.subscription(id); s != nil {
			c.forget(s)
			s.end(reconcile.NewRefusal(reconcile.ParseReason(reason)))
		}
		c.endNegAsClosed(id, reason)
	case "OK":
		c.resolve(id, reconcile.ParseReply(len(elements) > 2 && string(elements[2]) == "true", stringAt(elements, 3)))
	case "AUTH":
		c.challenged(id)
	case "NOTICE":
		return c.notice(id)
	case "NEG-MSG":
		c.negMessage(id, elements)
	case "NEG-ERR", "NEG-ERROR":
		if reason := reasonAt(elements, 2); !c.again(id, reason) {
			c.endNeg(id, reconcile.NewSessionRefusal(reason))
		}
	default:
		return c.stray(data)
	}
	return nil
}

// stray counts what nobody asked for.
func (c *Conn) stray(data []byte) error {
	if c.strayBytes += len(data); c.strayBytes > maxStrayBytes {
		return fmt.Errorf("%w: it sent %d MiB that nobody asked for", reconcile.ErrMisbehaving, c.strayBytes>>20)
	}
	return nil
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
