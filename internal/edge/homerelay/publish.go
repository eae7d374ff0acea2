package homerelay

import (
	"errors"

	gonostr "github.com/nbd-wtf/go-nostr"
	"github.com/nbd-wtf/go-nostr/nip70"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// onEvent takes an EVENT. Events of a connection are verified and stored in
// parallel, which lets them share an fsync.
func (c *client) onEvent(m message) {
	e, err := m.event()
	if err == nil && !nostr.IsHex(e.ID, 32) {
		err = errors.New("id is not 64 lower-case hex digits")
	}
	if err != nil {
		c.tell("NOTICE", "invalid: "+err.Error()) // an OK needs an id
		return
	}
	if reason := c.refuse(e); reason != "" {
		c.tell("OK", e.ID, false, reason)
		return
	}
	if !acquire(c.ctx, c.publishing) {
		return
	}
	if !acquire(c.ctx, c.relay.inserting) {
		return
	}
	c.running.Go(func() {
		ok, reason := c.relay.accept(e, m.size)
		// Nobody's slot but the client's own waits for it to read.
		<-c.relay.inserting
		c.tell("OK", e.ID, ok, reason)
		<-c.publishing
	})
}

// refuse returns why an event is not taken from this client, or "".
func (c *client) refuse(e *gonostr.Event) string {
	switch {
	case !nostr.IsHex(e.Sig, 64):
		return "invalid: sig is not 128 lower-case hex digits"
	case e.Kind == gonostr.KindClientAuthentication:
		return "invalid: kind 22242 belongs in AUTH"
	case int64(e.CreatedAt) > c.relay.store.now().Unix()+nostr.MaxFuture:
		return "invalid: created_at is too far in the future"
	case len(e.Tags) > nostr.MaxTags:
		return "invalid: too many tags"
	case nip70.HasEmbeddedProtected(*e):
		return "blocked: it repeats a protected event (NIP-70)"
	}
	for _, tag := range e.Tags {
		if len(tag) == 0 {
			return "invalid: empty tag"
		}
	}
	if nip70.IsProtected(*e) && !c.authed[e.PubKey] {
		if len(c.authed) > 0 {
			return "restricted: a protected event must come from its author (NIP-70)"
		}
		c.demandAuth()
		return "auth-required: a protected event must come from its author (NIP-70)"
	}
	return ""
}

// accept verifies an event, stores it or passes it on, and returns what an OK
// says of it.
func (r *Relay) accept(e *gonostr.Event, size int) (ok bool, reason string) {
	if !e.CheckID() {
		return false, "invalid: id is not the hash of the event"
	}
	// Most of what a sync offers is there already, and was verified then.
	known, err := r.store.Has(e.ID)
	if err != nil {
		r.log.Error("home relay cannot read its store", "err", err)
		return false, "error: store: " + err.Error()
	}
	if known {
		return true, errDuplicate.Error()
	}
	if ok, err := e.CheckSignature(); err != nil || !ok {
		return false, "invalid: sig is not the author's signature of the id"
	}
	if !gonostr.IsEphemeralKind(e.Kind) {
		switch err := r.store.Insert(e); {
		case errors.Is(err, errDuplicate):
			return true, err.Error()
		case err != nil:
			return false, err.Error()
		}
	}
	r.clients.publish(e, size)
	return true, ""
}
