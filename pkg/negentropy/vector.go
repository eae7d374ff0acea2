package negentropy

import (
	"bytes"
	"sort"
)

// Vector is a sealed sorted set. Prefix sums, one for every eight items, make the
// fingerprint of any range some additions and one SHA-256, whatever the range
// holds. It takes 44 bytes per item, is immutable, and any number of sessions may
// share it.
//
// Timestamps, ids and sums lie in arrays of their own: a search touches
// timestamps only, and an id list is one copy.
type Vector struct {
	timestamps []uint64
	ids        []byte // packed, 32 bytes each
	sums       []Sum  // sums[i] is the sum of ids[:stride*i]
}

// stride is how many items share a prefix sum: adding half as many ids at both ends
// of a range costs a quarter of hashing it.
const stride = 8

// NewVector seals a set. It takes ownership of items, which it may reorder. The
// order does not matter; sorted input costs no sort. Exact duplicates and items
// with the reserved timestamp 2^64-1 are dropped.
func NewVector(items []Item) *Vector {
	items = sortItems(items)
	v := &Vector{
		timestamps: make([]uint64, len(items)),
		ids:        make([]byte, 0, len(items)*idSize),
		sums:       make([]Sum, 0, len(items)/stride+1),
	}
	var total Sum
	for i := range items {
		if i%stride == 0 {
			v.sums = append(v.sums, total)
		}
		v.timestamps[i] = items[i].Timestamp
		v.ids = append(v.ids, items[i].ID[:]...)
		total.addID(&items[i].ID)
	}
	if len(items)%stride == 0 {
		v.sums = append(v.sums, total)
	}
	return v
}

// Len returns the number of items.
func (v *Vector) Len() int { return len(v.timestamps) }

// At returns the item of rank i.
func (v *Vector) At(i int) Item { return Item{v.timestamps[i], ID(v.ids[i*idSize:])} }

// Timestamp returns the timestamp of the item of rank i.
func (v *Vector) Timestamp(i int) uint64 { return v.timestamps[i] }

// Search returns the lowest rank i >= from whose item is not below key, or Len.
func (v *Vector) Search(from int, key Item) int {
	lo := v.searchTime(from, key.Timestamp)
	if key.ID == (ID{}) {
		return lo // most bounds are a timestamp alone: no id needs loading
	}
	ties := v.searchTime(lo, key.Timestamp+1) - lo
	return lo + sort.Search(ties, func(i int) bool {
		return bytes.Compare(v.ids[(lo+i)*idSize:(lo+i+1)*idSize], key.ID[:]) >= 0
	})
}

// searchTime returns the lowest rank i >= from whose timestamp is not below ts, or
// Len. It gallops, in steps that double, so that finding the end of a range costs
// by the range's length.
func (v *Vector) searchTime(from int, ts uint64) int {
	lo, hi, step := from, from, 1
	for hi < len(v.timestamps) && v.timestamps[hi] < ts {
		lo = hi + 1
		hi += step
		step *= 2
	}
	hi = min(hi, len(v.timestamps))
	for lo < hi {
		if mid := int(uint(lo+hi) / 2); v.timestamps[mid] < ts {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// Sum returns the sum of the ids of ranks lo <= i < hi.
func (v *Vector) Sum(lo, hi int) Sum {
	if hi-lo <= stride {
		return v.added(Sum{}, lo, hi)
	}
	s := v.added(v.sums[hi/stride], hi-hi%stride, hi)
	before := v.added(v.sums[lo/stride], lo-lo%stride, lo)
	s.sub(&before)
	return s
}

// added returns a sum with the ids of ranks lo <= i < hi added.
func (v *Vector) added(s Sum, lo, hi int) Sum {
	for ; lo < hi; lo++ {
		s.addID((*ID)(v.ids[lo*idSize:]))
	}
	return s
}

// AppendIDs appends the packed ids of ranks lo <= i < hi to dst.
func (v *Vector) AppendIDs(dst []byte, lo, hi int) []byte {
	return append(dst, v.ids[lo*idSize:hi*idSize]...)
}
