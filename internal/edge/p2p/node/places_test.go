package node

import (
	"strconv"
	"testing"

	ma "github.com/multiformats/go-multiaddr"
)

func TestPlacesAreShared(t *testing.T) {
	p := NewPlaces(8, 4)
	evicted := map[string]int{}
	take := func(addr string) (leave func(), ok bool) {
		return p.Take(addr, func() { evicted[addr]++ })
	}
	for n := range 8 {
		if _, ok := take([]string{"a", "b"}[n%2]); !ok {
			t.Fatal(n)
		}
	}
	if _, ok := take("a"); ok {
		t.Error("one address has more than its part")
	}
	var leave []func()
	for n := range 2 {
		l, ok := take("honest")
		if !ok || evicted["a"]+evicted["b"] != n+1 {
			t.Fatalf("%d: %v, evicted %v", n, ok, evicted)
		}
		leave = append(leave, l)
	}
	if _, ok := take("honest"); ok {
		t.Error("who has as many as the others takes one of theirs")
	}
	leave[0]()
	leave[0]()
	if _, ok := take("honest"); !ok || len(evicted) != 2 {
		t.Error("a place that was left is not free")
	}
	for n := range 5 { // until each has one
		if _, ok := take("one of many " + strconv.Itoa(n)); !ok {
			t.Errorf("newcomer %d has none", n)
		}
	}
	if _, ok := take("too many"); ok {
		t.Error("more than all, one each")
	}
}

// A place that cannot be taken back stays.
func TestPlacesThatCannotBeTakenBackStay(t *testing.T) {
	p := NewPlaces(3, 3)
	for range 3 {
		if _, ok := p.Take("a", nil); !ok {
			t.Fatal("not taken")
		}
	}
	if _, ok := p.Take("b", nil); ok {
		t.Error("taken though none was free")
	}
}

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
