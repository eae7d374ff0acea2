package recent

import "testing"

func TestTheEntriesUsedLastAreHeld(t *testing.T) {
	m := Map[int, int]{Size: 10}
	for i := range 35 {
		m.Put(i, i)
		m.Get(3) // in use
	}
	if n := len(m.young) + len(m.old); n > 20 {
		t.Errorf("%d are held", n)
	}
	for _, i := range []int{3, 34, 26} {
		if v, ok := m.Get(i); !ok || v != i {
			t.Errorf("%d is forgotten", i)
		}
	}
	if _, ok := m.Get(5); ok {
		t.Error("5 is not forgotten")
	}
}

func TestTheSameKeyTakesNoMoreMemory(t *testing.T) {
	m := Map[int, int]{Size: 2}
	m.Put(1, 1)
	for i := range 100 {
		m.Put(2, i)
	}
	if v, ok := m.Get(1); !ok || v != 1 {
		t.Error("an entry was dropped for a key that was there")
	}
}

func TestLoadOrStoreKeepsTheFirstValue(t *testing.T) {
	var m Map[string, int]
	for i, loaded := range []bool{false, true} {
		if v, l := m.LoadOrStore("a", i); v != 0 || l != loaded {
			t.Errorf("call %d: %d, loaded %t", i, v, l)
		}
	}
	m.Age()
	if v, loaded := m.LoadOrStore("a", 2); v != 0 || !loaded {
		t.Errorf("in the old generation: %d, loaded %t", v, loaded)
	}
	if m.Delete("a"); len(m.young)+len(m.old) != 0 {
		t.Errorf("it is still there: %v, %v", m.young, m.old)
	}
}

func TestTwoAgesForgetAnEntryThatIsNotUsed(t *testing.T) {
	var m Map[string, int]
	m.Put("a", 1)
	m.Put("used", 1)
	m.Age()
	m.Get("used")
	m.Age()
	if _, ok := m.Get("a"); ok {
		t.Error("not forgotten")
	}
	if _, ok := m.Get("used"); !ok {
		t.Error("forgotten although it is in use")
	}
}
