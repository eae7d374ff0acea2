package syncing

import "github.com/relaymesh/relaymesh/internal/stage/syncing/pair"

// Respond answers a peer that syncs with the local relay through us. What the
// peer writes is treated like what a sync finds: ingest is given it first, and
// what is to be gone stays gone. net is used for the local relay only.
func (s *Stage) Respond(net Relays, peer string) *pair.Responder {
	local := localRelay{relayAt: relayAt{net: net, url: s.Local}, stage: s}
	return pair.NewResponder(pair.Side{Relay: local, Name: s.Local}, peer, pair.Options{Now: s.Now})
}
