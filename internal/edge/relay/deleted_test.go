package relay

import (
	"encoding/json"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// What its author deleted, or all that is older than a request to vanish, and
// nothing else.
func TestDeleted(t *testing.T) {
	l := NewLocal(newPool(t), startHome(t), "wss://relay.example.com", "wss://example.org/nostr")
	sk, other, vanished, fromName := newKey(t), newKey(t), newKey(t), newKey(t)
	deleted, kept := note(t, sk, 1, 100, "deleted"), note(t, sk, 1, 100, "kept")
	byAnother := note(t, sk, 1, 100, "deleted by somebody else")
	oldList, newList := note(t, sk, 30000, 100, "", nostr.Tag{"d", "a b"}), note(t, sk, 30000, 300, "", nostr.Tag{"d", "a b"})
	before, after := note(t, vanished, 1, 100, "before"), note(t, vanished, 1, 300, "after")
	atName, afterName := note(t, fromName, 1, 200, "before"), note(t, fromName, 1, 201, "after")
	elsewhere := note(t, other, 1, 100, "asked to vanish from another relay")
	address := "30000:" + sk.PublicKey() + ":a b"
	// A d means nothing in a list of these kinds, and stands in addresses all the same.
	withD, bare := note(t, sk, 10000, 100, "", nostr.Tag{"d", "x"}), note(t, sk, 10001, 100, "", nostr.Tag{"d", "x"})
	deletion := note(t, sk, 5, 200, "", nostr.Tag{"e", deleted.ID}, nostr.Tag{"a", address},
		nostr.Tag{"a", "10000:" + sk.PublicKey() + ":x"}, nostr.Tag{"a", "10001:" + sk.PublicKey() + ":"})
	uncoloned := note(t, sk, 10002, 100, "", nostr.Tag{"r", "wss://relay.example.com"})
	words := []nostr.Event{
		deletion,
		note(t, sk, 5, 200, "", nostr.Tag{"a", "10002:" + sk.PublicKey()}),
		note(t, other, 5, 200, "", nostr.Tag{"e", byAnother.ID}),
		note(t, vanished, 62, 200, "", nostr.Tag{"relay", "ALL_RELAYS"}),
		note(t, fromName, 62, 200, "", nostr.Tag{"relay", "wss://another.example.com"}, nostr.Tag{"relay", "WSS://Relay.Example.com:443/"}),
		note(t, other, 62, 200, "", nostr.Tag{"relay", "wss://another.example.com"}, nostr.Tag{"relay", "wss://example.org"}),
		note(t, other, 62, 200, "", nostr.Tag{"e", elsewhere.ID}),
	}
	for _, e := range words {
		if err := reconcile.Write(testContext(t), l, e); err != nil {
			t.Fatal(err)
		}
	}
	var mu sync.Mutex
	var got []string
	var all sync.WaitGroup
	ask := []nostr.Event{
		deleted, kept, byAnother, oldList, newList, before, after, atName, afterName, elsewhere, deletion, withD, bare, uncoloned,
	}
	for i := range 2 * deletionsPerREQ {
		ask = append(ask, note(t, sk, 1, 100, strconv.Itoa(i)))
	}
	for _, e := range ask {
		all.Go(func() {
			gone, err := l.Deleted(testContext(t), &e)
			if err != nil {
				t.Error(err)
			}
			if gone {
				mu.Lock()
				got = append(got, e.ID)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	want := []string{deleted.ID, oldList.ID, before.ID, atName.ID, withD.ID, bare.ID, uncoloned.ID}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("gone are %v, want %v", got, want)
	}
	mine := note(t, newKey(t), 1, 100, "")
	if err := reconcile.Write(testContext(t), l, note(t, newKey(t), 62, 200, "", nostr.Tag{"relay", l.url + "/"})); err != nil {
		t.Fatal(err)
	}
	if gone, err := l.Deleted(testContext(t), &mine); gone || err != nil {
		t.Errorf("another author's: %t, %v", gone, err)
	}
}

// A relay shows the newest events of a filter and no more: however often an author has
// deleted something, or asked to vanish elsewhere, what another has deleted is gone.
func TestDeletionsOfOthersHideNone(t *testing.T) {
	const most = leastShown // of one filter
	mallory, alice := newKey(t), newKey(t)
	bait, deleted := note(t, mallory, 1, 100, "bait"), note(t, alice, 1, 100, "deleted")
	words := []nostr.Event{note(t, alice, 5, 200, "", nostr.Tag{"e", deleted.ID})}
	for i := range int64(2 * most) {
		words = append(words, note(t, mallory, 5, 300+i, "", nostr.Tag{"e", bait.ID}),
			note(t, mallory, 62, 300+i, "", nostr.Tag{"relay", "wss://another.example.com"}))
	}
	slices.Reverse(words) // newest first
	var asked atomic.Int32
	url := startFake(t, func(p *peer) {
		for req := p.expect("REQ"); req != nil; req = p.expect("REQ") {
			asked.Add(1)
			for _, text := range req[1:] {
				var f nostr.Filter
				if err := json.Unmarshal(text, &f); err != nil {
					t.Error(err)
				}
				shown := slices.DeleteFunc(slices.Clone(words), func(e nostr.Event) bool { return !f.Match(&e) })
				for _, e := range shown[:min(len(shown), most)] {
					p.send("EVENT", req[0], e)
				}
			}
			p.send("EOSE", req[0])
		}
	}).url
	l := NewLocal(newPool(t), url)
	ask := []nostr.Event{bait, deleted}
	for i := range deletionsPerREQ - 2 {
		ask = append(ask, note(t, newKey(t), 1, 100, strconv.Itoa(i)))
	}
	var keys []string
	for _, e := range ask {
		keys = append(keys, keyOfDeleted(&e))
	}
	living, err := l.haveUndeleted(testContext(t), keys)
	for i, e := range ask {
		if want := i > 1; living[keyOfDeleted(&e)] != want || err != nil {
			t.Errorf("event %d is not to be gone: %t, want %t (%v)", i, !want, want, err)
		}
	}
	if asked.Load() > 2*7 {
		t.Errorf("the relay is asked %d times about %d events", asked.Load(), len(ask))
	}
}
