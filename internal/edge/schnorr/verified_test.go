package schnorr

import (
	"math/big"
	"testing"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// A signature that was found good is known by both ways of verifying, and nothing that
// differs from it in any field is.
func TestOnlyWhatWasFoundGoodIsVerified(t *testing.T) {
	sk := secrets(t, 2)
	one, other := signed(t, sk[0], 101), signed(t, sk[1], 102)
	for i, verify := range []func(...*nostr.Event) []error{
		func(all ...*nostr.Event) []error { return VerifyAll(all) },
		func(all ...*nostr.Event) (errs []error) {
			for _, e := range all {
				errs = append(errs, VerifySignature(e))
			}
			return errs
		},
	} {
		var fresh []*nostr.Event
		for n := range 3 {
			e := signed(t, sk[0], int64(1000*(i+1)+n))
			fresh = append(fresh, &e)
		}
		bad := *fresh[1]
		shiftS(&bad, big.NewInt(1))
		for _, e := range fresh {
			if Verified(e) {
				t.Fatal("nobody has verified it")
			}
		}
		verify(append(fresh, &bad)...)
		for _, e := range fresh {
			if !Verified(e) {
				t.Error("it was found good")
			}
		}
		if Verified(&bad) {
			t.Error("a bad signature is taken for good")
		}
	}
	VerifyAll([]*nostr.Event{&one, &other})
	for field, change := range map[string]func(*nostr.Event){
		"id":  func(e *nostr.Event) { e.ID = other.ID },
		"key": func(e *nostr.Event) { e.PubKey = other.PubKey },
		"sig": func(e *nostr.Event) { e.Sig = other.Sig },
		"hex": func(e *nostr.Event) { e.Sig = "x" + e.Sig[1:] },
	} {
		e := one
		if change(&e); Verified(&e) {
			t.Errorf("another %s is taken for good", field)
		}
	}
}
