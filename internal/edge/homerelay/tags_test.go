package homerelay

import (
	"testing"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// Of several tags of a name the first counts, here as in the stages, whether it has a value or not.
func TestFirstTagCounts(t *testing.T) {
	for _, first := range []nostr.Tag{{"d"}, {"d", ""}} {
		s := newStore(t)
		without, other := unsigned(30_000, 1000, first, nostr.Tag{"d", "x"}), unsigned(30_000, 1001, nostr.Tag{"d", "x"})
		mustInsert(t, s, without, other)
		if got := idsOf(t, s, nostr.Filter{Kinds: []int{30_000}}); len(got) != 2 {
			t.Errorf("%q, d x is replaced by d x", first)
		}
		mustInsert(t, s, unsigned(30_000, 1002))
		if got := idsOf(t, s, nostr.Filter{Kinds: []int{30_000}}); len(got) != 2 {
			t.Errorf("%q, d x is not replaced by one without d", first)
		}
	}
	for _, first := range []nostr.Tag{{"expiration"}, {"expiration", ""}, {"expiration", "soon"}} {
		if at := expiration(unsigned(1, 1000, first, nostr.Tag{"expiration", "1"})); at != 0 {
			t.Errorf("%q, expiration 1 expires at %d", first, at)
		}
	}
}
