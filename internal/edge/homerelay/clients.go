package homerelay

import (
	"sync"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// clients knows the connections, admits them, and passes events on to those
// that subscribed.
type clients struct {
	serving sync.WaitGroup
	mu      sync.Mutex
	all     int // admitted, of which web have an Origin
	web     int
	closed  bool
	open    map[*client]struct{}
}

func newClients() *clients { return &clients{open: map[*client]struct{}{}} }

// enter admits a connection; leave must follow.
func (l *clients) enter(web bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.all == maxClients || (web && l.web == maxWebClients) {
		return false
	}
	l.all++
	if web {
		l.web++
	}
	l.serving.Add(1)
	return true
}

func (l *clients) leave(web bool) {
	l.mu.Lock()
	l.all--
	if web {
		l.web--
	}
	l.mu.Unlock()
	l.serving.Done()
}

// wait admits nobody any more and returns when all have left.
func (l *clients) wait() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.serving.Wait()
}

func (l *clients) add(c *client) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[c] = struct{}{}
}

func (l *clients) remove(c *client) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, c)
}

// publish offers an event to every subscription that it matches.
func (l *clients) publish(e *nostr.Event) {
	text := nostr.Encode(e)
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.open {
		c.offer(e, text)
	}
}
