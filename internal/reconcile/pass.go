package reconcile

import (
	"sync"

	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// maxProvable bounds the events written to one side in a pass, and those it was
// not given, that are proved one by one; beyond it, the sides are compared again.
const maxProvable = 5000

// passState is a comparison, begun in new sessions, with its transfers: none of
// them outlives it. The fields behind mu are written to by many goroutines.
type passState struct {
	number int32

	mu      sync.Mutex
	read    [2]struct{ count, oldest int64 } // by the side that was read; oldest is a created_at
	written [2][]negentropy.Item             // and confirmed, by the side; up to maxProvable
	held    findings                         // what our rules kept back
	refused findings                         // what cannot be given otherwise
	claims  [2][]Refusal                     // the same, by the side that has it; up to maxProvable
	hits    [2][]nostr.Event                 // what a side delivered before it was written, by that side; up to maxSuspects
	whole   bool                             // something only another comparison can tell
}

// reads counts what was read from a side.
func (r *passState) reads(from negentropy.Side, batch []nostr.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	read := &r.read[from]
	read.count += int64(len(batch))
	for _, e := range batch {
		if read.oldest == 0 || e.CreatedAt < read.oldest {
			read.oldest = e.CreatedAt
		}
	}
}

// writes notes an event that a side has confirmed.
func (r *passState) writes(to negentropy.Side, item negentropy.Item) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.written[to]) < maxProvable {
		r.written[to] = append(r.written[to], item)
	} else {
		r.whole = true
	}
}

// had notes events that a side delivers already, although its session does not list
// them.
func (r *passState) had(at negentropy.Side, list []nostr.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hits[at] = append(r.hits[at], list[:min(len(list), maxSuspects-len(r.hits[at]))]...)
}

// refuses notes an event that a side cannot be given. Unless our rules say so,
// what is transferred may settle it: a deletion, a newer version.
func (r *passState) refuses(refusal Refusal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	from := refusal.To.Other()
	switch {
	case refusal.Cause == ByRules:
		r.held.leave(refusal)
		return
	case len(r.claims[from]) < maxProvable:
		r.claims[from] = append(r.claims[from], refusal)
	default:
		r.whole = true
	}
	r.refused.leave(refusal)
}
