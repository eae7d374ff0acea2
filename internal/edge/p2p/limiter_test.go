package p2p

import (
	"strconv"
	"testing"
	"time"
)

func TestLimiterCounts(t *testing.T) {
	l, now := newLimiter(), time.Now()
	for n := range maxServedPeer {
		if why := l.enter("a", "1", now); why != "" {
			t.Fatal(n, why)
		}
	}
	if why := l.enter("a", "1", now); why != busy {
		t.Errorf("one too many of a peer: %q", why)
	}
	for n := maxServedPeer; n < maxServedAddr; n++ {
		if why := l.enter("a", strconv.Itoa(n), now); why != "" {
			t.Fatal(n, why)
		}
	}
	if why := l.enter("a", "x", now); why != busy {
		t.Errorf("one too many of an address: %q", why)
	}
	l.leave("a", "1", false, now)
	if why := l.enter("a", "1", now); why != "" {
		t.Errorf("after one has left: %q", why)
	}
	for n := maxServedAddr; n < maxServed; n++ {
		if why := l.enter(strconv.Itoa(n), strconv.Itoa(-n), now); why != "" {
			t.Fatal(n, why)
		}
	}
	if why := l.enter("b", "x", now); why != busy {
		t.Errorf("one too many altogether: %q", why)
	}
}

// Who misbehaves is not served for a while, and an address only when many of
// its peers do.
func TestLimiterBarsOffenders(t *testing.T) {
	l, now := newLimiter(), time.Now()
	offend := func(addr, id string) {
		if why := l.enter(addr, id, now); why != "" {
			t.Fatal(why)
		}
		l.leave(addr, id, true, now)
	}
	offend("a", "1")
	if l.enter("a", "1", now) == "" {
		t.Error("served again at once")
	}
	for n := 2; n <= offencesAddr; n++ {
		offend("a", strconv.Itoa(n))
	}
	if l.enter("a", "x", now) == "" {
		t.Error("another peer of the address is served")
	}
	if why := l.enter("b", "x", now); why != "" {
		t.Errorf("another address: %q", why)
	}
	if why := l.enter("a", "1", now.Add(barTime+1)); why != "" {
		t.Errorf("not served later: %q", why)
	}
	for n := range 2 * maxOffenders {
		offend("c"+strconv.Itoa(n), "d"+strconv.Itoa(n))
	}
	if why := l.enter("a", "1", now); why != "" {
		t.Errorf("the first offender is among more than %d that are remembered: %q", 2*maxOffenders, why)
	}
}
