package dht

import (
	"context"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/pkg/events"
)

// witnessed has another worker look for a record that was put, and says what speaks
// against the holders. One is asked at a time, so that it costs others little; records
// under a salt are looked for by nobody.
func (s *Stage) witnessed(ctx context.Context, placed events.RecordPublished, r contract.Record) events.RecordPublished {
	if s.Witness != nil && r.Salt == "" && s.asking.CompareAndSwap(false, true) {
		defer s.asking.Store(false)
		w, err := s.Witness(ctx, placed.DHTKey)
		if err != nil {
			s.Log.DebugContext(ctx, "no other worker has looked for a record", "target", placed.Target, "err", err)
		}
		placed = decideWitnessed(placed, w)
	}
	if placed.Warning != "" {
		s.Log.WarnContext(ctx, "a record may be hidden from others", "target", placed.Target, "pubkey", placed.PubKey, "reason", placed.Warning)
	}
	return placed
}
