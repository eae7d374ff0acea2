package syncing

import "sync"

// slowRelays is how many relays that may hold up a worker are synced at a time.
// It leaves most of a worker's places to the others, however many relays hang.
const slowRelays = 4

// lane is the places for slow relays.
type lane struct {
	mu    sync.Mutex
	taken int
}

// enter takes a place, without waiting.
func (l *lane) enter() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.taken >= slowRelays {
		return false
	}
	l.taken++
	return true
}

func (l *lane) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.taken--
}
