package mainline

import (
	"net/netip"
	"sync"
	"time"

	"github.com/relaymesh/relaymesh/internal/recent"
)

// rateLimiter keeps the DHT rate of each address; the outbox keeps that of all packets together. It remembers two things
// about addresses: how much was sent to each lately, so that no node has reason to ban us (libtorrent ignores an address
// that sends more than 5 messages a second over 10 seconds), and which did not answer, so that no lookup waits for them
// again soon.
type rateLimiter struct {
	interval time.Duration // between two messages to one address; 0 is no limit

	mu   sync.Mutex
	dead map[endpoint]failure
	// full is when an address's allowance is full again: after a period without a message, so entries age once in each.
	full recent.Map[endpoint, time.Time]
	aged time.Time
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

func newRateLimiter(perSecond float64) *rateLimiter {
	c := &rateLimiter{dead: make(map[endpoint]failure), full: recent.Map[endpoint, time.Time]{Size: maxTracked}}
	if perSecond > 0 {
		c.interval = time.Duration(float64(time.Second) / perSecond)
	}
	return c
}

// reserve counts one message to addr, or says how long to wait until it may be sent.
func (c *rateLimiter) reserve(addr netip.AddrPort, now time.Time) (wait time.Duration) {
	if c.interval == 0 {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	to := pacedBy(addr)
	if now.Sub(c.aged) > allowance*c.interval {
		c.full.Age()
		c.aged = now
	}
	full, _ := c.full.Get(to)
	if full.Before(now) {
		full = now
	}
	if wait = full.Sub(now) - (allowance-1)*c.interval; wait > 0 {
		return wait
	}
	c.full.Put(to, full.Add(c.interval))
	return 0
}

// pacedBy is what the rate of an address is counted by: all its ports together, since nodes may name any of an address
// that is not theirs. On loopback, where tests have their nodes, each port stands for an address.
func pacedBy(addr netip.AddrPort) endpoint {
	if !addr.Addr().IsLoopback() {
		addr = netip.AddrPortFrom(addr.Addr(), 0)
	}
	return endpointOf(addr)
}

// silent notes that addr did not answer, and whether it is known to have answered before.
func (c *rateLimiter) silent(addr netip.AddrPort, answered bool, now time.Time) {
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
func (c *rateLimiter) alive(addr netip.AddrPort) {
	c.mu.Lock()
	delete(c.dead, endpointOf(addr))
	c.mu.Unlock()
}

// bannedAfter is how many silences in a row of a node that answered before look like a ban rather than a lost packet.
const bannedAfter = 3

// suspectedBans counts the addresses that answered once and were then silent at least three times in a row, lately. Nodes that
// have left are among them: no silence tells the two apart, but a number that leaps up does.
func (c *rateLimiter) suspectedBans(now time.Time) (count int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.dead {
		if f.answered && f.count >= bannedAfter && now.Before(f.until) {
			count++
		}
	}
	return count
}

// isDead reports whether addr was silent lately.
func (c *rateLimiter) isDead(addr netip.AddrPort, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	f, ok := c.dead[endpointOf(addr)]
	return ok && now.Before(f.until)
}
