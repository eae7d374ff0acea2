package syncing

import "github.com/relaymesh/relaymesh/internal/reconcile"

// Respond answers a peer that syncs with the local relay through us. What the
// peer writes is treated like what a sync finds: ingest is given it first, and
// what is to be gone stays gone; it reads nothing that is denied. local is the local relay, over connections of
// the peer's own.
func (s *Stage) Respond(local reconcile.Relay, peer string) *reconcile.Responder {
	return reconcile.NewResponder(reconcile.Side{Relay: s.ingestFirst(local), Name: s.Local}, peer, reconcile.Options{
		Denied: s.Denied.Event, Now: s.Now,
	})
}
