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
	order  []negentropy.ID        // of their coming
	gone   map[string]bool        // what deletions among them name (NIP-09)
	size   int
}

// Since returns the ids of events that came after the first n, and how many came by
// now. It leaves out those that may be gone since: older versions, and what is
// deleted.
func (c *Cache) Since(n int) (ids []negentropy.ID, now int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range c.order[n:] {
		if e := c.events[id.String()]; !nostr.Replaceable(e.Kind) && !nostr.Addressable(e.Kind) && !c.gone[e.ID] {
			ids = append(ids, id)
		}
	}
	return ids, len(c.order)
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
		c.events, c.gone = map[string]nostr.Event{}, map[string]bool{}
	}
	for _, e := range batch {
		id, err := negentropy.ParseID(e.ID)
		if _, again := c.events[e.ID]; again || err != nil || c.size >= maxCached {
			continue
		}
		c.events[e.ID] = e
		c.order = append(c.order, id)
		c.size += weight(&e)
		if e.Kind == nostr.KindDeletion {
			for _, t := range e.Tags {
				c.gone[t.At(1)] = true
			}
		}
	}
}
