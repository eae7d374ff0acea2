package nostr_test

import (
	"net/netip"
	"testing"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

func TestPublicAddr(t *testing.T) {
	for addr, want := range map[string]bool{
		"1.1.1.1": true, "2606:4700::1111": true, "::ffff:1.1.1.1": true, "64:ff9b::1.1.1.1": true, "203.0.114.1": true, "100.128.0.1": true,
		"::ffff:10.0.0.1": false, "64:ff9b::10.0.0.1": false, "64:ff9b::169.254.169.254": false, "64:ff9b::224.0.0.1": false,
		"64:ff9b:1::1.1.1.1": false, "2002:101:101::": false, "2001:0:101:101::": false, // whatever is embedded
		"0.0.0.0": false, "0.1.2.3": false, "10.0.0.1": false, "100.64.0.1": false, "100.127.255.255": false, "127.0.0.1": false,
		"127.255.255.254": false,
		"169.254.169.254": false, "172.16.0.1": false, "172.31.255.255": false, "192.0.0.192": false, "192.0.2.1": false, "192.88.99.1": false,
		"192.168.0.1": false, "198.18.0.1": false, "198.19.255.255": false, "198.51.100.1": false, "203.0.113.1": false,
		"224.0.0.1": false, "239.255.255.250": false, "240.0.0.1": false, "255.255.255.255": false,
		"::": false, "::1": false, "::7f00:1": false, "::ffff:0:7f00:1": false, "100::1": false, "3fff::1": false, "5f00::1": false,
		"4000::1": false,
		"ff02::1": false, "ff0e::1": false, "fe80::1": false, "fe80::1%eth0": false, "2606:4700::1111%eth0": false, "fec0::1": false,
		"fc00::1": false, "fd00:ec2::254": false, "2001:2::1": false, "2001:10::1": false, "2001:db8::1": false,
	} {
		if got := nostr.PublicAddr(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: public is %t", addr, got)
		}
	}
	if nostr.PublicAddr(netip.Addr{}) {
		t.Error("no address is a public one")
	}
}

func TestPublicPort(t *testing.T) {
	for port, want := range map[uint16]bool{
		80: true, 443: true, 444: true, 7777: true, 65535: true, 0: false, 22: false, 25: false, 53: false, 6667: false,
		10080: false,
	} {
		if got := nostr.PublicPort(port); got != want {
			t.Errorf("%d: public is %t", port, got)
		}
	}
}
