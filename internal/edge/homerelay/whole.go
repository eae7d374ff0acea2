package homerelay

import (
	"math"
	"runtime/debug"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/relaymesh/relaymesh/pkg/negentropy"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// whole is the set of all that a relay of certain kinds keeps of them, with what ends such events, sorted at all times: a session
// about all of it, which other indexes open every minute, costs no reading and no sorting. What has expired is in it until it
// is removed.
type whole struct {
	kinds []int // sorted
	lists []int // of these, those of the relay: their tags are in no index
	tree  *negentropy.Tree
}

// largeSet is of how many events the memory is given back in which they were sorted.
const largeSet = 100_000

// keepWhole reads the set once; from then on writes keep it up. It comes before the relay serves.
func (s *store) keepWhole() error {
	kinds := slices.Sorted(slices.Values(append(slices.Clone(s.kinds), nostr.KindDeletion, nostr.KindVanish)))
	_, err := s.updateStep(0, func(st *step) error { // nobody else writes meanwhile
		count := 0
		positionsOf(st.tx, kinds, func(position) { count++ })
		items := make([]negentropy.Item, 0, count)
		positionsOf(st.tx, kinds, func(pos position) { items = append(items, itemAt(pos)) })
		s.whole = &whole{kinds, s.kinds, negentropy.NewTree(items)}
		if items = nil; count > largeSet {
			debug.FreeOSMemory() // what the set was sorted in is as large as the set, twice
		}
		return nil
	})
	return err
}

// positionsOf calls do with the position of each event of some kinds.
func positionsOf(tx *bbolt.Tx, kinds []int, do func(position)) {
	for _, kind := range kinds {
		prefix := kindPrefix(kind)
		c := tx.Bucket(byKind).Cursor()
		for k, _ := c.Seek(prefix); len(k) == len(prefix)+len(position{}) && string(k[:len(prefix)]) == string(prefix); k, _ = c.Next() {
			do(position(k[len(prefix):]))
		}
	}
}

func itemAt(pos position) negentropy.Item {
	return negentropy.Item{Timestamp: uint64(pos.createdAt()), ID: negentropy.ID(pos.id())}
}

// stored and removed note a change that tx makes, once it is on disk; w may be nil.
func (w *whole) stored(tx *bbolt.Tx, r *record) {
	if w != nil && slices.Contains(w.kinds, r.event.Kind) {
		tx.OnCommit(func() { w.tree.Insert(itemAt(r.pos)) })
	}
}

func (w *whole) removed(tx *bbolt.Tx, r *record) {
	if w != nil && slices.Contains(w.kinds, r.event.Kind) {
		tx.OnCommit(func() { w.tree.Delete(itemAt(r.pos)) })
	}
}

// of returns the set as it is now if filters ask for all of it, or all of some time; else nil.
func (w *whole) of(filters []nostr.Filter) negentropy.Store {
	if w == nil || len(filters) != 1 {
		return nil
	}
	f := filters[0]
	if f.IDs != nil || f.Authors != nil || f.Tags != nil || f.Limit != 0 || f.Void() ||
		!slices.Equal(slices.Compact(slices.Sorted(slices.Values(f.Kinds))), w.kinds) {
		return nil
	}
	until := uint64(math.MaxUint64)
	if f.Until > 0 {
		until = uint64(f.Until)
	}
	return negentropy.Range(w.tree.Snapshot(), uint64(max(f.Since, 0)), until)
}
