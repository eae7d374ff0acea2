package syncing

import "sync"

// slowRelays is how many relays that may hold up a worker are synced at a time.
// It leaves most of a worker's slots to the others, however many relays hang.
const slowRelays = 4

// slowSlots are the slots for slow relays.
type slowSlots struct {
	mu   sync.Mutex
	used int
}

// acquire takes a slot, without waiting.
func (l *slowSlots) acquire() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.used >= slowRelays {
		return false
	}
	l.used++
	return true
}

func (l *slowSlots) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.used--
}
