package mainline

import (
	"net/netip"
	"sync"
	"time"
)

// courtesy remembers two things about addresses: how much was sent to each lately, so that no node has reason to ban
// us (libtorrent ignores an address that sends more than 5 messages a second over 10 seconds), and which did not
// answer, so that no lookup waits for them again soon.
type courtesy struct {
	interval time.Duration // between two messages to one address; 0 is no limit

	mu   sync.Mutex
	next map[endpoint]time.Time // when the address's allowance is full again
	dead map[endpoint]failure
}

type failure struct {
	until    time.Time
	count    int  // in a row
	answered bool // before that
}

const (
	allowance   = 3 // messages to one address before its interval counts
	maxTracked  = 1 << 16
	firstSilent = time.Minute // a lost packet is no dead node
	laterSilent = 10 * time.Minute
)

func newCourtesy(perSecond float64) *courtesy {
	c := &courtesy{next: make(map[endpoint]time.Time), dead: make(map[endpoint]failure)}
	if perSecond > 0 {
		c.interval = time.Duration(float64(time.Second) / perSecond)
	}
	return c
}

// take counts one message to addr, or says how long to wait until it may be sent.
func (c *courtesy) take(addr netip.AddrPort, now time.Time) (wait time.Duration) {
	if c.interval == 0 {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	to := endpointOf(addr)
	full := c.next[to]
	if full.Before(now) {
		full = now
	}
	if wait = full.Sub(now) - (allowance-1)*c.interval; wait > 0 {
		return wait
	}
	if len(c.next) >= maxTracked {
		for a, t := range c.next {
			if t.Before(now) {
				delete(c.next, a)
			}
		}
	}
	c.next[to] = full.Add(c.interval)
	return 0
}

// silent notes that addr did not answer, and whether it is known to have answered before.
func (c *courtesy) silent(addr netip.AddrPort, answered bool, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.dead) >= maxTracked {
		for a, f := range c.dead {
			if f.until.Before(now) {
				delete(c.dead, a)
			}
		}
		if len(c.dead) >= maxTracked {
			return // a hostile flood of invented nodes; the real ones among them cost one timeout each
		}
	}
	at := endpointOf(addr)
	f := c.dead[at]
	f.count++
	f.answered = f.answered || answered
	f.until = now.Add(firstSilent)
	if f.count > 1 {
		f.until = now.Add(laterSilent)
	}
	c.dead[at] = f
}

// alive notes that addr answered.
func (c *courtesy) alive(addr netip.AddrPort) {
	c.mu.Lock()
	delete(c.dead, endpointOf(addr))
	c.mu.Unlock()
}

// isDead reports whether addr was silent lately.
func (c *courtesy) isDead(addr netip.AddrPort, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	f, ok := c.dead[endpointOf(addr)]
	return ok && now.Before(f.until)
}
