package mainline

import (
	"net/netip"

	"github.com/relaymesh/relaymesh/internal/edge/dialguard"
)

// dialable reports whether packets may go to addr. A stranger's answer may name any address, so beyond what the guard
// allows only ports from 1024 on pass: no DNS, NTP or SNMP server that could be made to answer a victim.
func dialable(addr netip.AddrPort, allowPrivate bool) bool {
	ip := addr.Addr()
	if !ip.Is4() || addr.Port() == 0 || ip.IsMulticast() || ip.IsUnspecified() {
		return false
	}
	return allowPrivate || addr.Port() >= 1024 && dialguard.Guard{}.Allows(addr)
}
