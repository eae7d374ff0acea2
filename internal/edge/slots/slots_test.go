package slots

import (
	"strconv"
	"testing"
)

func TestSlotsAreShared(t *testing.T) {
	p := New(8, 4)
	evicted := map[string]int{}
	take := func(addr string) (leave func(), ok bool) {
		return p.Take(addr, func() { evicted[addr]++ })
	}
	for n := range 8 {
		if _, ok := take([]string{"a", "b"}[n%2]); !ok {
			t.Fatal(n)
		}
	}
	if _, ok := take("a"); ok {
		t.Error("one address has more than its part")
	}
	var leave []func()
	for n := range 2 {
		l, ok := take("honest")
		if !ok || evicted["a"]+evicted["b"] != n+1 {
			t.Fatalf("%d: %v, evicted %v", n, ok, evicted)
		}
		leave = append(leave, l)
	}
	if _, ok := take("honest"); ok {
		t.Error("who has as many as the others takes one of theirs")
	}
	leave[0]()
	leave[0]()
	if _, ok := take("honest"); !ok || len(evicted) != 2 {
		t.Error("a slot that was left is not free")
	}
	for n := range 5 { // until each has one
		if _, ok := take("one of many " + strconv.Itoa(n)); !ok {
			t.Errorf("newcomer %d has none", n)
		}
	}
	if _, ok := take("too many"); ok {
		t.Error("more than all, one each")
	}
}

// A slot that cannot be taken back stays.
func TestSlotsThatCannotBeTakenBackStay(t *testing.T) {
	p := New(3, 3)
	for range 3 {
		if _, ok := p.Take("a", nil); !ok {
			t.Fatal("not taken")
		}
	}
	if _, ok := p.Take("b", nil); ok {
		t.Error("taken though none was free")
	}
}
