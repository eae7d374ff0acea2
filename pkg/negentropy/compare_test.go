package negentropy

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Lists are compared as sets, whatever their order and repetitions.
func TestDifference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOfN(rapid.IntRange(0, 80), 0, 100)
		a, b := list.Draw(t, "a"), list.Draw(t, "b")
		if rapid.Bool().Draw(t, "sorted") {
			slices.Sort(a)
			slices.Sort(b)
		}
		pack := func(list []int) (ids []byte) {
			for _, n := range list {
				ids = append(ids, append(make([]byte, idSize-1), byte(n))...)
			}
			return ids
		}
		collect := func(to *[]int) func(ID) {
			return func(id ID) { *to = append(*to, int(id[idSize-1])) }
		}
		want := func(list, other []int) (only []int) {
			for _, n := range list {
				if !slices.Contains(other, n) && !slices.Contains(only, n) {
					only = append(only, n)
				}
			}
			return only
		}
		var d difference
		for range 2 { // the second time with a used table
			var onlyA, onlyB []int
			d.report(pack(a), pack(b), collect(&onlyA), collect(&onlyB))
			if !slices.Equal(onlyA, want(a, b)) || !slices.Equal(onlyB, want(b, a)) {
				t.Fatalf("only a: %v, want %v; only b: %v, want %v", onlyA, want(a, b), onlyB, want(b, a))
			}
		}
	})
}
