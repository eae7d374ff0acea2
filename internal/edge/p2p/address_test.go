package p2p

import (
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/relaymesh/relaymesh/internal/testkit/dnstest"
)

// The secrets 1 and 6 have points with an even and an odd y.
var parities = map[string]string{
	"even": strings.Repeat("0", 63) + "1", "odd": strings.Repeat("0", 63) + "6",
}

// hornetsKey returns a secret's peer id and x-only public key.
func hornetsKey(t *testing.T, secret string) (id, pubkey string, key crypto.PrivKey) {
	t.Helper()
	key, err := identity(secret)
	if err != nil {
		t.Fatal(err)
	}
	who, err := peer.IDFromPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := key.GetPublic().Raw()
	if err != nil {
		t.Fatal(err)
	}
	return who.String(), hex.EncodeToString(raw[1:]), key
}

func TestAddressOfBothParities(t *testing.T) {
	addrs := []string{"/ip4/192.0.2.1/udp/9001/quic-v1/webtransport", "junk", "/ip4/192.0.2.1/udp/9001/quic-v1"}
	for name, secret := range parities {
		id, pubkey, _ := hornetsKey(t, secret)
		at, err := AddressOf(pubkey, id, addrs)
		if want := addrs[2] + "/p2p/" + id; err != nil || at.String() != want {
			t.Errorf("%s: %v, %v, want %s", name, at, err, want)
		}
	}
}

func TestAddressOfRefuses(t *testing.T) {
	id, pubkey, _ := hornetsKey(t, parities["even"])
	other, _, _ := hornetsKey(t, parities["odd"])
	good := []string{"/dns4/relay.example/tcp/9001"}
	for name, c := range map[string]struct {
		id, pubkey string
		addrs      []string
		want       string
	}{
		"another key":     {other, pubkey, good, "not of the key"},
		"raw bytes as id": {string([]byte{0, 8, 1, 18}), pubkey, good, "libp2p_id"},
		"no key":          {id, "", good, "pubkey"},
		"off the curve":   {id, strings.Repeat("f", 64), good, "pubkey"},
		"no address":      {id, pubkey, nil, "libp2p_addrs"},
		"another transport": {
			id, pubkey,
			[]string{"/ip4/192.0.2.1/tcp/80/ws", "/dnsaddr/relay.example", "/unix/socket", "/ip4/192.0.2.1/udp/1"},
			"libp2p_addrs",
		},
		"of someone else": {id, pubkey, []string{good[0] + "/p2p/" + other}, "libp2p_addrs"},
	} {
		if at, err := AddressOf(c.pubkey, c.id, c.addrs); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, %v", name, at, err)
		}
	}
}

func TestParseAddressRefuses(t *testing.T) {
	id, _, _ := hornetsKey(t, parities["even"])
	for _, text := range []string{"", "/ip4/192.0.2.1/tcp/1", "/p2p/" + id, "/ip4/192.0.2.1/udp/1/p2p/" + id, "wss://relay.example"} {
		if at, err := ParseAddress(text); err == nil {
			t.Errorf("%s: %v", text, at)
		}
	}
}

// A relay says where it is at its own host only, whatever it is called there.
func TestLocateKeepsTheAddressesOfTheHost(t *testing.T) {
	id, pubkey, _ := hornetsKey(t, parities["odd"])
	dns := dnstest.StartDNS(t)
	dns.Set("relay.example.com", []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")})
	dns.Set("victim.example.com", []netip.Addr{netip.MustParseAddr("192.0.2.1")})
	for addr, want := range map[string]string{
		"/ip4/192.0.2.1/tcp/9001":                "/ip4/192.0.2.1/tcp/9001",
		"/ip4/192.0.2.1/udp/9001/quic-v1":        "/ip4/192.0.2.1/udp/9001/quic-v1",
		"/ip6/::ffff:192.0.2.1/tcp/9001":         "/ip6/::ffff:192.0.2.1/tcp/9001",
		"/ip6/2001:db8::1/tcp/9001":              "/ip6/2001:db8::1/tcp/9001",
		"/dns4/relay.example.com/tcp/9001":       "/ip4/192.0.2.1/tcp/9001",
		"/dns6/Relay.Example.com./tcp/9001":      "/ip6/2001:db8::1/tcp/9001",
		"/ip4/192.0.2.2/tcp/9001":                "",
		"/ip6/2001:db8::2/udp/9001/quic-v1":      "",
		"/dns4/victim.example.com/tcp/9001":      "",
		"/dns/x.relay.example.com/tcp/9001":      "",
		"/dnsaddr/relay.example.com":             "",
		"/dns4/relay.example.com/tcp/9001/ws":    "",
		"/ip6zone/eth0/ip6/2001:db8::1/tcp/9001": "",
	} {
		at, err := Locate(t.Context(), "wss://relay.example.com/path", pubkey, id, slices.Repeat([]string{"/ip4/192.0.2.9/tcp/1", addr}, 20))
		if want == "" {
			if err == nil {
				t.Errorf("%s: %s", addr, at)
			}
		} else if err != nil || at.String() != want+"/p2p/"+id || len(at.info.Addrs) > maxAddrs {
			t.Errorf("%s: %v, %v", addr, at, err)
		}
	}
	for _, relay := range []string{"wss://unknown.example.com", "wss://", "::", "wss://192.0.2.3"} {
		if at, err := Locate(t.Context(), relay, pubkey, id, []string{"/ip4/192.0.2.1/tcp/1"}); err == nil {
			t.Errorf("%s: %v", relay, at)
		}
	}
}
