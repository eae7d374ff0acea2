//go:build linux

package dhtsim

import (
	"bytes"
	"crypto/ed25519"
	"log/slog"
	"slices"
	"testing"

	"github.com/relaymesh/relaymesh/internal/edge/mainline"
	"github.com/relaymesh/relaymesh/pkg/bep44"
)

func TestNearestAgreesWithLookingAtEveryNode(t *testing.T) {
	w := world{size: 5000, churn: []float64{0.3}}
	var all []node
	for s := range w.size {
		all = append(all, w.node(s, w.generation(s)))
	}
	for i := range 200 {
		target := bep44.Target([32]byte{byte(i)}, nil)
		want := closest(slices.Clone(all), target, 8)
		if got := w.nearest(target, 8); !slices.Equal(got, want) {
			t.Fatalf("target %x: got %v, want %v", target, got, want)
		}
	}
}

func TestAddressesBelongToOneStratumEach(t *testing.T) {
	w := world{size: maxSize}
	for s := uint32(0); s < maxSize; s += 977 {
		if got, ok := w.stratum(address(s)); !ok || got != s {
			t.Fatalf("stratum %d sits at %v, where %d answers", s, address(s), got)
		}
	}
	w.size = 1000
	if _, ok := w.stratum(address(1000)); ok {
		t.Error("a node answers where none is")
	}
}

func TestANodeThatLeftHasAnotherIDAndPortAfterwards(t *testing.T) {
	w := world{size: 1000, base: 6881}
	before := w.node(5, w.generation(5))
	w.churn = append(w.churn, 1)
	if after := w.node(5, w.generation(5)); after.id == before.id || after.addr == before.addr {
		t.Errorf("%v became %v", before, after)
	}
}

func TestItemLivesThroughChurnWhenRefreshed(t *testing.T) {
	n, err := Start(t.Context(), 100_000, 26881, 0.25)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	node, err := mainline.Start(t.Context(), mainline.Config{
		Addr: "127.0.0.1:0", Bootstrap: n.Entrances(8), ReadOnly: true, AllowPrivate: true, Rate: -1, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer node.Close()
	it := bep44.Item{Seq: 1, Value: bep44.EncodeString([]byte("x"))}
	if err := it.Sign(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32))); err != nil {
		t.Fatal(err)
	}
	res, err := node.Put(t.Context(), it, mainline.PutOptions{})
	if err != nil || n.Holders(it.Target(), 8) < 6 {
		t.Fatalf("put: %+v, %v, true holders %d", res, err, n.Holders(it.Target(), 8))
	}
	n.Advance(0.35)
	if left := n.Holders(it.Target(), 8); left == 8 || left == 0 {
		t.Errorf("%d of 8 holders after churn", left)
	}
	if res, err = node.Refresh(t.Context(), it, res.Closest); err != nil || n.Holders(it.Target(), 8) < 6 {
		t.Errorf("refresh: %+v, %v, true holders %d", res, err, n.Holders(it.Target(), 8))
	}
	if s := n.Stats(); s.Bans != 0 || s.Puts == 0 || s.Replies >= s.Packets {
		t.Errorf("stats are %+v", s)
	}
}
