package mainline

import (
	"fmt"
	"sync"
	"testing"

	"github.com/relaymesh/relaymesh/pkg/bep44"
)

// Whatever some nodes claim, a refresh puts the item where it is missing, and adopts only what verifies.
func TestRefreshIsNotStoppedByLiars(t *testing.T) {
	t.Parallel()
	ours := signed(t, 1, 5, "ours")
	older, newer, foreign := signed(t, 1, 4, "older"), signed(t, 1, 6, "newer"), signed(t, 2, 9, "foreign")
	forged := *newer
	forged.Sig[0] ^= 1
	for what, c := range map[string]struct {
		entries string
		newer   *bep44.Item
	}{
		"forged higher seq":        {itemEntries(&forged), nil},
		"item of another key":      {itemEntries(foreign), nil},
		"higher seq without value": {"3:seqi9e5:token1:t", nil},
		"lower seq without value":  {"3:seqi4e5:token1:t", nil},
		"our seq by its word":      {"3:seqi5e5:token1:t", nil},
		"stale item":               {itemEntries(older), nil},
		"no token":                 {"", nil},
		"empty token":              {"5:token0:", nil},
		"a newer item":             {itemEntries(newer), newer},
	} {
		node := startNode(t, true)
		var mu sync.Mutex
		puts, corrections := 0, 0
		liar := startPeer(t, 1, func(p *peer, q heard) {
			mu.Lock()
			defer mu.Unlock()
			if q.method == "put" {
				corrections++
			}
			p.reply(q, c.entries)
		})
		honest := startPeer(t, 2, func(p *peer, q heard) {
			mu.Lock()
			defer mu.Unlock()
			if q.method == "put" {
				puts++
			}
			if puts > 0 {
				p.reply(q, itemEntries(ours))
			} else {
				p.reply(q, "5:token1:t")
			}
		})
		res, err := node.Refresh(t.Context(), *ours, []Contact{liar.contact, honest.contact})
		mu.Lock()
		sent, corrected := puts, corrections
		mu.Unlock()
		switch {
		case c.newer != nil:
			if err != nil || res.Superseded == nil || !res.Superseded.Equal(c.newer) || sent != 0 {
				t.Errorf("%s: got %+v, %v, %d puts", what, res, err, sent)
			}
		case err != nil || res.Superseded != nil || res.Equivocal || sent != 1 || len(res.Holders) == 0:
			t.Errorf("%s: got %+v, %v, %d puts", what, res, err, sent)
		}
		if behind := what == "stale item" || what == "lower seq without value"; behind && corrected != 1 {
			t.Errorf("%s: the node was put to %d times", what, corrected)
		}
	}
}

// A node that answers under another id each time is one node.
func TestANodeThatChangesItsIDIsAskedOnce(t *testing.T) {
	t.Parallel()
	node := startNode(t, true)
	var mu sync.Mutex
	asked := 0
	changing := startPeer(t, 1, func(p *peer, q heard) {
		mu.Lock()
		defer mu.Unlock()
		asked++
		self := p.contact
		self.ID[19] = byte(asked)
		var others []Contact
		for i := range 8 { // it names itself under other ids
			other := self
			other.ID[18] = byte(i)
			others = append(others, other)
		}
		p.send(q.from,
			fmt.Sprintf("d1:rd2:id20:%s5:nodes%d:%s5:token1:te1:t%d:%s1:y1:re", self.ID[:], len(others)*compactSize, AppendCompact(nil, others),
				len(q.tid), q.tid))
	})
	got, err := node.Get(t.Context(), [20]byte{}, nil, GetOptions{Seeds: []Contact{changing.contact}})
	if err != nil || got.Queried != 1 || len(got.Closest) != 1 {
		t.Errorf("got %+v, %v", got, err)
	}
}
