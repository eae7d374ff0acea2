package homerelay

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// onEvent takes an EVENT. Events of a connection are verified and stored in
// parallel, which lets them share an fsync.
func (c *client) onEvent(m message) {
	var e *nostr.Event
	var err error
	if !c.work(m.size, func() { e, err = m.event() }) {
		return
	}
	if err != nil {
		c.reject(e, "invalid: "+err.Error())
		return
	}
	if reason := c.refuse(e); reason != "" {
		c.reject(e, reason)
		return
	}
	bytes := insertBytes(m.size, len(e.Tags))
	if !acquire(c.ctx, c.publishing) || !c.keep(bytes) {
		return
	}
	leave, ok := c.relay.store.turns.pass(c.ctx, c.hold.party, insertPages(e))
	if !ok {
		return
	}
	c.running.Go(func() {
		ok, reason := c.relay.accept(c.ctx, c.hold.party, e, c.relay.store.keepsFrom(c.hold.party), leave)
		leave() // nobody's slot but the client's own waits for it to read
		c.drop(bytes)
		c.tell("OK", e.ID, ok, reason)
		<-c.publishing
	})
}

// insertBytes is what an event of this size takes of memory while it is stored.
func insertBytes(size, tags int) int { return 2*size + 128*tags }

// reject answers an event that is not taken, without an OK only if there is no id
// that the client could know it by.
func (c *client) reject(e *nostr.Event, reason string) {
	if e.ID == "" {
		c.tell("NOTICE", reason)
		return
	}
	c.tell("OK", e.ID, false, reason)
}

// refuse returns why an event is not taken from this client, or "".
func (c *client) refuse(e *nostr.Event) string {
	switch {
	case e.Kind == nostr.KindAuth:
		return "invalid: kind 22242 belongs in AUTH"
	case repeatsProtected(e):
		return "blocked: it repeats a protected event (NIP-70)"
	case e.Tag("-") == nil || slices.Contains(c.viewer.Load().Keys, e.PubKey):
		return ""
	case len(c.viewer.Load().Keys) > 0:
		return "restricted: a protected event must come from its author (NIP-70)"
	}
	c.demandAuth()
	return "auth-required: a protected event must come from its author (NIP-70)"
}

// repeatsProtected reports whether an event is a repost of one that its author
// wants to be in no other place.
func repeatsProtected(e *nostr.Event) bool {
	inner, ok := e.Repeated()
	return ok && inner.Tag("-") != nil
}

// accept verifies an event of a party, stores it if a rule says so or passes it on, and
// returns what an OK says of it. See insertFor for leave.
func (r *Relay) accept(ctx context.Context, p party, e *nostr.Event, keeps rule, leave func()) (ok bool, reason string) {
	now := r.store.now().Unix()
	if err := cmp.Or(e.Check(), e.CheckTime(now)); err != nil {
		return false, "invalid: " + err.Error()
	}
	if at := expiration(e); at != 0 && at <= now {
		return false, errExpired.Error()
	}
	// Most of what a sync offers is there already, and was verified then.
	known, err := r.store.Has(e.ID)
	if err != nil {
		r.log.ErrorContext(ctx, "home relay cannot read its store", "err", err)
		return false, "error: store: " + err.Error()
	}
	if known {
		return true, errDuplicate.Error()
	}
	if !schnorr.Verified(e) { // as it is if the pipeline in this process brings it
		if err := r.verify(ctx, p, e); err != nil {
			return false, "invalid: " + err.Error()
		}
	}
	switch {
	case nostr.Ephemeral(e.Kind) && r.store.denied.Event(e):
		return false, errDenied.Error()
	case nostr.Ephemeral(e.Kind) && r.store.kinds != nil:
		return false, errUnwanted.Error()
	case !nostr.Ephemeral(e.Kind):
		var damaged *DamagedError
		switch err := r.store.insertFor(p, e, keeps, leave); {
		case errors.As(err, &damaged):
			r.log.ErrorContext(ctx, "home relay cannot write to its store", "err", err)
			return false, storeReason(err)
		case errors.Is(err, errDuplicate):
			return true, err.Error()
		case err != nil:
			return false, err.Error()
		}
	}
	r.clients.publish(e)
	return true, ""
}
