package negentropy

import "slices"

// Snapshot is a Tree at one moment, as a Store. It is immutable, and any number
// of sessions may share it. Its methods cost O(log n).
type Snapshot struct{ root branch }

// Len returns the number of items.
func (s *Snapshot) Len() int { return s.root.count }

// At returns the item of rank i.
func (s *Snapshot) At(i int) Item {
	n := s.root.node
	for n.kids != nil {
		k := 0
		for ; i >= n.kids[k].count; k++ {
			i -= n.kids[k].count
		}
		n = n.kids[k].node
	}
	return n.items[i]
}

// Timestamp returns the timestamp of the item of rank i.
func (s *Snapshot) Timestamp(i int) uint64 { return s.At(i).Timestamp }

// Search returns the lowest rank i >= from whose item is not below key, or Len.
func (s *Snapshot) Search(from int, key Item) int {
	n, rank := s.root.node, 0
	for n.kids != nil {
		k := n.kid(&key)
		for i := range n.kids[:k] {
			rank += n.kids[i].count
		}
		n = n.kids[k].node
	}
	i, _ := slices.BinarySearchFunc(n.items, key, Item.Compare)
	return max(rank+i, from)
}

// Sum returns the sum of the ids of ranks lo <= i < hi.
func (s *Snapshot) Sum(lo, hi int) Sum {
	total, below := s.prefix(hi), s.prefix(lo)
	total.sub(&below)
	return total
}

// prefix returns the sum of the first i ids.
func (s *Snapshot) prefix(i int) (total Sum) {
	if i == s.root.count {
		return s.root.sum
	}
	n := s.root.node
	for n.kids != nil {
		k := 0
		for ; i >= n.kids[k].count; k++ {
			i -= n.kids[k].count
			total.add(&n.kids[k].sum)
		}
		n = n.kids[k].node
	}
	for j := range n.items[:i] {
		total.addID(&n.items[j].ID)
	}
	return total
}

// AppendIDs appends the packed ids of ranks lo <= i < hi to dst.
func (s *Snapshot) AppendIDs(dst []byte, lo, hi int) []byte {
	return appendIDs(dst, s.root.node, lo, hi)
}

func appendIDs(dst []byte, n *node, lo, hi int) []byte {
	if lo >= hi {
		return dst
	}
	for i := range n.kids {
		count := n.kids[i].count
		if lo < count && hi > 0 {
			dst = appendIDs(dst, n.kids[i].node, max(lo, 0), min(hi, count))
		}
		lo, hi = lo-count, hi-count
	}
	if n.kids == nil {
		for i := range n.items[lo:hi] {
			dst = append(dst, n.items[lo+i].ID[:]...)
		}
	}
	return dst
}
