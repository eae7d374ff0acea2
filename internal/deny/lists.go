package deny

import (
	"sync"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Lists hold what is denied at the moment. They may be used and set concurrently;
// nil ones, and the zero value, deny nothing.
type Lists struct {
	mu      sync.RWMutex
	now     *List
	changed chan struct{} // closed by the next Set; nil while nobody waits for it
}

// Set puts another list in force.
func (s *Lists) Set(l *List) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = l
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// Now is the list in force, which may be nil.
func (s *Lists) Now() *List {
	if s == nil {
		return nil
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.now
}

// Changed returns a channel that is closed when another list is in force than when
// it was called. Call it before the question whose answer may change.
func (s *Lists) Changed() <-chan struct{} {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return s.changed
}

// Key reports whether a key is denied now; see [List.Key].
func (s *Lists) Key(key string) bool { return s.Now().Key(key) }

// ID reports whether an event id is denied now.
func (s *Lists) ID(id string) bool { return s.Now().ID(id) }

// Relay reports whether a relay is denied now; see [List.Relay].
func (s *Lists) Relay(relay string) bool { return s.Now().Relay(relay) }

// Relays returns those of the relays that are not denied now.
func (s *Lists) Relays(relays []string) []string { return s.Now().Relays(relays) }

// Event reports whether an event is denied now; see [List.Event].
func (s *Lists) Event(e *nostr.Event) bool { return s.Now().Event(e) != "" }
