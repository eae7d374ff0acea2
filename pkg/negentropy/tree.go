package negentropy

import (
	"slices"
	"sync"
)

const (
	leafMax  = 64 // items of a leaf
	innerMax = 32 // branches of an inner node
)

// Tree is a live sorted set: a B+ tree whose branches carry the count and the sum
// of what is below them. Inserts, deletes, ranks and range fingerprints cost
// O(log n). It is safe for concurrent use; readers take a Snapshot, which costs
// nothing and stays as it is while the tree goes on changing.
type Tree struct {
	mu    sync.Mutex
	root  branch
	epoch uint64 // of the nodes that no snapshot shares, and that may change in place
}

// branch is a subtree and what its parent knows of it.
type branch struct {
	first Item // the lowest item
	count int
	sum   Sum
	node  *node
}

// node holds either items, as a leaf, or branches.
type node struct {
	epoch uint64
	items []Item
	kids  []branch
}

// NewTree makes a tree of items, in O(n) if they are sorted. It takes ownership
// of items, and drops duplicates and reserved timestamps, as NewVector does.
func NewTree(items []Item) *Tree {
	t := &Tree{root: branch{node: new(node)}}
	var level []branch
	for part := range slices.Chunk(sortItems(items), leafMax*3/4) {
		level = append(level, summed(&node{items: slices.Clone(part)}))
	}
	for len(level) > 1 {
		var above []branch
		for part := range slices.Chunk(level, innerMax*3/4) {
			above = append(above, summed(&node{kids: slices.Clone(part)}))
		}
		level = above
	}
	if len(level) == 1 {
		t.root = level[0]
	}
	return t
}

// summed makes a branch of a node that is not empty.
func summed(n *node) branch {
	b := branch{node: n}
	if n.kids == nil {
		b.first, b.count = n.items[0], len(n.items)
		for i := range n.items {
			b.sum.addID(&n.items[i].ID)
		}
		return b
	}
	b.first = n.kids[0].first
	for i := range n.kids {
		b.count += n.kids[i].count
		b.sum.add(&n.kids[i].sum)
	}
	return b
}

// Snapshot returns the set as it is now. Writes that follow copy the nodes that
// they change, once.
func (t *Tree) Snapshot() *Snapshot {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.epoch++
	return &Snapshot{t.root}
}

// Len returns the number of items.
func (t *Tree) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.root.count
}

// Insert adds an item, and returns false if it is there already or its timestamp
// is the reserved 2^64-1.
func (t *Tree) Insert(it Item) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if it.Timestamp == infinity || t.root.has(&it) {
		return false
	}
	if right := t.insert(&t.root, it); right.node != nil {
		t.root = summed(&node{epoch: t.epoch, kids: []branch{t.root, right}})
	}
	return true
}

// Delete removes an item, and returns false if it is not there.
func (t *Tree) Delete(it Item) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.root.has(&it) {
		return false
	}
	t.remove(&t.root, it)
	for len(t.root.node.kids) == 1 {
		t.root = t.root.node.kids[0]
	}
	return true
}

// own makes b's node one that may change in place.
func (t *Tree) own(b *branch) *node {
	if b.node.epoch != t.epoch {
		b.node = &node{epoch: t.epoch, items: slices.Clone(b.node.items), kids: slices.Clone(b.node.kids)}
	}
	return b.node
}

// insert adds an item that b does not have. If the node gets too large, b keeps
// the left half, and the right one is returned.
func (t *Tree) insert(b *branch, it Item) (right branch) {
	n := t.own(b)
	if b.count == 0 || it.Compare(b.first) < 0 {
		b.first = it
	}
	b.count++
	b.sum.addID(&it.ID)
	if n.kids == nil {
		i, _ := slices.BinarySearchFunc(n.items, it, Item.Compare)
		if n.items = slices.Insert(n.items, i, it); len(n.items) <= leafMax {
			return branch{}
		}
		right = summed(&node{epoch: t.epoch, items: slices.Clone(n.items[leafMax/2:])})
		n.items = slices.Delete(n.items, leafMax/2, len(n.items))
	} else {
		i := n.kid(&it)
		split := t.insert(&n.kids[i], it)
		if split.node == nil {
			return branch{}
		}
		if n.kids = slices.Insert(n.kids, i+1, split); len(n.kids) <= innerMax {
			return branch{}
		}
		right = summed(&node{epoch: t.epoch, kids: slices.Clone(n.kids[innerMax/2:])})
		n.kids = slices.Delete(n.kids, innerMax/2, len(n.kids))
	}
	b.count -= right.count
	b.sum.sub(&right.sum)
	return right
}

// remove takes out an item that b has. No node but the root is left empty, and
// neighbours that fit in one node are joined.
func (t *Tree) remove(b *branch, it Item) {
	n := t.own(b)
	b.count--
	var s Sum
	s.addID(&it.ID)
	b.sum.sub(&s)
	if n.kids == nil {
		i, _ := slices.BinarySearchFunc(n.items, it, Item.Compare)
		n.items = slices.Delete(n.items, i, i+1)
		if len(n.items) > 0 {
			b.first = n.items[0]
		}
		return
	}
	i := n.kid(&it)
	t.remove(&n.kids[i], it)
	if n.kids[i].count == 0 {
		n.kids = slices.Delete(n.kids, i, i+1)
	} else {
		t.join(n, i)
		t.join(n, i-1)
	}
	if len(n.kids) > 0 {
		b.first = n.kids[0].first
	}
}

// join makes one node of the kids i and i+1 if they fit.
func (t *Tree) join(n *node, i int) {
	if i < 0 || i+1 >= len(n.kids) {
		return
	}
	a, b := n.kids[i].node, n.kids[i+1].node
	if len(a.items)+len(b.items) > leafMax/2 || len(a.kids)+len(b.kids) > innerMax/2 {
		return
	}
	left := t.own(&n.kids[i])
	left.items = append(left.items, b.items...)
	left.kids = append(left.kids, b.kids...)
	n.kids[i].count += n.kids[i+1].count
	n.kids[i].sum.add(&n.kids[i+1].sum)
	n.kids = slices.Delete(n.kids, i+1, i+2)
}

// kid returns the index of the branch whose range it falls in.
func (n *node) kid(it *Item) int {
	lo, hi := 1, len(n.kids)
	for lo < hi {
		if mid := (lo + hi) / 2; n.kids[mid].first.Compare(*it) <= 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo - 1
}

func (b *branch) has(it *Item) bool {
	n := b.node
	for n.kids != nil {
		n = n.kids[n.kid(it)].node
	}
	_, ok := slices.BinarySearchFunc(n.items, *it, Item.Compare)
	return ok
}
