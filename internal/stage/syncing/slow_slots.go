package syncing

import "sync"

// slowRelays is how many relays that may hold up a worker are synced at a time.
// It leaves most of a worker's places to the others, however many relays hang.
const slowRelays = 4

// slowSlots is the places for slow relays.
type slowSlots struct {
	mu   sync.Mutex
	used int
}

// acquire takes a place, without waiting.
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
