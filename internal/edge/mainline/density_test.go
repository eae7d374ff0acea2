package mainline

import (
	"math/rand/v2"
	"testing"
)

// A put among nodes that are nearer to its target than chance allows says so, once the network is known: as a node
// that has looked up nothing else cannot.
func TestAPutAmongNodesThatSurroundTheTargetSaysSo(t *testing.T) {
	t.Parallel()
	ours, r := signed(t, 1, 5, "ours"), rand.New(rand.NewPCG(5, 6))
	for _, c := range []struct {
		bits, looked int
		want         bool
	}{{40, leastSamples, true}, {30, leastSamples, true}, {23, leastSamples, false}, {40, leastSamples - 2, false}} {
		node := startNode(t, true)
		for range c.looked {
			target := anyTarget(r)
			for range 3 { // again and again counts once
				node.density.note(target, drawn(r, target, 1e7, 12))
			}
		}
		var seeds []Contact
		for i, id := range sharing(r, ours.Target(), c.bits, 8) {
			p := startPeer(t, byte(i), func(p *peer, q heard) {
				self := *p
				self.contact.ID = id
				self.reply(q, itemEntries(ours))
			})
			seeds = append(seeds, Contact{ID: id, Addr: p.contact.Addr})
		}
		for range 2 {
			res, err := node.Put(t.Context(), *ours, PutOptions{Seeds: seeds})
			if err != nil || res.SharedBits >= c.bits != c.want {
				t.Errorf("%+v: %+v, %v", c, res, err)
			}
		}
	}
}
