package homerelay

import (
	"crypto/subtle"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
)

// party is to whom a connection is counted: the address that strangers cannot
// have many of (an IPv4 address or an IPv6 /64), and whether a web page is at
// work there, so that a page does not use up what other programs of its
// machine may have.
type party struct {
	address netip.Prefix
	web     bool // it has an Origin
	own     bool // the pipeline beside this relay, which has slots of its own
}

// network is what many addresses of one stranger lie in. Each address of
// loopback is one of its own.
func (p party) network() netip.Prefix {
	bits := 48
	if p.address.Addr().Is4() {
		bits = 24
	}
	if p.address.Addr().IsLoopback() {
		return p.address
	}
	network, _ := p.address.Addr().Prefix(bits) // an invalid one is a network, too
	return network
}

// partyOf tells by its request to whom a connection belongs. X-Forwarded-For
// is read from the right, over proxies that the operator named, since the
// client may have written what stands before.
func (r *Relay) partyOf(req *http.Request) party {
	sent := []byte(req.Header.Get("Authorization"))
	if subtle.ConstantTimeCompare(sent, []byte("Bearer "+r.token)) == 1 {
		return party{own: true}
	}
	peer, _ := netip.ParseAddrPort(req.RemoteAddr)
	addr := peer.Addr().Unmap().WithZone("")
	hops := strings.Split(strings.Join(req.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && r.trusts(addr); i-- {
		hop, err := parseHop(hops[i])
		if err != nil {
			break
		}
		addr = hop
	}
	bits := 64
	if addr.Is4() {
		bits = 32
	}
	prefix, _ := addr.Prefix(bits)
	return party{address: prefix, web: req.Header.Get("Origin") != ""}
}

// parseHop reads an element of X-Forwarded-For: an address, with some proxies
// a port, too.
func parseHop(s string) (netip.Addr, error) {
	s = strings.TrimSpace(s)
	if withPort, err := netip.ParseAddrPort(s); err == nil {
		return withPort.Addr().Unmap().WithZone(""), nil
	}
	addr, err := netip.ParseAddr(strings.Trim(s, "[]"))
	return addr.Unmap().WithZone(""), err
}

// ParseProxies reads addresses and networks for [Config.TrustedProxies].
func ParseProxies(texts []string) ([]netip.Prefix, error) {
	var list []netip.Prefix
	for _, text := range texts {
		prefix, err := netip.ParsePrefix(text)
		if addr, addrErr := netip.ParseAddr(text); addrErr == nil {
			prefix, err = addr.Unmap().Prefix(addr.Unmap().BitLen())
		}
		if err != nil {
			return nil, fmt.Errorf("%q is no address and no network", text)
		}
		list = append(list, prefix)
	}
	return list, nil
}

func (r *Relay) trusts(proxy netip.Addr) bool {
	for _, p := range r.proxies {
		if p.Contains(proxy) {
			return true
		}
	}
	return false
}
