// Package recent remembers the entries that were used last, in bounded memory.
package recent

import (
	"cmp"
	"sync"
)

// Map holds at least the Size entries that were used last, and at most twice as
// many, in two generations: when the young one is full it becomes the old one,
// which is dropped, and entries that are still in use move back. The zero value
// is ready. It is safe for concurrent use.
type Map[K comparable, V any] struct {
	Size int // 0 is 8192

	mu         sync.Mutex
	young, old map[K]V
}

// Get returns the value of a key, which counts as used.
func (m *Map[K, V]) Get(key K) (V, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.get(key)
}

// Put sets the value of a key.
func (m *Map[K, V]) Put(key K, value V) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.put(key, value)
}

// LoadOrStore returns the value of a key, and whether there was one; else it
// sets and returns the given one.
func (m *Map[K, V]) LoadOrStore(key K, value V) (actual V, loaded bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if actual, loaded = m.get(key); loaded {
		return actual, true
	}
	m.put(key, value)
	return value, false
}

// Delete forgets a key.
func (m *Map[K, V]) Delete(key K) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.young, key)
	delete(m.old, key)
}

// Age drops the old generation; the young one becomes old, whatever its size.
func (m *Map[K, V]) Age() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.age()
}

func (m *Map[K, V]) get(key K) (V, bool) {
	v, ok := m.young[key]
	if !ok {
		if v, ok = m.old[key]; ok {
			m.put(key, v)
		}
	}
	return v, ok
}

func (m *Map[K, V]) put(key K, value V) {
	if _, known := m.young[key]; !known && (m.young == nil || len(m.young) >= cmp.Or(m.Size, 8192)) {
		m.age()
	}
	m.young[key] = value
}

// age reuses the memory of the generation that is dropped.
func (m *Map[K, V]) age() {
	m.young, m.old = m.old, m.young
	if clear(m.young); m.young == nil {
		m.young = map[K]V{}
	}
}
