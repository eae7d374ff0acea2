package schnorr

import (
	"errors"
	"math/big"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

func TestVerifierAnswersEveryCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var v Verifier
		for i, sk := range secrets(t, 8) {
			for n := range 50 {
				e := signed(t, sk, int64(n))
				bad := n == i
				if bad {
					shiftS(&e, big.NewInt(1))
				}
				go func() {
					if err := v.Verify("relay", &e); (err != nil) != bad {
						t.Errorf("author %d, event %d: %v, want bad %v", i, n, err, bad)
					}
				}()
			}
		}
		time.Sleep(2 * gather)
		synctest.Wait()
		if v.workers != 0 || len(v.waiting) != 0 {
			t.Errorf("%d workers and %d requests are left", v.workers, len(v.waiting))
		}
	})
}

func TestAnEventWaitsForOthersAMomentAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var v Verifier
		e := signed(t, secrets(t, 1)[0], 1)
		for _, tc := range []struct{ pause, want time.Duration }{
			{0, 0}, {time.Second, 0}, {gather / 2, gather}, {0, 0}, {gather - 1, gather},
		} {
			time.Sleep(tc.pause)
			began := time.Now()
			if err := v.Verify("relay", &e); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took != tc.want {
				t.Errorf("after a pause of %s it took %s, want %s", tc.pause, took, tc.want)
			}
		}
	})
}

// Who sends bad signatures is limited, and nobody else is; until they are good
// again for a while.
func TestSuspectsPayAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var v Verifier
		sk := secrets(t, 1)[0]
		good := signed(t, sk, 1)
		bad := good
		shiftS(&bad, big.NewInt(1))
		honest := func() {
			if err := v.Verify("honest", &good); err != nil {
				t.Fatal(err)
			}
		}
		honest()
		for i := range suspectAfter {
			if err := v.Verify("bad", &bad); err == nil {
				t.Fatalf("bad signature %d was accepted", i)
			}
		}
		looked := 0
		for range 10 * suspectRate {
			err := v.Verify("bad", &good)
			if late := (*SuspectError)(nil); !errors.As(err, &late) {
				if looked++; err != nil {
					t.Fatal(err)
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
			if err := v.Verify("bad", &good); err != nil {
				t.Fatal(err)
			}
		}
		for range 10 * suspectRate {
			if err := v.Verify("bad", &good); err != nil {
				t.Fatalf("who has been good for a while is still limited: %v", err)
			}
		}
	})
}

func TestVerifierForgetsSenders(t *testing.T) {
	var v Verifier
	v.remember(&request{sender: "first"})
	for i := range 20_000 {
		v.remember(&request{sender: strconv.Itoa(i)})
	}
	if _, known := v.senders.Get("first"); known {
		t.Error("more than 20,000 senders are remembered")
	}
}
