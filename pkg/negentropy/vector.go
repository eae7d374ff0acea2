package negentropy

import (
	"bytes"
	"slices"
)

// Vector is a sealed sorted set. Prefix sums make the fingerprint of any range
// two loads and one SHA-256, whatever the range holds. It takes 72 bytes per
// item, is immutable, and any number of sessions may share it.
//
// Timestamps, ids and sums lie in arrays of their own: a search touches
// timestamps only, and an id list is one copy.
type Vector struct {
	timestamps []uint64
	ids        []ID
	sums       []sum // sums[i] is the sum of ids[:i]
}

// NewVector seals a set. It takes ownership of items, which it may reorder. The
// order does not matter; sorted input costs no sort. Exact duplicates and items
// with the reserved timestamp 2^64-1 are dropped.
func NewVector(items []Item) *Vector {
	items = sortItems(items)
	v := &Vector{
		timestamps: make([]uint64, len(items)),
		ids:        make([]ID, len(items)),
		sums:       make([]sum, len(items)+1),
	}
	var total sum
	for i := range items {
		v.timestamps[i] = items[i].Timestamp
		v.ids[i] = items[i].ID
		total.addID(&items[i].ID)
		v.sums[i+1] = total
	}
	return v
}

// Len returns the number of items.
func (v *Vector) Len() int { return len(v.timestamps) }

// At returns the item of rank i.
func (v *Vector) At(i int) Item { return Item{v.timestamps[i], v.ids[i]} }

// Timestamp returns the timestamp of the item of rank i.
func (v *Vector) Timestamp(i int) uint64 { return v.timestamps[i] }

// Search returns the lowest rank i >= from whose item is not below key, or Len.
// It gallops, so that finding the end of a range costs by the range's length.
func (v *Vector) Search(from int, key Item) int {
	i := gallop(from, len(v.timestamps), func(i int) bool { return v.timestamps[i] < key.Timestamp })
	if key.ID == (ID{}) {
		return i // most bounds are a timestamp alone: no id needs loading
	}
	return gallop(i, len(v.ids), func(i int) bool {
		return v.timestamps[i] == key.Timestamp && bytes.Compare(v.ids[i][:], key.ID[:]) < 0
	})
}

// gallop returns the lowest i in [from, end) that is not below, or end: in steps
// that double, then by halving the last step.
func gallop(from, end int, below func(int) bool) int {
	lo, hi, step := from, from, 1
	for hi < end && below(hi) {
		lo = hi + 1
		hi += step
		step *= 2
	}
	hi = min(hi, end)
	for lo < hi {
		if mid := int(uint(lo+hi) / 2); below(mid) {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// Fingerprint returns the fingerprint of the items of ranks lo <= i < hi.
func (v *Vector) Fingerprint(lo, hi int) Fingerprint {
	s := v.sums[hi]
	s.sub(&v.sums[lo])
	return s.fingerprint(hi - lo)
}

// AppendIDs appends the packed ids of ranks lo <= i < hi to dst.
func (v *Vector) AppendIDs(dst []byte, lo, hi int) []byte {
	n := len(dst)
	dst = slices.Grow(dst, (hi-lo)*idSize)[:n+(hi-lo)*idSize]
	for i := range v.ids[lo:hi] {
		*(*ID)(dst[n+i*idSize:]) = v.ids[lo+i]
	}
	return dst
}
