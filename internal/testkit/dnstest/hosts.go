package dnstest

import "net/netip"

// Forbidden are addresses that a stranger's claim must not lead to, with what
// they are.
var Forbidden = map[string]string{
	"0.0.0.0": "this host", "0.1.2.3": "this network", "127.0.0.1": "loopback", "127.255.255.254": "loopback",
	"10.0.0.1": "private", "172.16.0.1": "private", "172.31.255.255": "private", "192.168.0.1": "private",
	"100.64.0.1": "carrier-grade NAT", "100.100.100.200": "metadata of Alibaba Cloud",
	"169.254.169.254": "metadata", "169.254.170.2": "metadata of ECS", "192.0.0.192": "metadata of Oracle Cloud",
	"192.0.2.1": "documentation", "198.51.100.1": "documentation", "203.0.113.1": "documentation",
	"198.18.0.1": "benchmarks", "198.19.255.255": "benchmarks", "192.88.99.1": "6to4 relay",
	"224.0.0.251": "multicast", "239.255.255.250": "multicast", "240.0.0.1": "reserved", "255.255.255.255": "broadcast",

	"::": "this host", "::1": "loopback", "fe80::1": "link-local", "fec0::1": "site-local",
	"fc00::1": "unique local", "fd00:ec2::254": "metadata of EC2", "fd20:ce::254": "metadata of Google Cloud",
	"::ffff:127.0.0.1": "mapped loopback", "::ffff:169.254.169.254": "mapped metadata", "::ffff:10.0.0.1": "mapped private",
	"::127.0.0.1": "compatible loopback", "::ffff:0:127.0.0.1": "translated loopback",
	"64:ff9b::127.0.0.1": "NAT64 of loopback", "64:ff9b::169.254.169.254": "NAT64 of metadata", "64:ff9b:1::10.0.0.1": "local NAT64",
	"2002:7f00:1::": "6to4 of loopback", "2002:a9fe:a9fe::": "6to4 of metadata",
	"2001:0:7f00:1::": "Teredo server on loopback", "2001::f5ff:fffe": "Teredo client 10.0.0.1", "2001:2::1": "benchmarks",
	"2001:10::1":  "ORCHID",
	"2001:db8::1": "documentation", "3fff::1": "documentation", "100::1": "discard", "5f00::1": "segment routing", "4000::1": "not given out",
	"ff02::1": "multicast", "ff0e::1": "multicast",
}

// Zoned is a link-local address with its zone, which only some spellings have.
const Zoned = "fe80::1%lo"

// OddHosts are hosts of a URL that some resolver takes for an address or a
// name inside of the own network.
var OddHosts = []string{
	"127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "017700000001", "127.0.0.0x1", "127.0.0.1.", "127.0.0.1..",
	"0", "169.16689662", "0xa9fea9fe", "0251.0376.0251.0376", "%31%32%37.0.0.1",
	"１２７.0.0.1", "127。0。0。1", "①②⑦.0.0.1", "ⓛocalhost", "rel\u0430y.example.com", "relay\u3002example.com",
	"localhost", "LOCALHOST", "localhost.", "a.localhost", "localhost.localdomain", "relay", "printer.local", "a.local.",
	"metadata.google.internal", "vault.corp", "nas.home.arpa", "router.lan", "abc.onion", "abc.i2p", "kubernetes.default.svc.cluster.local",
	"user@relay.example.com", "user:password@127.0.0.1", "@127.0.0.1", "relay.example.com@127.0.0.1", "127.0.0.1#@relay.example.com",
	"relay.example.com:1@127.0.0.1",
}

// BadPorts are some of the ports of other services.
var BadPorts = []uint16{22, 25, 53, 6000, 6667}

// Addrs returns the forbidden addresses, parsed.
func Addrs() (out []netip.Addr) {
	for text := range Forbidden {
		out = append(out, netip.MustParseAddr(text))
	}
	return out
}
