package hosts

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// hosters are domains under which each name is a relay of its own, of somebody
// else, beside the private part of the public suffix list, which says the same.
var hosters = []string{"nostr1.com", "nostr-relay.app", "relay.tools", "relays.land", "hostr.cc", "coracle.tools", "nostria.app"}

// Of returns the host by which a relay that has proved nothing is counted, given
// its URL or "host:port": the registrable domain, the full name for the domains
// of relay hosters, the address for an IPv4 literal, and for an IPv6 literal its /48,
// as anybody can have all of it. It never fails: of text that is no URL it is the
// text. Where loopback addresses may be dialled at all, each port there is a host, as
// each address is a network.
func Of(relay string) string {
	name := hostname(relay)
	if at, err := netip.ParseAddr(name); err == nil && at.IsLoopback() {
		return Name(relay)
	}
	return registrable(name)
}

// Name returns the full name by which a proven relay is counted, given the same:
// the host with its port, if one is named.
func Name(relay string) string {
	if u, err := url.Parse(relay); err == nil && u.Host != "" {
		port := u.Port()
		if port == "" {
			port = map[string]string{"wss": "443", "https": "443"}[u.Scheme]
		}
		if port == "" {
			port = "80"
		}
		return hostname(relay) + ":" + port
	}
	return strings.ToLower(relay)
}

// hostname is the name or address of a URL or of "host:port".
func hostname(relay string) string {
	u, err := url.Parse(relay)
	if err != nil || u.Host == "" {
		u, err = url.Parse("//" + relay)
	}
	if err != nil {
		return relay
	}
	return strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
}

func registrable(name string) string {
	if at, err := netip.ParseAddr(name); err == nil {
		return machine(nostr.UnmapAddr(at).WithZone(""))
	}
	domain, err := publicsuffix.EffectiveTLDPlusOne(name)
	if err != nil || slices.Contains(hosters, domain) {
		return name
	}
	return domain
}

// machine is as which an address is counted that somebody has named.
func machine(at netip.Addr) string {
	if at.Is4() || at.IsLoopback() {
		return at.String()
	}
	return netip.PrefixFrom(at, 48).Masked().String()
}

// hosted reports whether a host is one of many relays at a hoster's addresses.
func hosted(host string) bool {
	return slices.ContainsFunc(hosters, func(h string) bool { return strings.HasSuffix(host, "."+h) })
}
