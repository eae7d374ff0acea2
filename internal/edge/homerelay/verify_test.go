package homerelay

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// heldGate is a gate of one slot whose batches are shown and wait to be let go on.
func heldGate() (g *gate, batches chan []string, goOn chan struct{}) {
	g, batches, goOn = newGate(1), make(chan []string, 100), make(chan struct{})
	g.verifyAll = func(events []*nostr.Event) []error {
		var names []string
		for _, e := range events {
			names = append(names, e.Content)
		}
		batches <- names
		<-goOn
		return make([]error, len(events))
	}
	return g, batches, goOn
}

// A lone signature waits for nothing; those that come meanwhile are verified
// together, by turns of their parties, and behind other work that came before.
func TestSignaturesGatherInTheOrderOfTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, batches, goOn := heldGate()
		verify := func(ctx context.Context, address, name string) {
			go g.verify(ctx, testParty(address), 100, &nostr.Event{Content: name})
			synctest.Wait()
		}
		verify(t.Context(), "192.0.2.1/32", "lone")
		if got := fmt.Sprint(<-batches); got != "[lone]" {
			t.Fatalf("at once: %s", got)
		}
		leaves, leave := context.WithCancel(t.Context())
		verify(leaves, "192.0.2.3/32", "gone")
		for range 3 * maxBatch {
			verify(t.Context(), "192.0.2.1/32", "flood")
		}
		for range 2 {
			verify(t.Context(), "192.0.2.2/32", "other")
		}
		worked := make(chan bool, 1)
		go func() { worked <- g.enter(t.Context(), testParty("192.0.2.4/32"), 1, 1) }()
		synctest.Wait()
		leave()
		synctest.Wait()
		goOn <- struct{}{}
		synctest.Wait()
		if !<-worked {
			t.Fatal("no turn for other work")
		}
		select {
		case early := <-batches:
			t.Fatalf("%v beside other work in the one slot", early)
		default:
		}
		g.leave(1)
		first := map[string]int{}
		for _, name := range <-batches {
			first[name]++
		}
		if first["other"] != 2 || first["flood"] != maxBatch-2 || first["gone"] != 0 {
			t.Errorf("the next batch has %v", first)
		}
		for range 3 {
			goOn <- struct{}{}
			synctest.Wait()
		}
		goOn <- struct{}{}
		synctest.Wait()
		if g.free != 1 || g.batches != 0 || len(g.signed) != 0 || len(g.queued) != 0 {
			t.Errorf("left: %d free, %d batches, %d signed, %d parties", g.free, g.batches, len(g.signed), len(g.queued))
		}
	})
}

// A second batch begins beside the first once there are enough for a full one.
func TestFullBatchesUseAllSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, batches, goOn := heldGate()
		g.width, g.free = 3, 3
		for range 1 + maxBatch + 1 {
			go g.verify(t.Context(), testParty("192.0.2.1/32"), 100, &nostr.Event{})
			synctest.Wait()
		}
		if got := []int{len(<-batches), len(<-batches), len(batches)}; got[0] != 1 || got[1] != maxBatch || got[2] != 0 {
			t.Errorf("batches of %v", got)
		}
		for range 3 {
			goOn <- struct{}{}
			synctest.Wait()
		}
	})
}

// One bad event among many is refused and spoils no other; those of its sender are
// then verified one by one until as many have been good.
func TestOneBadSignatureInABatch(t *testing.T) {
	r, p := Relay{working: newGate(1)}, testParty("192.0.2.1/32")
	batches := 0
	r.working.verifyAll = func(events []*nostr.Event) []error { batches++; return schnorr.VerifyAll(events) }
	good := recorded()[0]
	bad := *recorded()[1]
	bad.Sig = good.Sig
	var running sync.WaitGroup
	r.working.enter(t.Context(), p, 1, 1) // so that all come together
	for i := range 60 {
		running.Go(func() {
			e := good
			if i == 30 {
				e = &bad
			}
			if err := r.verify(t.Context(), p, e); (err != nil) != (i == 30) {
				t.Errorf("event %d: %v", i, err)
			}
		})
	}
	for waiting := 0; waiting < 60; {
		r.working.mu.Lock()
		waiting = len(r.working.signed)
		r.working.mu.Unlock()
		runtime.Gosched()
	}
	r.working.leave(1)
	running.Wait()
	if batches != 1 {
		t.Errorf("%d batches for what came together", batches)
	}
	r.forgers.Put(p, alone) // as after the last of those that came with it
	for range alone {
		if err := r.verify(t.Context(), p, good); err != nil {
			t.Fatal(err)
		}
	}
	if batches != 1 {
		t.Error("a forger's next events are verified with those of others")
	}
	if err := r.verify(t.Context(), p, good); err != nil || batches != 2 {
		t.Errorf("%v after %d batches: the party is never trusted again", err, batches)
	}
	if r.verify(t.Context(), p, &bad) == nil {
		t.Error("a bad signature is taken for good")
	}
	if left, _ := r.forgers.Get(p); left != alone {
		t.Errorf("%d events of a forger are verified alone", left)
	}
}

// Nobody's turn is waited for with a signature that this process has found good, and
// all else waits.
func TestWhatIsVerifiedIsTakenAtOnce(t *testing.T) {
	r, err := Start(t.Context(), Config{Path: filepath.Join(t.TempDir(), "relay.db"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p, good := testParty("192.0.2.1/32"), recorded()[2]
	take := func(ctx context.Context, e *nostr.Event) bool {
		leave, _ := r.store.turns.pass(ctx, p, insertPages(e))
		ok, _ := r.accept(ctx, p, e, r.store.keepsFrom(p), leave)
		leave()
		return ok
	}
	r.working.enter(t.Context(), p, r.working.width, 1)
	defer r.working.leave(r.working.width)
	if err := schnorr.VerifySignature(good); err != nil {
		t.Fatal(err)
	}
	if !take(t.Context(), good) {
		t.Error("it was verified before")
	}
	bad := *recorded()[3]
	bad.Sig = good.Sig
	soon, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if take(soon, &bad) {
		t.Error("a signature that is another's is taken unseen")
	}
}
