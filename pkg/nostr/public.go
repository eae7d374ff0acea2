package nostr

import (
	"net/netip"
	"slices"
)

var (
	// global6 is all of IPv6 that is given out as global unicast. What is
	// outside of it is local, reserved, or embeds an IPv4 address.
	global6 = netip.MustParsePrefix("2000::/3")
	// nat64 leads through a translator (RFC 6052) to the IPv4 address in its
	// last four bytes.
	nat64 = netip.MustParsePrefix("64:ff9b::/96")
)

// reserved lists what IsGlobalUnicast, IsPrivate and global6 let through, by
// the special-purpose registries of IANA.
var reserved = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),       // this network
	netip.MustParsePrefix("100.64.0.0/10"),   // carrier-grade NAT
	netip.MustParsePrefix("192.0.0.0/24"),    // protocol assignments
	netip.MustParsePrefix("192.0.2.0/24"),    // documentation
	netip.MustParsePrefix("192.88.99.0/24"),  // 6to4 relays
	netip.MustParsePrefix("198.18.0.0/15"),   // benchmarks
	netip.MustParsePrefix("198.51.100.0/24"), // documentation
	netip.MustParsePrefix("203.0.113.0/24"),  // documentation
	netip.MustParsePrefix("240.0.0.0/4"),     // reserved, broadcast
	netip.MustParsePrefix("2001::/23"),       // protocol assignments: Teredo, benchmarks, ORCHID
	netip.MustParsePrefix("2001:db8::/32"),   // documentation
	netip.MustParsePrefix("2002::/16"),       // 6to4
	netip.MustParsePrefix("3fff::/20"),       // documentation
}

// PublicAddr reports whether an address may be dialled on the claim of a
// stranger: global unicast and in no private or reserved range. An IPv4
// address mapped into IPv6, or behind the well-known prefix of NAT64, counts as
// the IPv4 address; one in a 6to4, Teredo or locally translated address is
// refused, whatever it is.
func PublicAddr(addr netip.Addr) bool {
	addr = UnmapAddr(addr)
	if !addr.IsValid() || addr.Zone() != "" || !addr.IsGlobalUnicast() || addr.IsPrivate() {
		return false
	}
	if addr.Is6() && !global6.Contains(addr) {
		return false
	}
	return !slices.ContainsFunc(reserved, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// UnmapAddr returns the IPv4 address that an IPv6 address leads to, mapped or behind
// the well-known prefix of NAT64, or else the address as it is.
func UnmapAddr(addr netip.Addr) netip.Addr {
	addr = addr.Unmap()
	if nat64.Contains(addr.WithZone("")) {
		bytes := addr.As16()
		return netip.AddrFrom4([4]byte(bytes[12:]))
	}
	return addr
}

// badPorts are those that browsers connect to for no page (Fetch Standard,
// "bad port"): services that could take a request for words of their own
// protocol. So no relay that browsers use is at one of them.
var badPorts = []uint16{
	0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104, 109, 110, 111, 113,
	115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526, 530, 531, 532, 540, 548, 554, 556, 563,
	587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669,
	6679, 6697, 10080,
}

// PublicPort reports whether a port may be dialled on the claim of a stranger:
// any that browsers connect to.
func PublicPort(port uint16) bool {
	_, bad := slices.BinarySearch(badPorts, port)
	return !bad
}
