package syncing

import "github.com/relaymesh/relaymesh/internal/hosts"

// syncSlots are the slots for syncs: sixteen, and four for relays that failed or
// were slow, so that these delay only each other.
type syncSlots struct{ fast, slow hosts.Slots }

// slowSlots is how many relays that may hold up a worker are synced at a time.
const slowSlots = 4

func (s *syncSlots) of(suspect bool) *hosts.Slots {
	if suspect {
		return &s.slow
	}
	return &s.fast
}
