package reconcile

import (
	"sync"

	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// maxCached bounds the events of a [Cache], in bytes of JSON.
const maxCached = 64 << 20

// Cache holds events that syncs have read, so that those after them need not ask a
// relay for the same again: the syncs of a group share one. Once it is full it takes
// no more. All methods may be called concurrently, and a nil Cache holds nothing.
type Cache struct {
	mu     sync.Mutex
	events map[string]nostr.Event // by id
	size   int
}

// take returns wanted events, up to maxBatchBytes, and takes them off the wanted ones.
func (c *Cache) take(want map[string]negentropy.ID) (batch []nostr.Event) {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	size := 0
	for id := range want {
		e, ok := c.events[id]
		if !ok || size >= maxBatchBytes {
			continue
		}
		size += weight(&e)
		batch = append(batch, e)
		delete(want, id)
	}
	return batch
}

// keep takes in events that were read.
func (c *Cache) keep(batch []nostr.Event) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.events == nil {
		c.events = map[string]nostr.Event{}
	}
	for _, e := range batch {
		if _, again := c.events[e.ID]; !again && c.size < maxCached {
			c.events[e.ID] = e
			c.size += weight(&e)
		}
	}
}
