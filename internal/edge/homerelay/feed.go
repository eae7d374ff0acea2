package homerelay

import (
	"sync"
	"sync/atomic"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// live is an event that is passed on. All who wait for it share its text, which
// is kept among the last of a bounded size; whoever is slower reads it from the
// store again.
type live struct {
	id     string
	stored bool
	text   atomic.Pointer[[]byte] // nil when newer ones have taken its place
}

// lives keeps the texts of the last events, up to feedBytes.
type lives struct {
	mu    sync.Mutex
	queue []*live
	bytes int
}

func (l *lives) add(e *nostr.Event) *live {
	text := nostr.Encode(e)
	event := &live{id: e.ID, stored: !nostr.Ephemeral(e.Kind)}
	event.text.Store(&text)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue = append(l.queue, event)
	l.bytes += len(text)
	for l.bytes > feedBytes {
		l.bytes -= len(*l.queue[0].text.Swap(nil))
		l.queue[0] = nil
		l.queue = l.queue[1:]
	}
	return event
}

// update is an event that a subscription is to get.
type update struct {
	sub   *subscription
	event *live
}

// updateBytes is what a waiting update takes, with the unused rest of its queue.
const updateBytes = 32

// feed is a client's queue of updates.
type feed struct {
	more chan struct{} // has an element while the queue may have one

	mu    sync.Mutex
	queue []update
}

func newFeed() *feed { return &feed{more: make(chan struct{}, 1)} }

// push reports whether there was room.
func (f *feed) push(u update) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.queue) >= feedLength {
		return false
	}
	f.queue = append(f.queue, u)
	f.signal()
	return true
}

// pop takes the first update.
func (f *feed) pop() (u update, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.queue) == 0 {
		return update{}, false
	}
	u = f.queue[0]
	f.queue[0] = update{}
	if f.queue = f.queue[1:]; len(f.queue) > 0 {
		f.signal()
	} else {
		f.queue = nil
	}
	return u, true
}

func (f *feed) signal() {
	select {
	case f.more <- struct{}{}:
	default:
	}
}
