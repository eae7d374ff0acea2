package schnorr

import (
	"errors"
	"math/big"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// verifyOne verifies one event of a sender.
func verifyOne(v *Verifier, sender string, e nostr.Event) error {
	return v.Verify([]string{sender}, []*nostr.Event{&e})[0]
}

func TestVerifierTellsWhichAreBad(t *testing.T) {
	var v Verifier
	var senders []string
	var all []*nostr.Event
	for i, sk := range secrets(t, 8) {
		for n := range 50 {
			e := signed(t, sk, int64(n))
			if n == i {
				shiftS(&e, big.NewInt(1))
			}
			// Each of eight has bad ones, but too few for a suspect.
			senders, all = append(senders, strconv.Itoa(n%8)), append(all, &e)
		}
	}
	for range 2 { // the good ones are known the second time
		for i, err := range v.Verify(senders, all) {
			if bad := i%50 == i/50; (err != nil) != bad {
				t.Errorf("author %d, event %d: %v, want bad %v", i/50, i%50, err, bad)
			}
		}
	}
	if errs := v.Verify(nil, nil); len(errs) != 0 {
		t.Errorf("of nothing %v", errs)
	}
}

// Who sends bad signatures is limited, and nobody else is; until they are good
// again for a while.
func TestSuspectsPayAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var v Verifier
		sk, n := secrets(t, 1)[0], int64(0)
		good := func() nostr.Event { // one that nobody has seen
			n++
			return signed(t, sk, n)
		}
		honest := func() {
			if err := verifyOne(&v, "honest", good()); err != nil {
				t.Fatal(err)
			}
		}
		honest()
		for i := range suspectAfter {
			bad := good()
			shiftS(&bad, big.NewInt(1))
			if err := verifyOne(&v, "bad", bad); err == nil {
				t.Fatalf("bad signature %d was accepted", i)
			}
		}
		looked := 0
		for range 2 * suspectRate {
			mixed, other := good(), good() // those of a suspect do not harm others
			errs := v.Verify([]string{"bad", "honest"}, []*nostr.Event{&mixed, &other})
			if errs[1] != nil {
				t.Fatal(errs[1])
			}
			if late := (*SuspectError)(nil); !errors.As(errs[0], &late) {
				if looked++; errs[0] != nil {
					t.Fatal(errs[0])
				}
			} else if late.RetryAfter() <= 0 {
				t.Fatal("no other try")
			}
		}
		honest()
		if looked != suspectRate {
			t.Errorf("%d events of a suspect were looked at in no time, want %d", looked, suspectRate)
		}
		for range suspectShare * suspectAfter {
			time.Sleep(time.Second / suspectRate)
			if err := verifyOne(&v, "bad", good()); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 * suspectRate {
			if err := verifyOne(&v, "bad", good()); err != nil {
				t.Fatalf("who has been good for a while is still limited: %v", err)
			}
		}
	})
}

func TestVerifierForgetsSenders(t *testing.T) {
	var v Verifier
	v.remember("first", nil)
	for i := range 20_000 {
		v.remember(strconv.Itoa(i), nil)
	}
	if _, known := v.senders.Get("first"); known {
		t.Error("more than 20,000 senders are remembered")
	}
}
