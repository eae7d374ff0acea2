package syncing

import (
	"context"
	"sync"
)

// singleFlight lets one sync of a relay run in this process at a time, and one
// wait. Without it every author who is announced while a relay is synced would
// start another sync of the whole relay, until all slots of the worker do the
// same.
//
// Of several that wait only the newest stays, and makes up for the others: the
// stream keeps only the newest message of a relay, so that one must stay
// unacknowledged until the work is done.
type singleFlight struct {
	mu sync.Mutex
	of map[string]*flight
}

// flight is a running sync; next tells the one that waits to run (true) or that it
// is superseded (false).
type flight struct{ next chan bool }

// acquire waits for the key. It returns false if a newer caller superseded this
// one; else the key must be released.
func (t *singleFlight) acquire(ctx context.Context, key string) (bool, error) {
	t.mu.Lock()
	if t.of == nil {
		t.of = map[string]*flight{}
	}
	running := t.of[key]
	if running == nil {
		t.of[key] = &flight{}
		t.mu.Unlock()
		return true, nil
	}
	if running.next != nil {
		running.next <- false
	}
	mine := make(chan bool, 1)
	running.next = mine
	t.mu.Unlock()

	select {
	case ok := <-mine:
		return ok, nil
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if running.next == mine {
		running.next = nil
	} else if <-mine { // given in the same moment
		t.handOver(key)
	}
	return false, context.Cause(ctx)
}

// release ends a flight.
func (t *singleFlight) release(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.handOver(key)
}

func (t *singleFlight) handOver(key string) {
	running := t.of[key]
	if running.next == nil {
		delete(t.of, key)
		return
	}
	running.next <- true
	running.next = nil
}
