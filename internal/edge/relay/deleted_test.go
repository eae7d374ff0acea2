package relay

import (
	"slices"
	"strconv"
	"sync"
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
	words := []nostr.Event{
		deletion,
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
	ask := []nostr.Event{deleted, kept, byAnother, oldList, newList, before, after, atName, afterName, elsewhere, deletion, withD, bare}
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
	want := []string{deleted.ID, oldList.ID, before.ID, atName.ID, withD.ID, bare.ID}
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
