package p2p

import "sync"

// Incoming sessions at a time: altogether, of one network address, and of one
// peer. One of relaymesh uses up to three.
const (
	maxServed     = 32
	maxServedAddr = 8
	maxServedPeer = 4
)

// limiter counts the sessions that are being served.
type limiter struct {
	mu   sync.Mutex
	all  int
	each map[string]int // by address and by peer
}

func newLimiter() limiter { return limiter{each: map[string]int{}} }

// enter counts a session, or returns false where there are too many already.
func (l *limiter) enter(addr, id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all >= maxServed || l.each[addr] >= maxServedAddr || l.each[id] >= maxServedPeer {
		return false
	}
	l.all++
	l.each[addr]++
	l.each[id]++
	return true
}

// leave takes a session out again.
func (l *limiter) leave(addr, id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all--
	for _, key := range []string{addr, id} {
		if l.each[key]--; l.each[key] == 0 {
			delete(l.each, key)
		}
	}
}
