// Package clientaddr tells by an HTTP request from which address a client comes,
// where proxies that the operator named stand in front of us.
package clientaddr

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Proxies are the networks of proxies that are believed; nil is none.
type Proxies []netip.Prefix

// Parse reads addresses and networks, such as 10.0.0.0/8; an error names the text
// at fault.
func Parse(texts []string) (Proxies, error) {
	var list Proxies
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

// Of returns the address that a request comes from. X-Forwarded-For is read from
// the right, over proxies that are believed, since the client may have written
// what stands before.
func (p Proxies) Of(req *http.Request) netip.Addr {
	addr := Peer(req)
	hops := strings.Split(strings.Join(req.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && p.Trust(addr); i-- {
		hop, err := parseHop(hops[i])
		if err != nil {
			break
		}
		addr = hop
	}
	return addr
}

// Trust reports whether an address is one of the proxies.
func (p Proxies) Trust(addr netip.Addr) bool {
	return slices.ContainsFunc(p, func(network netip.Prefix) bool { return network.Contains(addr) })
}

// Peer is the address at the other end of the connection.
func Peer(req *http.Request) netip.Addr {
	peer, _ := netip.ParseAddrPort(req.RemoteAddr)
	return peer.Addr().Unmap().WithZone("")
}

// Share is what is counted as one client: an IPv4 address or an IPv6 /64, of which
// strangers cannot have many.
func Share(addr netip.Addr) netip.Prefix {
	bits := 64
	if addr.Is4() {
		bits = 32
	}
	prefix, _ := addr.Prefix(bits) // of an invalid address an invalid one, which is a share, too
	return prefix
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
