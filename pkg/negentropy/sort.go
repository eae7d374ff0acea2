package negentropy

import (
	"bytes"
	"math/bits"
	"slices"
)

const radixBits = 11 // 2^11 counters fit the first-level cache

// radixMin is the size below which comparing is faster than counting.
const radixMin = 1 << 10

// sortItems orders items and drops exact duplicates and reserved timestamps. It
// may reorder items in place, and may return another slice.
func sortItems(items []Item) []Item {
	items = slices.DeleteFunc(items, func(it Item) bool { return it.Timestamp == infinity })
	if !slices.IsSortedFunc(items, Item.Compare) {
		if len(items) < radixMin {
			slices.SortFunc(items, Item.Compare)
		} else {
			items = radixSort(items)
		}
	}
	return slices.Compact(items)
}

// ref stands for an item while it is sorted: moving 16 bytes beats moving 40.
type ref struct {
	key   uint64 // timestamp above the lowest one
	index int
}

// radixSort sorts by timestamp with a pass per 11 bits of the span that the
// timestamps cover (a year of seconds needs three), then the ids of equal
// timestamps by comparison. The items are gathered once, at the end.
func radixSort(items []Item) []Item {
	lowest, highest := items[0].Timestamp, items[0].Timestamp
	for i := range items {
		lowest = min(lowest, items[i].Timestamp)
		highest = max(highest, items[i].Timestamp)
	}
	refs := make([]ref, len(items))
	for i := range items {
		refs[i] = ref{items[i].Timestamp - lowest, i}
	}
	spare := make([]ref, len(items))
	for shift := 0; shift < bits.Len64(highest-lowest); shift += radixBits {
		radixPass(spare, refs, shift)
		refs, spare = spare, refs
	}
	sorted := make([]Item, len(items))
	for i, r := range refs {
		sorted[i] = items[r.index]
	}
	sortTies(sorted)
	return sorted
}

// radixPass distributes src to dst by one digit, stable.
func radixPass(dst, src []ref, shift int) {
	var start [1 << radixBits]int
	for i := range src {
		start[src[i].key>>shift&(1<<radixBits-1)]++
	}
	next := 0
	for digit, n := range start {
		start[digit] = next
		next += n
	}
	for i := range src {
		digit := src[i].key >> shift & (1<<radixBits - 1)
		dst[start[digit]] = src[i]
		start[digit]++
	}
}

// sortTies orders every run of equal timestamps by id.
func sortTies(items []Item) {
	for lo := 0; lo < len(items); {
		hi := lo + 1
		for hi < len(items) && items[hi].Timestamp == items[lo].Timestamp {
			hi++
		}
		if hi-lo > 1 {
			slices.SortFunc(items[lo:hi], func(a, b Item) int { return bytes.Compare(a.ID[:], b.ID[:]) })
		}
		lo = hi
	}
}
