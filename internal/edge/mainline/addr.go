package mainline

import "net/netip"

// notPublic lists the IPv4 ranges that are global unicast to [netip.Addr] but not the public internet.
var notPublic = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"),   // carrier-grade NAT
	netip.MustParsePrefix("192.0.0.0/24"),    // protocol assignments
	netip.MustParsePrefix("192.0.2.0/24"),    // documentation
	netip.MustParsePrefix("198.18.0.0/15"),   // benchmarks
	netip.MustParsePrefix("198.51.100.0/24"), // documentation
	netip.MustParsePrefix("203.0.113.0/24"),  // documentation
	netip.MustParsePrefix("240.0.0.0/4"),     // reserved
}

// dialable reports whether packets may go to addr. A stranger's answer may name any address, so without allowPrivate
// only public IPv4 addresses and ports from 1024 on pass: nothing inside the operator's network, and no DNS, NTP or
// SNMP server that could be made to answer a victim.
func dialable(addr netip.AddrPort, allowPrivate bool) bool {
	ip := addr.Addr()
	if !ip.Is4() || addr.Port() == 0 || ip.IsMulticast() || ip.IsUnspecified() {
		return false
	}
	if allowPrivate {
		return true
	}
	if addr.Port() < 1024 || !ip.IsGlobalUnicast() || ip.IsPrivate() {
		return false
	}
	for _, p := range notPublic {
		if p.Contains(ip) {
			return false
		}
	}
	return true
}
