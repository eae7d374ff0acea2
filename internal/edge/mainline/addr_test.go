package mainline

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/testkit/dnstest"
)

func TestOnlyThePublicInternetIsDialled(t *testing.T) {
	t.Parallel()
	for _, addr := range dnstest.Addrs() {
		if at := netip.AddrPortFrom(addr, 6881); dialable(at, false) {
			t.Errorf("%s is dialled", at)
		}
	}
	for addr, want := range map[string]bool{
		"1.2.3.4:6881": true, "203.0.114.1:1024": true,
		"1.2.3.4:53": false, "1.2.3.4:0": false, "1.2.3.4:443": false, "1.2.3.4:1023": false, "1.2.3.4:6667": false,
		"[2a00::1]:6881": false, "[::ffff:1.2.3.4]:6881": false,
	} {
		if got := dialable(netip.MustParseAddrPort(addr), false); got != want {
			t.Errorf("%s: %v", addr, got)
		}
	}
	for addr, want := range map[string]bool{
		"127.0.0.1:53": true, "10.0.0.1:6881": true, "127.0.0.1:0": false, "224.0.0.1:6881": false, "0.0.0.0:6881": false, "[::1]:6881": false,
	} {
		if got := dialable(netip.MustParseAddrPort(addr), true); got != want {
			t.Errorf("private allowed, %s: %v", addr, got)
		}
	}
}

// Whoever names an address that is not public, and however it comes to the node, no packet goes there: as a node that a
// stranger named, as one that was remembered, as a query that is sent, as a packet of the library, as a bootstrap node.
func TestForbiddenAddressesAreNotSentTo(t *testing.T) {
	dns := dnstest.StartDNS(t)
	n, err := Start(t.Context(), Config{
		Addr: "127.0.0.1:0", ReadOnly: true, Rate: -1, PerAddress: -1, Log: slog.New(slog.DiscardHandler),
		Bootstrap: []string{"router.example.com:6881"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	for i, addr := range dnstest.Addrs() {
		dns.Set("router.example.com", []netip.Addr{addr})
		if found := n.routers.addresses(); len(found) != 0 {
			t.Errorf("bootstrap by %v", found)
		}
		for _, port := range []uint16{53, 6667, 6881} {
			at := netip.AddrPortFrom(addr, port)
			if _, err := n.guard.WriteTo([]byte("x"), net.UDPAddrFromAddrPort(at)); !errors.Is(err, errForbidden) {
				t.Errorf("%s: the library may send there: %v", at, err)
			}
			if n.guard.pass([]byte("d1:rd2:id20:aaaaaaaaaaaaaaaaaaaae1:t1:x1:y1:re"), net.UDPAddrFromAddrPort(at)) {
				t.Errorf("%s: the library gets what comes from there", at)
			}
			c := Contact{ID: [20]byte{1, byte(i)}, Addr: at}
			n.outbox.mu.Lock()
			n.outbox.post(findNodeQuery([20]byte{}), c, 0, nil, time.Now())
			n.outbox.mu.Unlock()
			n.outbox.flush()
			n.routing.add(c, time.Now())
			got, err := n.Get(t.Context(), [20]byte{1}, nil, GetOptions{Seeds: []Contact{c}})
			if !errors.Is(err, ErrNoAnswer) || got.Queried != 0 {
				t.Errorf("%s: asked %d, %v", at, got.Queried, err)
			}
		}
	}
	if sent := n.Stats().Sent; sent != 0 || dns.Asked("router.example.com") == 0 {
		t.Errorf("%d packets were sent", sent)
	}
}

// A bootstrap node's name that was public leads to loopback when it is looked up again.
func TestRebindingIsNoticed(t *testing.T) {
	dns := dnstest.StartDNS(t)
	dns.Set("router.example.com", []netip.Addr{netip.MustParseAddr("1.1.1.1")})
	r := &routers{hosts: []string{"router.example.com:6881"}, log: slog.New(slog.DiscardHandler)}
	if found := r.addresses(); len(found) != 1 || found[0] != netip.MustParseAddrPort("1.1.1.1:6881") {
		t.Fatalf("found %v", found)
	}
	r.resolved = time.Time{}
	dns.Set("router.example.com", []netip.Addr{netip.MustParseAddr("127.0.0.1")})
	if found := r.addresses(); len(found) != 1 || found[0] != netip.MustParseAddrPort("1.1.1.1:6881") {
		t.Errorf("found %v", found)
	}
	if r.allowPrivate = true; len(r.addresses()) != 1 || r.found[0] != netip.MustParseAddrPort("127.0.0.1:6881") {
		t.Errorf("private allowed: %v", r.found)
	}
}
