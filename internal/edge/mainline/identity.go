package mainline

import (
	"hash/crc32"
	"net/netip"
)

// fitID returns id with the 21 bits in front that BEP 42 derives from the node's IPv4 address. The last byte of id chooses one
// of eight prefixes.
func fitID(id [20]byte, ip netip.Addr) [20]byte {
	b := ip.As4()
	for i, mask := range [4]byte{0x03, 0x0f, 0x3f, 0xff} {
		b[i] &= mask
	}
	b[0] |= id[19] << 5 // its last three bits
	sum := crc32.Checksum(b[:], crc32.MakeTable(crc32.Castagnoli))
	id[0], id[1] = byte(sum>>24), byte(sum>>16)
	id[2] = byte(sum>>8)&0xf8 | id[2]&0x07
	return id
}

// nextID is the id for the next start: this one, unless most nodes lately saw us at a public address that it does not fit.
// It does not change while the node runs, because others know the node by it.
func (n *Node) nextID() [20]byte {
	votes, all := map[netip.Addr]int{}, 0
	for addr, count := range n.SeenAs() {
		votes[addr.Addr()] += count
		all += count
	}
	for ip, count := range votes {
		if count >= maxExternalAddrs/2 && 2*count > all && dialable(netip.AddrPortFrom(ip, 1024), false) {
			return fitID(n.id, ip)
		}
	}
	return n.id
}
