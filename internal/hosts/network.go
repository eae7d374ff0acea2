package hosts

import (
	"net/netip"
	"slices"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// How many hosts' budgets a network has: an ordinary one, and one of a CDN, where
// thousands of hosts share a few addresses.
const (
	ordinary = 8
	shared   = 64
)

// Network returns the network of an address, an IPv4 /24 or an IPv6 /48, and how
// many hosts' budgets it has. Each loopback address is a network of its own:
// where they may be dialled at all, they stand for the addresses of a test.
func Network(at netip.Addr) (network string, budgets int) {
	at = nostr.UnmapAddr(at).WithZone("")
	bits := 48
	switch {
	case at.IsLoopback():
		bits = at.BitLen()
	case at.Is4():
		bits = 24
	}
	prefix, err := at.Prefix(bits)
	if err != nil {
		return "", ordinary
	}
	if slices.ContainsFunc(cdns, func(p netip.Prefix) bool { return p.Contains(at) }) {
		return prefix.String(), shared
	}
	return prefix.String(), ordinary
}

// cdns are the networks that Cloudflare and Fastly publish as theirs
// (cloudflare.com/ips, api.fastly.com/public-ip-list).
var cdns = parse(
	"173.245.48.0/20", "103.21.244.0/22", "103.22.200.0/22", "103.31.4.0/22", "141.101.64.0/18", "108.162.192.0/18", "190.93.240.0/20",
	"188.114.96.0/20", "197.234.240.0/22", "198.41.128.0/17", "162.158.0.0/15", "104.16.0.0/13", "104.24.0.0/14", "172.64.0.0/13",
	"131.0.72.0/22", "2400:cb00::/32", "2606:4700::/32", "2803:f800::/32", "2405:b500::/32", "2405:8100::/32", "2a06:98c0::/29",
	"2c0f:f248::/32",
	"23.235.32.0/20", "43.249.72.0/22", "103.244.50.0/24", "103.245.222.0/23", "103.245.224.0/24", "104.156.80.0/20", "140.248.64.0/18",
	"140.248.128.0/17", "146.75.0.0/17", "151.101.0.0/16", "157.52.64.0/18", "167.82.0.0/17", "167.82.128.0/20", "167.82.160.0/20",
	"167.82.224.0/20", "172.111.64.0/18", "185.31.16.0/22", "199.27.72.0/21", "199.232.0.0/16", "2a04:4e40::/32", "2a04:4e42::/32",
)

func parse(prefixes ...string) (list []netip.Prefix) {
	for _, p := range prefixes {
		list = append(list, netip.MustParsePrefix(p))
	}
	return list
}
