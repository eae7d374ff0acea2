package negentropy

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// plain is the store that is obviously right: a sorted slice, and sums by adding.
type plain []Item

func newPlain(items []Item) plain {
	items = slices.Clone(items)
	items = slices.DeleteFunc(items, func(it Item) bool { return it.Timestamp == infinity })
	slices.SortFunc(items, Item.Compare)
	return slices.Compact(items)
}

func (p plain) Len() int               { return len(p) }
func (p plain) At(i int) Item          { return p[i] }
func (p plain) Timestamp(i int) uint64 { return p[i].Timestamp }

func (p plain) Search(from int, key Item) int {
	for ; from < len(p) && p[from].Compare(key) < 0; from++ {
	}
	return from
}

func (p plain) Sum(lo, hi int) (s Sum) {
	for i := lo; i < hi; i++ {
		s.addID(&p[i].ID)
	}
	return s
}

func (p plain) AppendIDs(dst []byte, lo, hi int) []byte {
	for _, it := range p[lo:hi] {
		dst = append(dst, it.ID[:]...)
	}
	return dst
}

// fingerprintOf returns the fingerprint of the ranks lo <= i < hi of a store.
func fingerprintOf(s Store, lo, hi int) Fingerprint {
	h, total := newHasher(), s.Sum(lo, hi)
	return h.fingerprint(&total, hi-lo)
}

// checkStore compares a store with the plain one at drawn places.
func checkStore(t *rapid.T, got Store, want plain) {
	t.Helper()
	if got.Len() != want.Len() {
		t.Fatalf("%d items, want %d", got.Len(), want.Len())
	}
	for range 10 {
		lo := rapid.IntRange(0, len(want)).Draw(t, "lo")
		hi := rapid.IntRange(lo, len(want)).Draw(t, "hi")
		if fingerprintOf(got, lo, hi) != fingerprintOf(want, lo, hi) {
			t.Fatalf("fingerprint of [%d, %d) of %d is wrong", lo, hi, len(want))
		}
		if g, w := got.AppendIDs([]byte{7}, lo, hi), want.AppendIDs([]byte{7}, lo, hi); !slices.Equal(g, w) {
			t.Fatalf("ids of [%d, %d) of %d are wrong", lo, hi, len(want))
		}
		key := Item{Timestamp: rapid.Uint64().Draw(t, "key")}
		if hi < len(want) {
			if got.At(hi) != want[hi] || got.Timestamp(hi) != want[hi].Timestamp {
				t.Fatalf("item %d is %v, want %v", hi, got.At(hi), want[hi])
			}
			if key = want[hi]; rapid.Bool().Draw(t, "below") {
				clear(key.ID[rapid.IntRange(0, 32).Draw(t, "prefix"):])
			}
		}
		if g, w := got.Search(lo, key), want.Search(lo, key); g != w {
			t.Fatalf("search for %v from %d is %d, want %d", key, lo, g, w)
		}
	}
}

func TestStores(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		items, _ := drawSets(t, 5000)
		want := newPlain(items)
		checkStore(t, NewVector(slices.Clone(items)), want)
		checkStore(t, NewTree(slices.Clone(items)).Snapshot(), want)
		since, until := rapid.Uint64().Draw(t, "since"), rapid.Uint64().Draw(t, "until")
		if len(want) > 0 && rapid.Bool().Draw(t, "inside") {
			since = rapid.SampledFrom(want).Draw(t, "first").Timestamp
			until = rapid.SampledFrom(want).Draw(t, "last").Timestamp
		}
		part := slices.DeleteFunc(slices.Clone(want), func(it Item) bool {
			return it.Timestamp < since || it.Timestamp > until
		})
		checkStore(t, Range(NewVector(slices.Clone(items)), since, until), part)
		checkStore(t, Range(NewTree(slices.Clone(items)).Snapshot(), since, until), part)
	})
}

// A tree that grows and shrinks equals the set it stands for, and a snapshot does
// not notice.
func TestTreeChanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		start, more := drawSets(t, 3000)
		tree, model := NewTree(slices.Clone(start)), newPlain(start)
		for range rapid.IntRange(1, 4).Draw(t, "phases") {
			before, was := tree.Snapshot(), slices.Clone(model)
			rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
			share := rapid.SampledFrom([]float64{0.01, 0.5, 1}).Draw(t, "share")
			drop := rapid.Bool().Draw(t, "delete")
			for _, it := range append(slices.Clone(start), more...) {
				if rng.Float64() > share {
					continue
				}
				i, there := slices.BinarySearchFunc(model, it, Item.Compare)
				if drop {
					if tree.Delete(it) != there {
						t.Fatalf("delete of an item returned %v", !there)
					}
					if there {
						model = slices.Delete(model, i, i+1)
					}
				} else {
					if tree.Insert(it) == there {
						t.Fatalf("insert of an item returned %v", there)
					}
					if !there {
						model = slices.Insert(model, i, it)
					}
				}
			}
			checkStore(t, tree.Snapshot(), model)
			checkStore(t, before, was)
		}
	})
}

func TestReservedTimestamp(t *testing.T) {
	reserved := Item{Timestamp: math.MaxUint64}
	if NewVector([]Item{reserved}).Len() != 0 || NewTree([]Item{reserved}).Insert(reserved) {
		t.Error("a store holds the reserved timestamp")
	}
}

// Sessions read snapshots and a shared vector while a writer goes on.
func TestSharedStores(t *testing.T) {
	items := randomItems(20_000, 1)
	tree, vector := NewTree(slices.Clone(items)), NewVector(slices.Clone(items[5000:]))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 3 {
				snapshot := tree.Snapshot()
				res := reconcile(t, snapshot, vector, MinFrameLimit, MinFrameLimit)
				if got, want := len(res.have)-len(res.need), snapshot.Len()-vector.Len(); got != want {
					t.Errorf("%d more, want %d", got, want)
				}
			}
		})
	}
	for _, it := range items[:10_000] {
		tree.Delete(it)
	}
	wg.Wait()
	if tree.Len() != 10_000 {
		t.Errorf("%d items are left, want 10000", tree.Len())
	}
}
