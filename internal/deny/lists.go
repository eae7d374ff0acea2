package deny

import (
	"sync/atomic"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Lists hold what is denied at the moment. They may be used and set concurrently;
// nil ones, and the zero value, deny nothing.
type Lists struct{ now atomic.Pointer[List] }

// Set puts another list in force.
func (s *Lists) Set(l *List) { s.now.Store(l) }

// Now is the list in force, which may be nil.
func (s *Lists) Now() *List {
	if s == nil {
		return nil
	}
	return s.now.Load()
}

// Key reports whether a key is denied now; see [List.Key].
func (s *Lists) Key(key string) bool { return s.Now().Key(key) }

// ID reports whether an event id is denied now.
func (s *Lists) ID(id string) bool { return s.Now().ID(id) }

// Relay reports whether a relay is denied now; see [List.Relay].
func (s *Lists) Relay(relay string) bool { return s.Now().Relay(relay) }

// Relays returns those of the relays that are not denied now.
func (s *Lists) Relays(relays []string) []string {
	l := s.Now()
	if l.Empty() {
		return relays
	}
	var left []string
	for _, url := range relays {
		if !l.Relay(url) {
			left = append(left, url)
		}
	}
	return left
}

// Event reports whether an event is denied now; see [List.Event].
func (s *Lists) Event(e *nostr.Event) bool { return s.Now().Event(e) != "" }
