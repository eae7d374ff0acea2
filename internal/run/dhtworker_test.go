package run

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/relaymesh/relaymesh/internal/edge/mainline"
)

func TestPlacementTellsWhoKeptTheItemAndWhoForgotIt(t *testing.T) {
	nodes := make([]mainline.Contact, 14)
	for i := range nodes {
		nodes[i] = mainline.Contact{ID: [20]byte{byte(i)}, Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 6881)}
	}
	pick := func(list ...int) (out []mainline.Contact) {
		for _, i := range list {
			out = append(out, nodes[i])
		}
		return out
	}
	// Of those that held it, 1, 2 and 5 still do, 3 and 4 are there without it
	// (4 got it again), 6 has moved away from the eight nearest, 13 has left.
	p := placement(mainline.PutResult{
		Closest: pick(0, 1, 2, 3, 4, 5, 7, 8, 9, 6, 10, 11), Holders: pick(1, 2, 5, 4), Stored: 1,
	}, pick(1, 2, 3, 4, 5, 6, 13))
	if p.Holders != 4 || p.Held != 4 || p.Kept != 3 || p.Forgot != 2 {
		t.Errorf("%+v", p)
	}
	got, err := mainline.ParseCompact(p.Nodes)
	if err != nil || !slices.Equal(got, pick(1, 2, 4, 5, 0, 3, 7, 8, 9, 6, 10, 11)) {
		t.Errorf("nodes %v, %v", got, err)
	}

	all := pick(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13)
	if p := placement(mainline.PutResult{Closest: all, Holders: all, Stored: 14}, nil); len(p.Nodes) != 26*12 || p.Held != 12 || p.Holders != 14 {
		t.Errorf("%d bytes of nodes, %d of them hold it, %d do", len(p.Nodes), p.Held, p.Holders)
	}
}
