package p2p

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"

	"github.com/relaymesh/relaymesh/internal/testkit/dnstest"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// openAt tries to open a session at a multiaddr without its peer id.
func openAt(t *testing.T, h *Host, addr, id string) error {
	t.Helper()
	at, err := ParseAddress(addr + "/p2p/" + id)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = h.Peer(at).Open(t.Context(), nostr.Filter{}, []byte{0x61})
	return err
}

func strictHost(t *testing.T) *Host {
	t.Helper()
	h, err := Start(Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

// gated reports whether it was decided here that nothing is dialled.
func gated(err error) bool {
	failed := (*swarm.DialError)(nil)
	if !errors.As(err, &failed) || !errors.Is(failed.Cause, swarm.ErrNoGoodAddresses) {
		return false
	}
	for _, e := range failed.DialErrors {
		if !errors.Is(e.Cause, swarm.ErrGaterDisallowedConnection) {
			return false
		}
	}
	return true
}

// anyID returns the id of a peer that nobody has addresses of.
func anyID(t *testing.T) string {
	t.Helper()
	key, err := identity("")
	if err != nil {
		t.Fatal(err)
	}
	id, err := peer.IDFromPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return id.String()
}

// Nobody's claim leads where it must not, by TCP or QUIC, by address or by name.
func TestForbiddenAddressesAreNotDialled(t *testing.T) {
	dns, strict := dnstest.StartDNS(t), strictHost(t)
	for _, addr := range dnstest.Addrs() {
		family := map[bool]string{true: "ip4", false: "ip6"}[addr.Is4()]
		dns.Set("relay.example.com", []netip.Addr{addr})
		for _, host := range []string{fmt.Sprintf("/%s/%s", family, addr), "/dns/relay.example.com", "/dns" + family[2:] + "/relay.example.com"} {
			for _, transport := range []string{"/tcp/9001", "/udp/9001/quic-v1"} {
				if err := openAt(t, strict, host+transport, anyID(t)); !gated(err) {
					t.Errorf("%s%s at %s: %v", host, transport, addr, err)
				}
			}
		}
	}
	for _, port := range dnstest.BadPorts {
		for _, addr := range []string{fmt.Sprintf("/ip4/1.1.1.1/tcp/%d", port), fmt.Sprintf("/ip4/1.1.1.1/udp/%d/quic-v1", port)} {
			if err := openAt(t, strict, addr, anyID(t)); !gated(err) {
				t.Errorf("%s: %v", addr, err)
			}
		}
	}
}

// Neither are there ways around it: other transports, circuits through a peer,
// zones, names that stand for other addresses.
func TestOtherWaysAreNotTaken(t *testing.T) {
	id, pubkey, _ := hornetsKey(t, parities["even"])
	for _, addr := range []string{
		"/ip6zone/lo/ip6/fe80::1/tcp/9001", "/dnsaddr/relay.example.com", "/dnsaddr/relay.example.com/tcp/9001", "/unix/run/docker.sock",
		"/ip4/1.1.1.1/tcp/9001/p2p/" + id + "/p2p-circuit", "/p2p/" + id + "/p2p-circuit", "/ip4/1.1.1.1/udp/9001", "/ip4/1.1.1.1/udp/9001/quic",
		"/ip4/1.1.1.1/udp/9001/quic-v1/webtransport", "/ip4/1.1.1.1/tcp/80/ws", "/ip4/1.1.1.1/tcp/443/wss", "/ip4/1.1.1.1/tcp/80/http",
		"/onion3/" + strings.Repeat("a", 56) + ":80", "/ip4/1.1.1.1/ip4/127.0.0.1/tcp/1", "/ip4/1.1.1.1/tcp/1/ip4/127.0.0.1/tcp/1",
		"/ip4/127.1/tcp/1", "/ip4/0x7f000001/tcp/1",
	} {
		if at, err := AddressOf(pubkey, id, []string{addr}); err == nil {
			t.Errorf("%s: %s", addr, at)
		}
	}
}

// A name that was public when it was looked at leads to loopback when it is
// dialled: the peer there is not reached, and would have been.
func TestRebindingIsNoticed(t *testing.T) {
	there := serveMemoryRelay(t, newMemoryRelay(), timing{})
	dns, strict := dnstest.StartDNS(t), strictHost(t)
	trusting, err := Start(Options{AllowPrivate: true})
	if err != nil {
		t.Fatal(err)
	}
	defer trusting.Close()
	for _, addr := range there.Addrs() {
		dns.Set("relay.example.com", []netip.Addr{netip.MustParseAddr("127.0.0.1")})
		before, id, _ := strings.Cut(addr, "/p2p/")
		named := strings.Replace(before, "/ip4/127.0.0.1/", "/dns/relay.example.com/", 1)
		if err := openAt(t, strict, named, id); !gated(err) || dns.Asked("relay.example.com") == 0 {
			t.Errorf("%s: %v, resolved %d times", named, err, dns.Asked("relay.example.com"))
		}
		if err := openAt(t, trusting, named, id); err != nil {
			t.Errorf("%s, private allowed: %v", named, err)
		}
	}
}
