package homerelay

import (
	"context"
	"net/http"
	"time"

	"go.etcd.io/bbolt"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	// lookUpWait is how long a REQ may wait for what is looked up elsewhere.
	lookUpWait = time.Second
	// maxLookedUp is for how many addresses of one REQ it waits.
	maxLookedUp = 20
	// hopHeader marks a connection of a relay that looks up itself: it is answered from the store alone, so that no
	// question goes in a circle.
	hopHeader = "Relaymesh-Hop"
)

// lookUp has what the filters of a REQ ask for and the store lacks looked up elsewhere, before the store is read. It returns
// after lookUpWait at the latest; what is found later is stored all the same.
func (c *client) lookUp(sub *subscription) {
	if c.relay.lookUp == nil || c.hop || c.hold.party.own {
		return
	}
	var lacking []nostr.Address
	var err error
	c.work(sub.size, func() { lacking, err = c.relay.store.lacking(sub.filters, maxLookedUp) })
	if err != nil || len(lacking) == 0 {
		return // an error of the store is told by the query that follows
	}
	ctx, cancel := context.WithTimeout(sub.ctx, lookUpWait)
	defer cancel()
	c.relay.lookUp(ctx, lacking)
}

// Lacks reports whether the store has nothing at an address, nor knows that its author has ended what was.
func (r *Relay) Lacks(a nostr.Address) (bool, error) {
	lacking, err := r.store.lacking([]nostr.Filter{a.Filter()}, 1)
	return len(lacking) > 0, err
}

// Newest returns the JSON of the newest events that match a filter and are for everybody, up to its limit.
func (r *Relay) Newest(ctx context.Context, f nostr.Filter) (list [][]byte, err error) {
	err = r.store.Query(ctx, &viewer{}, f, func(event []byte) bool {
		list = append(list, event)
		return true
	})
	return list, err
}

// Kept returns how many events a relay of certain kinds keeps of them and of what ends them, and how many bytes of the store's
// file are in use. The error is of the store.
func (r *Relay) Kept() (events int, bytes int64, err error) {
	err = r.store.view(func(tx *bbolt.Tx) error {
		bytes = r.store.used(tx)
		return nil
	})
	if r.store.whole != nil {
		events = r.store.whole.tree.Len()
	}
	return events, bytes, err
}

// Accept verifies an event and stores it, as one that a client sent, but up to all of Config.MaxBytes. ok is false if it was
// refused, for the reason.
func (r *Relay) Accept(e *nostr.Event) (ok bool, reason string) {
	return r.acceptOwn(e, r.store.keepsOwn)
}

// AcceptFrom is [Relay.Accept] for an event that somebody else brought, with the bounds of a client: their share is counted by name.
func (r *Relay) AcceptFrom(name string, e *nostr.Event) (ok bool, reason string) {
	return r.acceptOwn(e, r.store.keepsOf(bringerNamed(name)))
}

// Keep is [Relay.Accept] for an event of any kind, whatever Config.Kinds says.
func (r *Relay) Keep(e *nostr.Event) (ok bool, reason string) { return r.acceptOwn(e, keepsAny) }

func (r *Relay) acceptOwn(e *nostr.Event, keeps rule) (ok bool, reason string) {
	p := party{own: true}
	leave, ok := r.store.turns.pass(r.ctx, p, insertPages(e))
	if !ok {
		return false, "error: the relay is closing"
	}
	defer leave()
	return r.accept(r.ctx, p, e, keeps, leave)
}

// servePage answers a request for a page, counted as a connection of who asks.
func (r *Relay) servePage(w http.ResponseWriter, req *http.Request) {
	ctx, cancel := context.WithCancelCause(req.Context())
	defer cancel(nil)
	h, err := r.ledger.enter(r.partyOf(req), cancel)
	if err != nil {
		w.Header().Set("Retry-After", "60")
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	defer r.ledger.leave(h)
	r.pages.ServeHTTP(w, req.WithContext(ctx))
}
