package mainline

import (
	"slices"
	"sync"
	"time"
)

// known keeps good nodes spread over the whole id space, up to eight for each value of an id's first byte. Lookups
// start from the nearest of them, so that no few nodes bear the first step of every lookup, which is what gets an
// address banned.
type known struct {
	mu      sync.Mutex
	buckets [256][]knownNode
	count   int
}

type knownNode struct {
	Contact
	answered time.Time
}

const (
	knownPerPrefix = 32
	staleAfter     = 15 * time.Minute // BEP 5: a node that was silent for longer is questionable
)

// add notes that a node answered at now; the zero time stands for a node that has yet to prove itself. An old node gives way only when it has become stale: nodes that have been
// there for long tend to stay.
func (k *known) add(c Contact, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	bucket := &k.buckets[c.ID[0]]
	oldest := 0
	for i := range *bucket {
		n := &(*bucket)[i]
		if n.Addr == c.Addr {
			if now.After(n.answered) {
				*n = knownNode{c, now}
			}
			return
		}
		if n.answered.Before((*bucket)[oldest].answered) {
			oldest = i
		}
	}
	switch {
	case len(*bucket) < knownPerPrefix:
		*bucket = append(*bucket, knownNode{c, now})
		k.count++
	case now.Sub((*bucket)[oldest].answered) > staleAfter:
		(*bucket)[oldest] = knownNode{c, now}
	}
}

// remove forgets a node that did not answer, and reports whether it ever had.
func (k *known) remove(c Contact) (answered bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	bucket := &k.buckets[c.ID[0]]
	for i, n := range *bucket {
		if n.Addr == c.Addr {
			*bucket = slices.Delete(*bucket, i, i+1)
			k.count--
			return !n.answered.IsZero()
		}
	}
	return false
}

// nearest returns up to n nodes, those nearest to target first. Prefixes are visited in the order of their distance,
// so only the buckets that are needed are looked at.
func (k *known) nearest(target [20]byte, n int) []Contact {
	k.mu.Lock()
	defer k.mu.Unlock()
	var out []Contact
	for d := 0; d < 256 && len(out) < n; d++ {
		from := len(out)
		for i := range k.buckets[target[0]^byte(d)] {
			out = append(out, k.buckets[target[0]^byte(d)][i].Contact)
		}
		slices.SortFunc(out[from:], func(a, b Contact) int { return compareDistance(target, a.ID, b.ID) })
	}
	return out[:min(n, len(out))]
}

// size returns how many nodes are known, proved or not.
func (k *known) size() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.count
}

// good returns how many nodes answered lately.
func (k *known) good(now time.Time) (good int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i := range k.buckets {
		for _, n := range k.buckets[i] {
			if now.Sub(n.answered) < staleAfter {
				good++
			}
		}
	}
	return good
}
