package gateway

import (
	"bytes"
	"strings"
	"time"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	// maxUnheard is how many EVENTs of a connection wait for the relay's OK, in
	// number and in bytes. Then the connection is read on when an OK comes, or after
	// unheardFor, without those.
	maxUnheard      = 1024
	maxUnheardBytes = 2 << 20
	unheardFor      = 10 * time.Second
	// heardIDs is how many ids of events that were heard are remembered at least.
	heardIDs = 1 << 16
)

// publishing are the EVENTs of a client that wait for the relay's OK.
type publishing struct {
	events map[string][]byte // by id
	bytes  int
	less   chan struct{} // an OK has come
}

// onPublish looks at an EVENT on its way to the relay.
func (c *conn) onPublish(rest []byte) {
	if c.gateway.hear == nil || len(rest) > nostr.MaxEventBytes {
		return
	}
	var e nostr.Event
	if e.UnmarshalJSON(rest) != nil || !nostr.IsHex(e.ID, 32) || nostr.Ephemeral(e.Kind) {
		return // the relay refuses it, or does not keep it
	}
	c.awaitOKs(len(rest))
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.publishing.events == nil {
		c.publishing.events = map[string][]byte{}
	}
	if _, twice := c.publishing.events[e.ID]; twice {
		return
	}
	if !c.held.take(len(rest)) {
		c.gateway.metrics.unheard.Inc()
		return
	}
	c.publishing.events[e.ID] = bytes.Clone(rest)
	c.publishing.bytes += len(rest)
}

// awaitOKs waits while too much is published without an answer.
func (c *conn) awaitOKs(more int) {
	var late <-chan time.Time
	for {
		c.mu.Lock()
		p := &c.publishing
		if len(p.events) < maxUnheard && p.bytes+more <= maxUnheardBytes {
			c.mu.Unlock()
			return
		}
		if late == nil {
			p.less, late = make(chan struct{}, 1), time.After(unheardFor)
		}
		less := p.less
		c.mu.Unlock()
		if c.up.flush() != nil { // the relay has to have them
			return
		}
		select {
		case <-less:
		case <-late:
			c.mu.Lock()
			c.dropUnheard()
			c.mu.Unlock()
		case <-c.ctx.Done():
			return
		}
	}
}

// dropUnheard forgets all that waits; mu is held.
func (c *conn) dropUnheard() {
	c.gateway.metrics.unheard.Add(float64(len(c.publishing.events)))
	c.held.give(c.publishing.bytes)
	c.publishing = publishing{}
}

// onOK looks at the relay's word on an event, or on an AUTH.
func (c *conn) onOK(id, rest []byte) {
	name, _ := unquote(id)
	name = strings.ToLower(name) // some write hex in upper case, and the truth value as a string
	accepted := bytes.HasPrefix(bytes.ToLower(bytes.TrimPrefix(rest, []byte(`"`))), []byte("true"))
	c.mu.Lock()
	if name != "" && name == c.authID {
		c.authenticated = c.authenticated || accepted
	}
	p := &c.publishing
	event, waits := p.events[name]
	if waits {
		delete(p.events, name)
		p.bytes -= len(event)
		c.held.give(len(event))
		select {
		case p.less <- struct{}{}:
		default:
		}
	}
	c.mu.Unlock()
	if !waits || !accepted {
		return
	}
	if _, again := c.gateway.heard.Get(name); again || !c.verifies(event) {
		return
	}
	if _, again := c.gateway.heard.LoadOrStore(name, struct{}{}); !again {
		c.gateway.hear(event)
		c.gateway.metrics.heard.Inc()
	}
}

// verifies reports whether the relay can have meant an event by its OK: relays say true
// of an id that they have, whatever signature it comes with now.
func (c *conn) verifies(event []byte) bool {
	e, err := nostr.ParseEvent(event)
	return err == nil && c.gateway.verify(&e) == nil
}

// onAuth looks at an AUTH of the client on its way to the relay.
func (c *conn) onAuth(rest []byte) {
	id, _ := nostr.PeekID(rest)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.authID = strings.ToLower(id)
}

// onChallenge looks at an AUTH of the relay.
func (c *conn) onChallenge() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.challenged = true
}
