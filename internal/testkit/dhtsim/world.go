//go:build linux

package dhtsim

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/bits"
	"net/netip"
	"slices"
)

// world is a Kademlia network whose nodes and routing tables are computed when they are asked for, so that millions
// of nodes take no memory.
//
// The id space is cut into size strata with one node each; the node of stratum s sits at address(s). A node that leaves
// is replaced by one of the next generation: another id in the same stratum, another port. Packets to an older
// generation get no answer.
type world struct {
	size  uint32
	base  uint16    // port of the first generation
	churn []float64 // for each epoch that passed, the share of nodes that left
	stale float64   // the share of routing table entries that name a node that has left
}

// portCount is how many generations can be told apart by their ports: more than a measurement lets pass, so that no newcomer
// has the address of a node that the client knows to be dead.
const portCount = 16

// hash mixes its arguments into 64 evenly distributed bits (splitmix64).
func hash(values ...uint64) uint64 {
	h := uint64(0x9e3779b97f4a7c15)
	for _, v := range values {
		h += v + 0x9e3779b97f4a7c15
		h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
		h = (h ^ h>>27) * 0x94d049bb133111eb
		h ^= h >> 31
	}
	return h
}

// chance is a number from 0 to 1 that depends only on its arguments.
func chance(values ...uint64) float64 { return float64(hash(values...)>>11) / (1 << 53) }

// What hash is asked about.
const (
	aboutID = iota
	aboutLeaving
	aboutTable
	aboutStale
	aboutClient
)

// generation is how many nodes have left stratum s so far.
func (w *world) generation(s uint32) (g int) {
	for epoch, share := range w.churn {
		if chance(aboutLeaving, uint64(epoch), uint64(s)) < share {
			g++
		}
	}
	return g
}

// id is the node id of a generation of a stratum: its first 64 bits lie in the stratum.
func (w *world) id(s uint32, generation int) (id [20]byte) {
	h := hash(aboutID, uint64(s), uint64(generation+portCount))
	width := math.MaxUint64 / uint64(w.size)
	binary.BigEndian.PutUint64(id[:], uint64(s)*width+h%width)
	binary.BigEndian.PutUint64(id[8:], h)
	binary.BigEndian.PutUint32(id[16:], s)
	return id
}

// Neighbours in the id space must not be neighbours in the address space: a multiplication modulo 2^24 spreads them.
const (
	spread   = 0x9e3779
	unspread = 0xb382c9 // spread * unspread = 1 modulo 2^24
)

func address(s uint32) netip.Addr {
	n := s * spread & 0xffffff
	return netip.AddrFrom4([4]byte{127, byte(n >> 16), byte(n >> 8), byte(n)})
}

func (w *world) stratum(ip netip.Addr) (s uint32, exists bool) {
	b := ip.As4()
	s = (uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])) * unspread & 0xffffff
	return s, s < w.size
}

func (w *world) port(generation int) uint16 {
	return w.base + uint16((generation+portCount)%portCount)
}

// node is one entry of a routing table.
type node struct {
	id   [20]byte
	addr netip.AddrPort
}

func (w *world) node(s uint32, generation int) node {
	return node{w.id(s, generation), netip.AddrPortFrom(address(s), w.port(generation))}
}

// block returns the strata whose ids may share the first n bits with id: from first up to, not including, end.
func (w *world) block(id [20]byte, n int) (first, end uint32) {
	width := math.MaxUint64 / uint64(w.size)
	low := binary.BigEndian.Uint64(id[:])
	high := low
	if n < 64 {
		low &^= math.MaxUint64 >> n
		high |= math.MaxUint64 >> n
	}
	return uint32(min(low/width, uint64(w.size-1))), uint32(min(high/width, uint64(w.size-1))) + 1
}

// nearest returns the k live nodes nearest to target.
func (w *world) nearest(target [20]byte, k int) []node {
	depth := max(0, bits.Len32(w.size)-bits.Len(uint(k))-2) // a block of at least twice k
	first, end := w.block(target, depth)
	nodes := make([]node, 0, end-first)
	for s := first; s < end; s++ {
		nodes = append(nodes, w.node(s, w.generation(s)))
	}
	return closest(nodes, target, k)
}

// table returns what the node of stratum s answers when asked for target: the eight nearest entries of its routing
// table, of which a share is stale. It knows its own neighbourhood completely and of the rest a few nodes at each
// distance: eight, or for most nodes up to 128 at the farthest ones, as libtorrent does.
func (w *world) table(s uint32, id, target [20]byte) []node {
	shared := sharedPrefix(id, target)
	first, end := w.block(target, shared+1)
	size := 8
	if shared < 4 && chance(aboutClient, uint64(s)) < 0.6 {
		size = 128 >> shared
	}
	if int(end-first) <= max(size, 16) {
		return w.neighbourhood(s, target)
	}
	nodes := make([]node, 0, size)
	for i := range size {
		pick := first + uint32(hash(aboutTable, uint64(s), uint64(shared), uint64(i))%uint64(end-first))
		nodes = append(nodes, w.entry(s, pick))
	}
	return closest(nodes, target, 8)
}

func (w *world) neighbourhood(s uint32, target [20]byte) []node {
	first, end := w.block(target, max(0, bits.Len32(w.size)-6))
	var nodes []node
	for n := first; n < end; n++ {
		nodes = append(nodes, w.entry(s, n))
	}
	return closest(nodes, target, 8)
}

// entry is the node of stratum of as the node of stratum s knows it: sometimes the one that was there before.
func (w *world) entry(s, of uint32) node {
	g := w.generation(of)
	if chance(aboutStale, uint64(s), uint64(of), uint64(len(w.churn))) < w.stale {
		g--
	}
	return w.node(of, g)
}

func closest(nodes []node, target [20]byte, k int) []node {
	slices.SortFunc(nodes, func(a, b node) int {
		for i := range target {
			if a.id[i] != b.id[i] {
				return int(a.id[i]^target[i]) - int(b.id[i]^target[i])
			}
		}
		return 0
	})
	nodes = slices.CompactFunc(nodes, func(a, b node) bool { return bytes.Equal(a.id[:], b.id[:]) })
	return nodes[:min(k, len(nodes))]
}

func sharedPrefix(a, b [20]byte) int {
	for i := range a {
		if d := a[i] ^ b[i]; d != 0 {
			return i*8 + bits.LeadingZeros8(d)
		}
	}
	return 160
}
