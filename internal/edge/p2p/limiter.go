package p2p

import (
	"sync"
	"time"

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
	mu       sync.Mutex
	all      int
	each     map[string]int               // by address and by peer
	offences recent.Map[string, offences] // by address and by peer
}

type offences struct {
	count int
	last  time.Time
}

func newLimiter() limiter {
	return limiter{each: map[string]int{}, offences: recent.Map[string, offences]{Size: maxOffenders}}
}

// enter counts a session, or says why there is to be none.
func (l *limiter) enter(addr, id string, now time.Time) (why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.all >= maxServed || l.each[addr] >= maxServedAddr || l.each[id] >= maxServedPeer:
		return busy
	case l.recent(id, now) > 0 || l.recent(addr, now) >= offencesAddr:
		return "error: dropped for misbehaving, come back later"
	}
	l.all++
	l.each[addr]++
	l.each[id]++
	return ""
}

// recent counts the offences of late; mu is held.
func (l *limiter) recent(key string, now time.Time) int {
	o, _ := l.offences.Get(key)
	if now.Sub(o.last) > barTime {
		return 0
	}
	return o.count
}

// leave takes a session out again, and notes if it ended by an offence.
func (l *limiter) leave(addr, id string, offence bool, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all--
	for _, key := range []string{addr, id} {
		if l.each[key]--; l.each[key] == 0 {
			delete(l.each, key)
		}
		if offence {
			l.offences.Put(key, offences{l.recent(key, now) + 1, now})
		}
	}
}
