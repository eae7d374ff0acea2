package mainline

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"testing"
)

// The vectors of BEP 42: address, last byte, and the id's first three bytes, of which 21 bits count.
func TestIDsFitTheirAddresses(t *testing.T) {
	t.Parallel()
	for _, v := range []struct {
		ip   string
		rand byte
		want uint32
	}{
		{"124.31.75.21", 1, 0x5fbfbf},
		{"21.75.31.124", 86, 0x5a3ce9},
		{"65.23.51.170", 22, 0xa5d432},
		{"84.124.73.14", 65, 0x1b0321},
		{"43.213.53.83", 90, 0xe56f6c},
	} {
		before := [20]byte{0: 1, 1: 2, 2: 3, 3: 4, 19: v.rand}
		id := fitID(before, netip.MustParseAddr(v.ip))
		got := uint32(id[0])<<16 | uint32(id[1])<<8 | uint32(id[2])
		if got>>3 != v.want>>3 || got&7 != 3 || id[3] != 4 || id[19] != v.rand {
			t.Errorf("%s: got %x, want %06x", v.ip, id, v.want)
		}
	}
}

func TestTheNextIDFitsTheAddressThatMostNodesSee(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "nodes.json")
	config := Config{Addr: "127.0.0.1:0", AllowPrivate: true, ReadOnly: true, NodesFile: path}
	n, err := Start(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	say := func(times int, ip string) {
		addr := netip.MustParseAddr(ip).As4()
		for i := range times {
			n.guard.external.add(fmt.Appendf(addr[:], "%02d", i)) // behind some NATs the port is another one each time
		}
	}
	if say(maxExternalAddrs, "192.168.1.2"); n.nextID() != n.id {
		t.Error("fits a private address")
	}
	if say(maxExternalAddrs/2-1, "124.31.75.21"); n.nextID() != n.id {
		t.Error("believes a minority")
	}
	say(maxExternalAddrs, "124.31.75.21")
	want := fitID(n.id, netip.MustParseAddr("124.31.75.21"))
	if n.nextID() != want || n.ID() == want {
		t.Errorf("next id is %x, this one %x", n.nextID(), n.ID())
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Start(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if again.ID() != want || again.nextID() != want {
		t.Errorf("started with %x", again.ID())
	}
}
