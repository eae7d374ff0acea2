package mainline

import (
	"encoding/binary"
	"net/netip"
	"sync"
)

const maxExternalAddrs = 64

// externalAddrs remembers the addresses under which nodes that we asked see us ("ip"
// of BEP 42): the last few, each of which may be a lie.
type externalAddrs struct {
	mu   sync.Mutex
	last [maxExternalAddrs]netip.AddrPort
	next int
}

// add takes a compact IPv4 address; anything else is passed over.
func (m *externalAddrs) add(compact []byte) {
	if len(compact) != 4+2 {
		return
	}
	addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte(compact)), binary.BigEndian.Uint16(compact[4:]))
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last[m.next] = addr
	m.next = (m.next + 1) % len(m.last)
}

// SeenAs counts, over the last 64 answers, the addresses under which others
// see this node. Behind a NAT it is not [Node.Addr]; if each sees another
// port, nobody can reach the node unasked.
func (n *Node) SeenAs() map[netip.AddrPort]int {
	m := &n.guard.external
	m.mu.Lock()
	defer m.mu.Unlock()
	seen := map[netip.AddrPort]int{}
	for _, addr := range m.last {
		if addr.IsValid() {
			seen[addr]++
		}
	}
	return seen
}
