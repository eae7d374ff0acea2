package syncing

import "github.com/relaymesh/relaymesh/internal/reconcile"

// Respond answers a peer that syncs with the local relay through us. What the
// peer writes is treated like what a sync finds: ingest is given it first, and
// what is to be gone stays gone. net is used for the local relay only.
func (s *Stage) Respond(net Relays, peer string) *reconcile.Responder {
	local := localRelay{relayAt: relayAt{net: net, url: s.Local}, stage: s}
	return reconcile.NewResponder(reconcile.Side{Relay: local, Name: s.Local}, peer, reconcile.Options{Now: s.Now})
}
