package homerelay

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
)

func testParty(address string) party { return party{address: netip.MustParsePrefix(address)} }

// A party that floods waits behind itself, however much it has queued.
func TestGateTakesTurnsByParty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(1)
		flood, other, pipeline := testParty("192.0.2.1/32"), testParty("192.0.2.2/32"), party{own: true}
		if !g.enter(t.Context(), flood, 1, 100) {
			t.Fatal("an empty gate is closed")
		}
		served := make(chan string, 200)
		queue := func(p party, name string) {
			go func() {
				if g.enter(t.Context(), p, 1, 100) {
					served <- name
					g.leave(1)
				}
			}()
			synctest.Wait()
		}
		for range 50 {
			queue(flood, "flood")
		}
		for range 3 {
			queue(other, "other")
			queue(pipeline, "pipeline")
		}
		g.leave(1)
		synctest.Wait()
		first := map[string]int{}
		for range 9 {
			first[<-served]++
		}
		if first["other"] != 3 || first["pipeline"] != 3 {
			t.Errorf("served first: %v", first)
		}
	})
}

// Who gives up leaves the gate as if never come.
func TestGateForgetsWhoGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, p := newGate(2), testParty("192.0.2.1/32")
		g.enter(t.Context(), p, 2, 1)
		ctx, cancel := context.WithCancel(t.Context())
		refused := make(chan bool, 2)
		for range 2 {
			go func() { refused <- g.enter(ctx, p, 5, 1) }() // as wide as the gate
		}
		synctest.Wait()
		cancel()
		for range 2 {
			if <-refused {
				t.Error("let through without room")
			}
		}
		g.leave(2)
		if !g.enter(t.Context(), p, 2, 1) {
			t.Error("the gate stays closed")
		}
		g.leave(2)
		if g.free != 2 || len(g.waiting) != 0 || len(g.finished) != 0 {
			t.Errorf("left: %d free, %d waiting, %d finished", g.free, len(g.waiting), len(g.finished))
		}
	})
}

// Little work of one party comes before much of many others that came first.
func TestGateLittleWorkFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(1)
		served := make(chan string, 200)
		queue := func(address, name string, cost int) {
			go func() {
				g.enter(t.Context(), testParty(address), 1, cost)
				served <- name
				g.leave(1)
			}()
			synctest.Wait()
		}
		busy := testParty("192.0.2.255/32")
		g.enter(t.Context(), busy, 1, 1)
		for i := range 100 {
			queue(fmt.Sprintf("192.0.2.%d/32", i), "much", 1000)
		}
		for range 3 {
			queue("198.51.100.1/32", "little", 10)
		}
		g.leave(1)
		synctest.Wait()
		for range 3 {
			if got := <-served; got != "little" {
				t.Errorf("%s came first", got)
			}
		}
	})
}

// Much work is not put off for ever by new parties with little.
func TestGateStarvesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(1)
		g.enter(t.Context(), testParty("192.0.2.255/32"), 1, 1)
		served := make(chan string, 1)
		enter := func(address, name string, cost int) {
			go func() { g.enter(t.Context(), testParty(address), 1, cost); served <- name }()
			synctest.Wait()
		}
		enter("192.0.2.1/32", "much", 1000)
		for i := range 1000 { // one that has just come is there all the time
			enter(fmt.Sprintf("10.0.%d.%d/32", i/256, i%256), "little", 10)
			g.leave(1)
			if <-served == "much" {
				return
			}
		}
		t.Error("much work was never done")
	})
}
