package p2p

import (
	"strconv"
	"testing"
	"time"
)

func TestLimiterCounts(t *testing.T) {
	l, now := newLimiter(), time.Now()
	var leave func()
	evicted := 0
	enter := func(addr, id string) (why string) {
		left, why := l.enter(addr, id, now, func() { evicted++ })
		if left != nil {
			leave = left
		}
		return why
	}
	for n := range maxServedPeer {
		if why := enter("a", "1"); why != "" {
			t.Fatal(n, why)
		}
	}
	if why := enter("a", "1"); why != busy {
		t.Errorf("one too many of a peer: %q", why)
	}
	for n := maxServedPeer; n < maxServedAddr; n++ {
		if why := enter("a", strconv.Itoa(n)); why != "" {
			t.Fatal(n, why)
		}
	}
	if why := enter("a", "x"); why != busy {
		t.Errorf("one too many of an address: %q", why)
	}
	leave()
	if why := enter("a", "y"); why != "" {
		t.Errorf("after one has left: %q", why)
	}
	for n := maxServedAddr; n < maxServed; n++ {
		if why := enter(strconv.Itoa(n), strconv.Itoa(-n)); why != "" {
			t.Fatal(n, why)
		}
	}
	for n := range maxServedAddr / 2 {
		if why := enter("b", "b"+strconv.Itoa(n)); why != "" || evicted != n+1 {
			t.Errorf("an address with fewer than another: %q, %d evicted", why, evicted)
		}
	}
	if why := enter("b", "x"); why != busy {
		t.Errorf("one too many altogether: %q", why)
	}
}

// Who misbehaves is not served for a while, and an address only when many of
// its peers do.
func TestLimiterBarsOffenders(t *testing.T) {
	l, now := newLimiter(), time.Now()
	offend := func(addr, id string) {
		leave, why := l.enter(addr, id, now, nil)
		if why != "" {
			t.Fatal(why)
		}
		l.offend(addr, id, now)
		leave()
	}
	served := func(addr, id string, now time.Time) bool {
		leave, why := l.enter(addr, id, now, nil)
		if why == "" {
			leave()
		}
		return why == "" && !l.barred(addr, now)
	}
	offend("a", "1")
	if served("a", "1", now) {
		t.Error("served again at once")
	}
	for n := 2; n <= offencesAddr; n++ {
		offend("a", strconv.Itoa(n))
	}
	if served("a", "x", now) || !l.barred("a", now) {
		t.Error("another peer of the address is served")
	}
	if !served("b", "x", now) {
		t.Error("another address is not served")
	}
	if !served("a", "1", now.Add(barTime+1)) {
		t.Error("not served later")
	}
	for n := range 2 * maxOffenders {
		offend("c"+strconv.Itoa(n), "d"+strconv.Itoa(n))
	}
	if !served("a", "1", now) {
		t.Errorf("the first offender is among more than %d that are remembered", 2*maxOffenders)
	}
}
