package mainline

import (
	"container/list"
	"sync"
	"time"

	"github.com/anacrolix/dht/v2/bep44"
)

const (
	maxStored    = 1000          // what other implementations keep as well
	itemLifetime = 2 * time.Hour // BEP 44: nodes may drop items that nobody announced for so long
)

// store keeps the items that others put on this node, the most recently put ones. The library's own store grows
// without bound. A store of size 0 keeps nothing.
type store struct {
	size int

	mu      sync.Mutex
	recent  *list.List // of stored, newest first
	entries map[bep44.Target]*list.Element
}

type stored struct {
	target bep44.Target
	item   *bep44.Item
}

func newStore(size int) *store {
	return &store{size: size, recent: list.New(), entries: make(map[bep44.Target]*list.Element)}
}

// Put keeps an item that the library has verified.
func (s *store) Put(it *bep44.Item) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	target := it.Target()
	if e, ok := s.entries[target]; ok {
		e.Value = stored{target, it}
		s.recent.MoveToFront(e)
		return nil
	}
	s.entries[target] = s.recent.PushFront(stored{target, it})
	if s.recent.Len() > s.size {
		oldest := s.recent.Remove(s.recent.Back()).(stored)
		delete(s.entries, oldest.target)
	}
	return nil
}

// Get returns the item of a target, or the library's ErrItemNotFound.
func (s *store) Get(target bep44.Target) (*bep44.Item, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, ok := s.entries[target]; ok {
		return e.Value.(stored).item, nil
	}
	return nil, bep44.ErrItemNotFound
}

// Del forgets an item; the library calls it for one that has expired.
func (s *store) Del(target bep44.Target) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, ok := s.entries[target]; ok {
		s.recent.Remove(e)
		delete(s.entries, target)
	}
	return nil
}
