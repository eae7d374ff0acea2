package homerelay

import (
	"crypto/subtle"
	"net/http"
	"net/netip"

	"github.com/relaymesh/relaymesh/internal/edge/clientaddr"
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

// partyOf tells by its request to whom a connection belongs.
func (r *Relay) partyOf(req *http.Request) party {
	sent := []byte(req.Header.Get("Authorization"))
	if subtle.ConstantTimeCompare(sent, []byte("Bearer "+r.token)) == 1 {
		return party{own: true}
	}
	return party{address: clientaddr.Share(r.proxies.Of(req)), web: req.Header.Get("Origin") != ""}
}
