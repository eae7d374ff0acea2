package mainline

import (
	"cmp"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"

	"github.com/relaymesh/relaymesh/pkg/bep44"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// maxPeersOfNode is how many peers of one answer count. Honest nodes send at most 100, since more fit no datagram.
const maxPeersOfNode = 100

// peerCompact is the length of a BEP 5 compact peer: IPv4 address, port.
const peerCompact = 4 + 2

// Peer is an address that was announced for an infohash, by the word of the DHT nodes that named it. No node proves
// that anything listens there.
type Peer struct {
	Addr  netip.AddrPort
	Nodes int // that named it
}

// peerTally counts the peers that nodes name. No bound is on all together: whoever answered first could use it up. It is
// on each answer, and a lookup has at most maxQueries of them.
type peerTally struct {
	ports bool // several ports of one address count, and private addresses, as in test networks
	named map[netip.AddrPort]int
}

func newPeerTally(allowPrivate bool) *peerTally {
	return &peerTally{ports: allowPrivate, named: make(map[netip.AddrPort]int)}
}

// count takes the bencoded list of compact peers of one node's answer, nil if it has none. Of a longer list than honest
// nodes send, random peers count, so that nobody chooses which. What cannot be dialled, and IPv6, does not.
func (t *peerTally) count(values []byte) {
	var peers []netip.AddrPort
	for b := values; len(b) > 1 && b[1] != 'e'; {
		value, rest, err := bep44.ScanValue(b[1:])
		if err != nil {
			break
		}
		text, _ := bep44.DecodeString(value)
		if at, ok := parsePeer(text); ok && t.mayDial(at) && !slices.Contains(peers, at) {
			peers = append(peers, at)
		}
		b = b[len(b)-len(rest)-1:]
	}
	if len(peers) > maxPeersOfNode {
		rand.Shuffle(len(peers), func(i, j int) { peers[i], peers[j] = peers[j], peers[i] })
		peers = peers[:maxPeersOfNode]
	}
	for _, at := range peers {
		t.named[at]++
	}
}

func parsePeer(b []byte) (netip.AddrPort, bool) {
	if len(b) != peerCompact {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b)), binary.BigEndian.Uint16(b[4:])), true
}

func (t *peerTally) mayDial(at netip.AddrPort) bool {
	if t.ports {
		return at.Port() != 0 && !at.Addr().IsUnspecified() && !at.Addr().IsMulticast()
	}
	return nostr.PublicAddr(at.Addr()) && nostr.PublicPort(at.Port())
}

// peers returns those that count: of each address one, under the port that most nodes name, since one host may announce
// all its ports. First are those that most nodes name, equal ones in random order, so that nobody chooses an address for it.
func (t *peerTally) peers() []Peer {
	list := make([]Peer, 0, len(t.named))
	for at, nodes := range t.named {
		list = append(list, Peer{at, nodes})
	}
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	slices.SortStableFunc(list, func(a, b Peer) int { return cmp.Compare(b.Nodes, a.Nodes) })
	if t.ports {
		return list
	}
	seen := make(map[netip.Addr]bool, len(list))
	return slices.DeleteFunc(list, func(p Peer) bool {
		again := seen[p.Addr.Addr()]
		seen[p.Addr.Addr()] = true
		return again
	})
}
