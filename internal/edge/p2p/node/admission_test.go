package node

import (
	"testing"

	ma "github.com/multiformats/go-multiaddr"
)

// Whoever has an IPv6 network of a customer has no more than who has one address.
func TestNetworks(t *testing.T) {
	for addr, want := range map[string]string{
		"/ip4/192.0.2.1/tcp/9001":                 "192.0.2.1",
		"/ip4/192.0.2.1/udp/9001/quic-v1":         "192.0.2.1",
		"/ip6/::ffff:192.0.2.1/tcp/1":             "192.0.2.1",
		"/ip6/2001:db8:1:2::3/tcp/1":              "2001:db8:1::/56",
		"/ip6/2001:db8:1:ff:ffff::/udp/1/quic-v1": "2001:db8:1::/56",
		"/ip6/2001:db8:1:100::/udp/1/quic-v1":     "2001:db8:1:100::/56",
		"/dns/relay.example.com/tcp/1":            "/dns/relay.example.com/tcp/1",
	} {
		at, err := ma.NewMultiaddr(addr)
		if err != nil {
			t.Fatal(err)
		}
		if got := Network(at); got != want {
			t.Errorf("%s: %s, want %s", addr, got, want)
		}
	}
}
