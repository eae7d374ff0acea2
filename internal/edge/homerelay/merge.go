package homerelay

import (
	"bytes"
	"container/heap"

	"go.etcd.io/bbolt"
)

// span is one index range of a merge, standing on an entry.
type span struct {
	cursor *bbolt.Cursor
	prefix []byte
	pos    position
	value  []byte
}

// settle makes the entry current, and reports whether the range holds it.
func (r *span) settle(key, value []byte) bool {
	if len(key) != len(r.prefix)+posSize || !bytes.HasPrefix(key, r.prefix) {
		return false
	}
	r.pos, r.value = position(key[len(r.prefix):]), value
	return true
}

// merge walks several ranges at once in time order; ranges[0] is the next.
type merge struct{ ranges []*span }

func newMerge(b *bbolt.Bucket, prefixes [][]byte, from position) *merge {
	m := &merge{}
	for _, p := range prefixes {
		r := &span{cursor: b.Cursor(), prefix: p}
		if r.settle(r.cursor.Seek(append(bytes.Clone(p), from[:]...))) {
			m.ranges = append(m.ranges, r)
		}
	}
	heap.Init(m)
	return m
}

// advance moves the first range to its next entry, or drops it at its end.
func (m *merge) advance() {
	if r := m.ranges[0]; r.settle(r.cursor.Next()) {
		heap.Fix(m, 0)
	} else {
		heap.Pop(m)
	}
}

// The methods of heap.Interface.
func (m *merge) Len() int { return len(m.ranges) }

func (m *merge) Less(i, j int) bool {
	return bytes.Compare(m.ranges[i].pos[:], m.ranges[j].pos[:]) < 0
}
func (m *merge) Swap(i, j int) { m.ranges[i], m.ranges[j] = m.ranges[j], m.ranges[i] }
func (m *merge) Push(x any)    { m.ranges = append(m.ranges, x.(*span)) }
func (m *merge) Pop() any {
	last := m.ranges[len(m.ranges)-1]
	m.ranges = m.ranges[:len(m.ranges)-1]
	return last
}
