package mainline

import (
	"net/netip"
	"slices"
	"sync"
	"time"
)

// routingTable keeps good nodes spread over the whole id space, up to 32 for each value of an id's first byte. Lookups
// start from the nearest of them, so that no few nodes bear the first step of every lookup, which is what gets an
// address banned.
//
// A node is one IP address, wherever its ids are: ids are free, and who answers under many must not become all that
// lookups start from.
type routingTable struct {
	ports bool // several nodes of one address count, as in test networks

	mu       sync.Mutex
	buckets  [256][]routingNode
	prefixes map[netip.AddrPort]byte // in which bucket a node is
	count    int
}

type routingNode struct {
	Contact
	answered time.Time
}

const (
	nodesPerPrefix = 32
	staleAfter     = 15 * time.Minute // BEP 5: a node that was silent for longer is questionable
)

func newRoutingTable(ports bool) *routingTable {
	return &routingTable{ports: ports, prefixes: make(map[netip.AddrPort]byte)}
}

// add notes that a node answered at now; the zero time stands for a node that has yet to prove itself. An old node gives
// way only when it has become stale: nodes that have been there for long tend to stay.
func (k *routingTable) add(c Contact, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if old, i := k.find(c.Addr); i >= 0 {
		if !now.After((*old)[i].answered) {
			return
		}
		if (*old)[i].ID[0] == c.ID[0] {
			(*old)[i] = routingNode{c, now}
			return
		}
		k.drop(old, i)
	}
	bucket := &k.buckets[c.ID[0]]
	if len(*bucket) == nodesPerPrefix {
		oldest := 0
		for i, n := range *bucket {
			if n.answered.Before((*bucket)[oldest].answered) {
				oldest = i
			}
		}
		if now.Sub((*bucket)[oldest].answered) <= staleAfter {
			return
		}
		k.drop(bucket, oldest)
	}
	*bucket = append(*bucket, routingNode{c, now})
	k.prefixes[k.nodeKey(c.Addr)] = c.ID[0]
	k.count++
}

// remove forgets a node that did not answer, and reports whether it ever had.
func (k *routingTable) remove(c Contact) (answered bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	bucket, i := k.find(c.Addr)
	if i < 0 || (*bucket)[i].Addr != c.Addr {
		return false
	}
	answered = !(*bucket)[i].answered.IsZero()
	k.drop(bucket, i)
	return answered
}

// nodeKey is what makes an address one node.
func (k *routingTable) nodeKey(addr netip.AddrPort) netip.AddrPort {
	if k.ports {
		return addr
	}
	return netip.AddrPortFrom(addr.Addr(), 0)
}

// find returns where the node of an address is, -1 if it is not known; mu is held.
func (k *routingTable) find(addr netip.AddrPort) (bucket *[]routingNode, i int) {
	place := k.nodeKey(addr)
	prefix, ok := k.prefixes[place]
	if !ok {
		return nil, -1
	}
	bucket = &k.buckets[prefix]
	return bucket, slices.IndexFunc(*bucket, func(n routingNode) bool { return k.nodeKey(n.Addr) == place })
}

// drop forgets a node; mu is held.
func (k *routingTable) drop(bucket *[]routingNode, i int) {
	delete(k.prefixes, k.nodeKey((*bucket)[i].Addr))
	*bucket = slices.Delete(*bucket, i, i+1)
	k.count--
}

// nearest returns up to n nodes, those nearest to target first. Prefixes are visited in the order of their distance,
// so only the buckets that are needed are looked at.
func (k *routingTable) nearest(target [20]byte, n int) []Contact {
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
func (k *routingTable) size() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.count
}

// good returns how many nodes answered lately.
func (k *routingTable) good(now time.Time) (good int) {
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
