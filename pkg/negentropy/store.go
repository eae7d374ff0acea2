package negentropy

// Store is a sorted set as a session sees it: items in the order of
// [Item.Compare], addressed by rank, without duplicates. It must not change while
// a session uses it, and its methods must be safe for concurrent use if sessions
// share it. [Vector], a [Tree]'s snapshot and [Range] are stores.
type Store interface {
	// Len returns the number of items.
	Len() int
	// At returns the item of rank i, 0 <= i < Len.
	At(i int) Item
	// Timestamp returns At(i).Timestamp, for stores where the id costs more.
	Timestamp(i int) uint64
	// Search returns the lowest rank i >= from whose item is not below key, or Len.
	Search(from int, key Item) int
	// Sum returns the sum of the ids of ranks lo <= i < hi.
	Sum(lo, hi int) Sum
	// AppendIDs appends the packed ids of ranks lo <= i < hi to dst, 32 bytes each.
	AppendIDs(dst []byte, lo, hi int) []byte
}

// Range returns the part of a store with since <= timestamp <= until, as a NIP-01
// filter means them. It costs two searches and no memory per item.
func Range(s Store, since, until uint64) Store {
	lo := s.Search(0, Item{Timestamp: since})
	hi := s.Len()
	if until < infinity {
		hi = s.Search(lo, Item{Timestamp: until + 1})
	}
	return window{s, lo, hi}
}

// window shows the ranks lo <= i < hi of a store.
type window struct {
	store  Store
	lo, hi int
}

func (w window) Len() int      { return w.hi - w.lo }
func (w window) At(i int) Item { return w.store.At(w.lo + i) }

func (w window) Timestamp(i int) uint64 { return w.store.Timestamp(w.lo + i) }

func (w window) Search(from int, key Item) int {
	return min(w.store.Search(w.lo+from, key), w.hi) - w.lo
}

func (w window) Sum(lo, hi int) Sum { return w.store.Sum(w.lo+lo, w.lo+hi) }

func (w window) AppendIDs(dst []byte, lo, hi int) []byte {
	return w.store.AppendIDs(dst, w.lo+lo, w.lo+hi)
}
