package run

import (
	"crypto/ed25519"
	"net/netip"
	"slices"
	"testing"

	"github.com/relaymesh/relaymesh/internal/edge/mainline"
	"github.com/relaymesh/relaymesh/internal/stage/dht"
	"github.com/relaymesh/relaymesh/internal/testkit/dhtnet"
	"github.com/relaymesh/relaymesh/pkg/bep44"
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

func TestAnItemIsPutAndKeptOnRealNodes(t *testing.T) {
	world, err := dhtnet.Start(t.Context(), 16)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = world.Close() })
	node, err := world.Client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = node.Close() })
	n := network{node: node}
	sign := func(seq int64) bep44.Item {
		item := bep44.Item{Seq: seq, Value: []byte("1:a")}
		if err := item.Sign(ed25519.NewKeyFromSeed(make([]byte, 32))); err != nil {
			t.Fatal(err)
		}
		return item
	}
	old := sign(1)
	var p dht.Placement
	for _, how := range []dht.How{dht.Fresh, dht.Half, dht.Look, dht.Renew} {
		before := p
		if p, err = n.Put(t.Context(), old, p.Nodes, p.Held, how); err != nil {
			t.Fatal(err)
		}
		if p.Holders < renewedK || p.Held == 0 || len(p.Nodes) < 26*p.Held || len(p.Nodes) > 26*nodesKept || p.Newer != nil || p.Equivocal {
			t.Errorf("%d: %+v", how, p)
		}
		if p.Kept > before.Held || p.Forgot != 0 || how == dht.Renew && p.Kept == 0 {
			t.Errorf("%d: of %d holders %d kept it and %d forgot it", how, before.Held, p.Kept, p.Forgot)
		}
		if how == dht.Half && p.Kept > keptK-renewedK {
			t.Errorf("%d nodes kept it, the renewed ones among them", p.Kept)
		}
	}
	// The nodes that have it may have it from somebody who stops, so that
	// their time must begin anew.
	if again, err := n.put(t.Context(), old, nil, dht.Fresh); err != nil || again.Puts < keptK || again.Puts <= again.Stored {
		t.Errorf("a first put sends the item to %d nodes, of which %d lacked it, %v", again.Puts, again.Stored, err)
	}
	if _, err := n.Put(t.Context(), sign(2), nil, 0, dht.Fresh); err != nil {
		t.Fatal(err)
	}
	for _, how := range []dht.How{dht.Fresh, dht.Half, dht.Look, dht.Renew} {
		if p, err = n.Put(t.Context(), old, p.Nodes, p.Held, how); err != nil || p.Newer == nil || p.Newer.Seq != 2 {
			t.Errorf("%d: put over a newer item: %+v, %v", how, p, err)
		}
	}
}
