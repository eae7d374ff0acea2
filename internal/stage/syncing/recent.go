package syncing

import "sync"

// recentSize is how many ids each half of recent holds.
const recentSize = 8192

// recent remembers the ids that came last, over all live subscriptions: an
// author's note comes from every relay where they write, at about the same
// time.
type recent struct {
	mu       sync.Mutex
	new, old map[string]struct{}
}

// add reports whether the id is not known yet.
func (r *recent) add(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.new[id]; known {
		return false
	}
	_, known := r.old[id]
	if r.new == nil || len(r.new) >= recentSize {
		r.old, r.new = r.new, map[string]struct{}{}
	}
	r.new[id] = struct{}{}
	return !known
}

func (r *recent) forget(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.new, id)
	delete(r.old, id)
}
