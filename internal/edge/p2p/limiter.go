package p2p

import (
	"sync"
	"time"

	"github.com/relaymesh/relaymesh/internal/edge/slots"
	"github.com/relaymesh/relaymesh/internal/recent"
)

// Incoming sessions at a time: altogether, of one network address, and of one
// peer. One of relaymesh uses up to three.
const (
	maxServed     = 32
	maxServedAddr = 8
	maxServedPeer = 4
)

const (
	// barTime is how long a peer that misbehaved is not served, and an address
	// whose peers did so offencesAddr times: ids cost nothing.
	barTime      = time.Minute
	offencesAddr = 8
	// maxOffenders is how many are remembered at least.
	maxOffenders = 10_000
)

// limiter counts the sessions that are being served, and what peers did.
type limiter struct {
	slots    *slots.Shared // by address
	mu       sync.Mutex
	each     map[string]int               // by peer
	offences recent.Map[string, offences] // by address and by peer
}

type offences struct {
	count int
	last  time.Time
}

func newLimiter() *limiter {
	return &limiter{
		slots: slots.New(maxServed, maxServedAddr), each: map[string]int{},
		offences: recent.Map[string, offences]{Size: maxOffenders},
	}
}

// enter counts a session until leave is called, or says why there is to be none.
// Evict ends the session when its slot goes to an address that has fewer.
func (l *limiter) enter(addr, id string, now time.Time, evict func()) (leave func(), why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.each[id] >= maxServedPeer:
		return nil, busy
	case l.recent(id, now) > 0 || l.recent(addr, now) >= offencesAddr:
		return nil, "error: dropped for misbehaving, come back later"
	}
	free, ok := l.slots.Take(addr, evict)
	if !ok {
		return nil, busy
	}
	l.each[id]++
	return func() {
		free()
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.each[id]--; l.each[id] == 0 {
			delete(l.each, id)
		}
	}, ""
}

// barred reports whether peers of an address misbehaved so often that none of them
// may connect.
func (l *limiter) barred(addr string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.recent(addr, now) >= offencesAddr
}

// recent counts the offences of late; mu is held.
func (l *limiter) recent(key string, now time.Time) int {
	o, _ := l.offences.Get(key)
	if now.Sub(o.last) > barTime {
		return 0
	}
	return o.count
}

// offend notes that a peer misbehaved.
func (l *limiter) offend(addr, id string, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, key := range []string{addr, id} {
		l.offences.Put(key, offences{l.recent(key, now) + 1, now})
	}
}
