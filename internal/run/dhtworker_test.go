package run

import (
	"crypto/ed25519"
	"slices"
	"testing"

	"github.com/relaymesh/relaymesh/internal/stage/dht"
	"github.com/relaymesh/relaymesh/internal/testkit/dhtnet"
	"github.com/relaymesh/relaymesh/pkg/bep44"
)

func TestAnItemIsPutAndKeptOnRealNodes(t *testing.T) {
	t.Parallel()
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
	var found dht.Found
	for _, how := range []dht.How{dht.Fresh, dht.Half, dht.Look, dht.Renew} {
		before := slices.Concat(found.Had, found.Got)
		if found, err = n.Put(t.Context(), old, found.Closest, how); err != nil {
			t.Fatal(err)
		}
		holders, renewed := how.Nodes()
		if n := len(found.Had) + len(found.Got); n < 4 || n > holders || found.Newer != nil || found.Equivocal {
			t.Errorf("%d: %+v", how, found)
		}
		for _, n := range found.Closest[:min(holders, len(found.Closest))] {
			if slices.Contains(before, n) && !slices.Contains(found.Had, n) {
				t.Errorf("%d: a node is said to have forgotten the item", how)
			}
		}
		if renewed > 0 && len(found.Had) == 0 && how != dht.Fresh {
			t.Errorf("%d: of %d holders none is said to have had it", how, len(before))
		}
	}
	// The nodes that have it may have it from somebody who stops, so that
	// their time must begin anew.
	holders, renewed := dht.Fresh.Nodes()
	if again, err := n.put(t.Context(), old, nil, holders, renewed); err != nil || again.Puts < 8 || again.Puts <= again.Stored {
		t.Errorf("a first put sends the item to %d nodes, of which %d lacked it, %v", again.Puts, again.Stored, err)
	}
	if _, err := n.Put(t.Context(), sign(2), nil, dht.Fresh); err != nil {
		t.Fatal(err)
	}
	for _, how := range []dht.How{dht.Fresh, dht.Half, dht.Look, dht.Renew} {
		if found, err = n.Put(t.Context(), old, found.Closest, how); err != nil || found.Newer == nil || found.Newer.Seq != 2 {
			t.Errorf("%d: put over a newer item: %+v, %v", how, found, err)
		}
	}
}
