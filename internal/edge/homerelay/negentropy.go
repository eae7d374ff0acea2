package homerelay

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// session is a NIP-77 session. One goroutine reads its set and answers its
// messages, in order.
type session struct {
	id     string
	in     chan []byte // the next message; a second one is a breach
	cancel context.CancelFunc
	ended  chan struct{}
	over   bool // its NEG-ERR is on its way; guarded by client.mu
}

// onNegOpen takes NEG-OPEN: id, a filter or an array of them, the first message
// as hex. Before the message there may be a number, as in the first draft of
// NIP-77.
func (c *client) onNegOpen(m message) {
	id := m.id()
	if id == "" {
		c.tell("NOTICE", "invalid: NEG-OPEN takes an id, a string")
		return
	}
	if why := longID(id); why != "" {
		c.negErr(id, why)
		return
	}
	c.endSession(id) // an open one of this id is closed (NIP-77)
	if n := len(m.elements); n != 4 && n != 5 {
		c.negErr(id, "invalid: NEG-OPEN takes id, filter and message")
		return
	}
	texts := []json.RawMessage{m.elements[2]}
	if bytes.HasPrefix(m.elements[2], []byte("[")) {
		texts = nil
		if err := json.Unmarshal(m.elements[2], &texts); err != nil {
			c.negErr(id, "invalid: filters: "+err.Error())
			return
		}
	}
	filters, err := c.decodeFilters(texts)
	if err != nil {
		c.negErr(id, err.Error())
		return
	}
	v := c.viewer.Load()
	if v.mustAuth(filters) {
		c.demandAuth()
		c.negErr(id, hidden)
		return
	}
	for _, f := range filters {
		c.offerAuth(v, f)
	}
	first, err := hex.DecodeString(m.text(len(m.elements) - 1))
	if err != nil {
		c.negErr(id, "invalid: the message is not hex")
		return
	}
	ctx, cancel := context.WithCancel(c.ctx)
	s := &session{id: id, in: make(chan []byte, 1), cancel: cancel, ended: make(chan struct{})}
	c.mu.Lock()
	if err = c.relay.ledger.take(c.hold, sessions, 1); err == nil {
		c.sessions[id] = s
	}
	c.mu.Unlock()
	if err != nil {
		cancel()
		c.negErr(id, "blocked: "+err.Error())
		return
	}
	c.running.Go(func() { c.converse(ctx, s, newSetKey(v, filters), first) })
}

func (c *client) onNegMsg(m message) {
	id := m.id()
	if id == "" {
		c.tell("NOTICE", "invalid: NEG-MSG takes an id, a string")
		return
	}
	c.mu.Lock()
	s := c.sessions[id]
	open := s != nil && !s.over
	c.mu.Unlock()
	if !open {
		c.negErr(id, "closed: no such session is open")
		return
	}
	msg, err := hex.DecodeString(m.text(2))
	if err != nil {
		c.endSession(id)
		c.negErr(id, "invalid: the message is not hex")
		return
	}
	select {
	case s.in <- msg:
	default:
		c.endSession(id)
		c.negErr(id, "invalid: messages were sent before the answer to the last")
	}
}

func (c *client) onNegClose(m message) { c.endSession(m.id()) }

// endSession ends a session and waits until nothing of it runs.
func (c *client) endSession(id string) {
	c.mu.Lock()
	s := c.sessions[id]
	c.mu.Unlock()
	if s != nil {
		s.cancel()
		<-s.ended
	}
}

func (c *client) negErr(id, reason string) { c.tell("NEG-ERR", id, reason) }

// giveUp ends a session from its own goroutine.
func (c *client) giveUp(ctx context.Context, s *session, reason ...any) {
	c.mu.Lock()
	s.over = true
	c.mu.Unlock()
	c.send(ctx, nostr.Message(append([]any{"NEG-ERR", s.id}, reason...)...))
}

// converse answers a session's messages until it ends. The session counts
// until its NEG-ERR is on its way, so that a client that does not read
// cannot pile up sessions that have failed.
func (c *client) converse(ctx context.Context, s *session, key setKey, first []byte) {
	defer func() {
		s.cancel()
		c.mu.Lock()
		delete(c.sessions, s.id)
		c.mu.Unlock()
		c.relay.ledger.give(c.hold, sessions, 1)
		close(s.ended)
	}()
	set, err := c.relay.sets.open(ctx, c.hold, key)
	if err != nil {
		c.refuseSet(ctx, s, err)
		return
	}
	defer c.relay.sets.release(set, c.hold)
	rec := negentropy.NewReconciler(set.items, negentropy.Options{FrameLimit: frameLimit, MaxMessages: maxSessionMessages})
	idle := time.NewTimer(c.relay.sessionTimeout)
	defer idle.Stop()
	for msg := first; ; {
		var answer []byte
		var err error
		if !c.work(frameLimit, func() { answer, err = rec.Respond(msg) }) {
			return
		}
		if err != nil {
			reason := "invalid: " + err.Error()
			if errors.Is(err, negentropy.ErrLimit) {
				reason = "closed: the session has gone on for too long"
			}
			c.giveUp(ctx, s, reason)
			return
		}
		if !c.send(ctx, negMessage(s.id, answer)) {
			return
		}
		idle.Reset(c.relay.sessionTimeout)
		select {
		case msg = <-s.in:
		case <-idle.C:
			c.giveUp(ctx, s, "closed: no message came for "+c.relay.sessionTimeout.String())
			return
		case <-ctx.Done():
			return
		}
	}
}

// refuseSet tells why a session's set cannot be had.
func (c *client) refuseSet(ctx context.Context, s *session, err error) {
	switch {
	case errors.Is(err, errTooMany):
		most := c.relay.sets.most
		c.giveUp(ctx, s, fmt.Sprintf("blocked: too many records (%d > %d)", most+1, most), most)
	case errors.Is(err, errBusy):
		c.giveUp(ctx, s, "blocked: "+err.Error())
	case ctx.Err() == nil:
		c.relay.log.ErrorContext(ctx, "home relay cannot read a set", "err", err)
		c.giveUp(ctx, s, storeReason(err))
	}
}
