package mainline

import (
	"context"
	"crypto/rand"
	"net/netip"
	"sync"
)

// measured guards the lookups by which a node gets to know how dense the network is.
type measured struct {
	mu   sync.Mutex
	done bool
}

// SharedBits is [SharedBits] in the network that this node knows. A node that has looked up too little to know how dense
// that is looks around a few targets by chance first, once.
func (n *Node) SharedBits(ctx context.Context, target [20]byte, nearest []Contact) int {
	n.measured.mu.Lock()
	defer n.measured.mu.Unlock()
	if !n.measured.done && n.density.size() == 0 {
		var looking sync.WaitGroup
		for range leastSamples {
			looking.Go(func() {
				var elsewhere [20]byte
				_, _ = rand.Read(elsewhere[:])                  // never fails
				_, _ = n.Get(ctx, elsewhere, nil, GetOptions{}) // what it finds, it notes
			})
		}
		looking.Wait()
		n.measured.done = true
	}
	return SharedBits(target, nearest, n.density.size())
}

// SeenFrom is the IPv4 address under which most nodes have seen this one lately; invalid if they do not say.
func (n *Node) SeenFrom() (most netip.Addr) {
	votes := map[netip.Addr]int{}
	for addr, count := range n.SeenAs() {
		if votes[addr.Addr()] += count; votes[addr.Addr()] > votes[most] {
			most = addr.Addr()
		}
	}
	return most
}
