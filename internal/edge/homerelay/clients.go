package homerelay

import (
	"sync"

	"github.com/relaymesh/relaymesh/internal/edge/slots"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// clients knows the connections, and passes events on to those that subscribed.
type clients struct {
	matcher *matcher
	lives   lives

	serving slots.Serving
	mu      sync.Mutex
	open    map[*client]struct{}
}

func newClients() *clients { return &clients{matcher: newMatcher(), open: map[*client]struct{}{}} }

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
	subs := l.matcher.match(e)
	if len(subs) == 0 {
		return
	}
	event := l.lives.add(e)
	for _, sub := range subs {
		sub.client.offer(sub, e, event)
	}
}
