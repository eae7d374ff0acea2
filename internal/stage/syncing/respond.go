package syncing

import (
	"context"

	"github.com/relaymesh/relaymesh/internal/stage/syncing/pair"
	"github.com/relaymesh/relaymesh/pkg/events"
	"github.com/relaymesh/relaymesh/pkg/negentropy"
)

// Respond answers a peer that syncs with the local relay through us. What the
// peer writes is treated like what a sync finds: ingest is given it first, and
// what is to be gone stays gone. net is used for the local relay only.
func (s *Stage) Respond(net Relays, peer string) *pair.Responder {
	local := localRelay{relayAt: relayAt{net: net, url: s.Local}, stage: s}
	return pair.NewResponder(pair.Side{Relay: local, Name: s.Local}, peer, pair.Options{Now: s.Now})
}

// frames returns the largest negentropy message to and from a relay, 0 if that
// is not known: relays that can be compared by libp2p make small ones there.
func (s *Stage) frames(ctx context.Context, url string) int {
	doc, found, err := s.Relays.Get(ctx, events.RelayKey(url))
	if err != nil || !found || doc.Hornets == nil {
		return 0
	}
	return negentropy.MinFrameLimit
}
