package homerelay

import (
	"hash/maphash"
	"maps"
	"slices"
	"sync"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// matcher finds the subscriptions that an event is for. Each filter lies under
// the values of its rarest key, so an event meets only filters that ask for
// something it has, however many others there are. Its lock is no other's:
// connecting and answering wait for none of this.
type matcher struct {
	seed maphash.Seed

	mu    sync.RWMutex
	one   map[uint64]*watch              // by hash of key and value: the usual case,
	many  map[uint64]map[*watch]struct{} // and where several filters share a value
	every map[*watch]struct{}            // filters that name no value
}

// watch is one filter of a subscription, its lists sorted.
type watch struct {
	sub    *subscription
	filter *nostr.Filter
	keys   []uint64 // under which it lies; nil is every
}

func newMatcher() *matcher {
	return &matcher{
		seed: maphash.MakeSeed(), one: map[uint64]*watch{}, many: map[uint64]map[*watch]struct{}{}, every: map[*watch]struct{}{},
	}
}

// hash names a value of a key; a collision costs a look at the filter.
func (m *matcher) hash(key byte, value string) uint64 {
	var h maphash.Hash
	h.SetSeed(m.seed)
	_ = h.WriteByte(key)
	_, _ = h.WriteString(value)
	return h.Sum64()
}

// The keys beside those of tags, which are their letter or other byte.
const (
	keyID     = 0
	keyAuthor = 1
	keyKind   = 2
)

func kindValue(kind int) string {
	return string([]byte{byte(kind >> 24), byte(kind >> 16), byte(kind >> 8), byte(kind)})
}

// watches sorts the lists of a subscription's filters and says where they lie.
// What no event can match is left out.
func (m *matcher) watches(sub *subscription) []*watch {
	var all []*watch
	for i := range sub.filters {
		f := &sub.filters[i]
		if f.Void() {
			continue
		}
		*f = sortLists(*f)
		w := &watch{sub: sub, filter: f}
		letter, values := rarestTag(f.Tags)
		switch {
		case f.IDs != nil:
			w.keys = m.hashes(keyID, f.IDs)
		case len(f.Tags) > 0 && letter == "":
			continue // a name that no event's tag is indexed by
		case letter != "" && (f.Authors == nil || len(values) <= len(f.Authors)):
			w.keys = m.hashes(letter[0], values)
		case f.Authors != nil:
			w.keys = m.hashes(keyAuthor, f.Authors)
		case f.Kinds != nil:
			for _, kind := range f.Kinds {
				w.keys = append(w.keys, m.hash(keyKind, kindValue(kind)))
			}
		}
		all = append(all, w)
	}
	return all
}

func (m *matcher) hashes(key byte, values []string) []uint64 {
	keys := make([]uint64, len(values))
	for i, v := range values {
		keys[i] = m.hash(key, v)
	}
	return keys
}

// sortLists returns the filter with sorted lists; the given one stays as it is.
func sortLists(f nostr.Filter) nostr.Filter {
	f.IDs, f.Authors, f.Kinds, f.Tags = sortedList(f.IDs), sortedList(f.Authors), sortedList(f.Kinds), maps.Clone(f.Tags)
	for name, values := range f.Tags {
		f.Tags[name] = sortedList(values)
	}
	return f
}

func sortedList[T string | int](list []T) []T {
	if slices.IsSorted(list) {
		return list
	}
	list = slices.Clone(list)
	slices.Sort(list)
	return list
}

// add makes events find a subscription, and keeps its watches in it.
func (m *matcher) add(sub *subscription) {
	sub.watches = m.watches(sub)
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, w := range sub.watches {
		if w.keys == nil {
			m.every[w] = struct{}{}
		}
		for _, k := range w.keys {
			m.put(k, w)
		}
	}
}

func (m *matcher) put(k uint64, w *watch) {
	several, first := m.many[k], m.one[k]
	switch {
	case several != nil:
		several[w] = struct{}{}
	case first == nil || first == w:
		m.one[k] = w
	default:
		m.many[k] = map[*watch]struct{}{first: {}, w: {}}
		delete(m.one, k)
	}
}

// remove undoes add.
func (m *matcher) remove(sub *subscription) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, w := range sub.watches {
		delete(m.every, w)
		for _, k := range w.keys {
			if m.one[k] == w {
				delete(m.one, k)
			}
			if several := m.many[k]; several != nil {
				delete(several, w)
				if len(several) == 0 {
					delete(m.many, k)
				}
			}
		}
	}
}

// match returns the subscriptions that an event is for, each once.
func (m *matcher) match(e *nostr.Event) []*subscription {
	c := newCandidate(e)
	hashes := c.hashes(m)
	found := map[*subscription]struct{}{}
	try := func(w *watch) {
		if _, ok := found[w.sub]; !ok && c.matches(w.filter) {
			found[w.sub] = struct{}{}
		}
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	for w := range m.every {
		try(w)
	}
	for _, k := range hashes {
		if w := m.one[k]; w != nil {
			try(w)
		}
		for w := range m.many[k] {
			try(w)
		}
	}
	list := make([]*subscription, 0, len(found))
	for sub := range found {
		list = append(list, sub)
	}
	return list
}

// candidate is an event whose tags can be looked up.
type candidate struct {
	event *nostr.Event
	tags  map[string]map[string]struct{} // by name, the values
}

func newCandidate(e *nostr.Event) *candidate {
	c := &candidate{event: e, tags: map[string]map[string]struct{}{}}
	for _, t := range e.Tags {
		if len(t) < 2 || len(t[0]) != 1 {
			continue
		}
		if c.tags[t[0]] == nil {
			c.tags[t[0]] = map[string]struct{}{}
		}
		c.tags[t[0]][t[1]] = struct{}{}
	}
	return c
}

// hashes returns under what filters that could match may lie, each once.
func (c *candidate) hashes(m *matcher) []uint64 {
	e := c.event
	keys := []uint64{m.hash(keyID, e.ID), m.hash(keyAuthor, e.PubKey), m.hash(keyKind, kindValue(e.Kind))}
	for name, values := range c.tags {
		for v := range values {
			keys = append(keys, m.hash(name[0], v))
		}
	}
	return keys
}

// matches is [nostr.Filter.Match] over sorted lists and known tags: it costs no
// more than the shorter of what is asked for and what the event has.
func (c *candidate) matches(f *nostr.Filter) bool {
	e := c.event
	switch {
	case f.IDs != nil && !contains(f.IDs, e.ID),
		f.Authors != nil && !contains(f.Authors, e.PubKey),
		f.Kinds != nil && !contains(f.Kinds, e.Kind),
		f.Since != 0 && e.CreatedAt < f.Since,
		f.Until != 0 && e.CreatedAt > max(f.Until, 0):
		return false
	}
	for name, wanted := range f.Tags {
		if !intersects(wanted, c.tags[name]) {
			return false
		}
	}
	return true
}

func contains[T string | int](sorted []T, v T) bool {
	_, found := slices.BinarySearch(sorted, v)
	return found
}

func intersects(sorted []string, has map[string]struct{}) bool {
	if len(has) < len(sorted) {
		for v := range has {
			if contains(sorted, v) {
				return true
			}
		}
		return false
	}
	return slices.ContainsFunc(sorted, func(v string) bool { _, ok := has[v]; return ok })
}
