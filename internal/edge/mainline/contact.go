package mainline

import (
	"encoding/binary"
	"errors"
	"net/netip"
)

// Contact is a DHT node: its id and its IPv4 address.
type Contact struct {
	ID   [20]byte
	Addr netip.AddrPort
}

// compactSize is the length of a BEP 5 compact node info: id, address, port.
const compactSize = 20 + 4 + 2

// AppendCompact appends each contact to b as 26 bytes of BEP 5 compact node info.
func AppendCompact(b []byte, contacts []Contact) []byte {
	for _, c := range contacts {
		ip := c.Addr.Addr().As4()
		b = append(append(b, c.ID[:]...), ip[:]...)
		b = binary.BigEndian.AppendUint16(b, c.Addr.Port())
	}
	return b
}

// ParseCompact reads what AppendCompact wrote.
func ParseCompact(b []byte) ([]Contact, error) {
	if len(b)%compactSize != 0 {
		return nil, errors.New("compact nodes: the length is not a multiple of 26")
	}
	contacts := make([]Contact, 0, len(b)/compactSize)
	for ; len(b) > 0; b = b[compactSize:] {
		contacts = append(contacts, parseContact(b))
	}
	return contacts, nil
}

func parseContact(b []byte) Contact {
	ip := netip.AddrFrom4([4]byte(b[20:24]))
	return Contact{ID: [20]byte(b[:20]), Addr: netip.AddrPortFrom(ip, binary.BigEndian.Uint16(b[24:26]))}
}

// endpoint is an IPv4 address and a port in the form in which they are looked up fastest.
type endpoint uint64

func endpointOf(addr netip.AddrPort) endpoint {
	ip := addr.Addr().As4()
	return endpoint(binary.BigEndian.Uint32(ip[:]))<<16 | endpoint(addr.Port())
}

// compareDistance orders a and b by their distance from target in the XOR metric of Kademlia.
func compareDistance(target, a, b [20]byte) int {
	for i := range target {
		if a[i] != b[i] {
			return int(a[i]^target[i]) - int(b[i]^target[i])
		}
	}
	return 0
}
