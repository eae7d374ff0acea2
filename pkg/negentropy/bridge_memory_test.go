package negentropy

import (
	"runtime"
	"slices"
	"testing"
	"weak"
)

// What a bridge holds depends on the size of messages, not on the sets or on how
// much differs.
func TestBridgeMemory(t *testing.T) {
	for _, n := range []int{10_000, 100_000, 400_000} {
		items := randomItems(n+n/10, 1)
		a, b := NewReconciler(NewVector(slices.Clone(items[n/10:])), Options{}), NewReconciler(NewVector(items[:n]), Options{})
		bridge := NewBridge(BridgeOptions{
			A: SideOptions{Accepts: 16_384, Answers: 16_384},
			B: SideOptions{Accepts: 16_384, Answers: 16_384},
		})
		peak := 0
		watch := func(r *Reconciler) responder {
			return func(msg []byte) ([]byte, error) {
				peak = max(peak, bridge.peers[SideA].queue.size+bridge.peers[SideB].queue.size)
				return r.Respond(msg)
			}
		}
		servers := [2]responder{watch(a), watch(b)}
		turn := func(s Side) bool {
			msg, ok := bridge.Next(s)
			if !ok {
				return false
			}
			answer, err := servers[s](msg)
			if err == nil {
				err = bridge.Feed(s, answer)
			}
			if err != nil {
				t.Fatal(err)
			}
			return true
		}
		for !bridge.Done() { // side B is slow: A is asked all there is to ask before B answers once
			for turn(SideA) {
			}
			turn(SideB)
		}
		if limit := 8 * 16_384; peak > limit {
			t.Errorf("%d items: the queues grow to %d bytes, want at most %d", n, peak, limit)
		}
		for s := range bridge.peers {
			p := &bridge.peers[s]
			if got := cap(p.queue.buf); got != queueBytes {
				t.Errorf("%d items: the buffer of side %s has %d bytes, want the %d it was made with", n, Side(s), got, queueBytes)
			}
			if got := max(cap(p.queue.runs), cap(p.asked)); got > queueRuns {
				t.Errorf("%d items: side %s has space for %d runs, want the %d it was made with", n, Side(s), got, queueRuns)
			}
		}
	}
}

// What a queue lets go of to make space is freed, whatever was asked last.
func TestBridgeFreesWhatItReplaces(t *testing.T) {
	for seed := range uint64(2) {
		const n, alone = 30_000, 5000
		items := randomItems(n+alone, seed)
		servers := [2]*Reconciler{
			NewReconciler(NewVector(slices.Clone(items[alone:])), Options{FrameLimit: DefaultMessageLimit}),
			NewReconciler(NewVector(items[:n]), Options{FrameLimit: DefaultMessageLimit}),
		}
		bridge := NewBridge(BridgeOptions{})
		buffers := func() (all [2]weak.Pointer[byte]) {
			for s := range bridge.peers {
				all[s] = weak.Make(&bridge.peers[s].queue.buf[:1][0])
			}
			return all
		}
		replaced := 0
		turn := func(s Side) {
			msg, ok := bridge.Next(s)
			if !ok {
				return
			}
			before := buffers()
			answer, err := servers[s].Respond(msg)
			if err == nil {
				err = bridge.Feed(s, answer)
			}
			if err != nil {
				t.Fatal(err)
			}
			for i, now := range buffers() {
				if before[i] == now {
					continue
				}
				replaced++
				if runtime.GC(); before[i].Value() != nil {
					t.Errorf("seed %d: something holds on to a buffer that side %s has replaced", seed, Side(i))
				}
			}
		}
		for !bridge.Done() {
			turn(SideA)
			turn(SideB)
		}
		if replaced == 0 {
			t.Errorf("seed %d: no buffer was replaced", seed)
		}
	}
}
