package homerelay

import (
	"container/heap"
	"context"
	"sync"
)

// gate lets work through, up to a width at a time, and lets the parties take
// turns: work of whoever has had least comes first, by start-time fair queueing
// (Goyal, Vin, Cheng 1996). A party that floods waits behind itself.
type gate struct {
	width int

	mu       sync.Mutex
	free     int
	now      int64 // virtual time: the start of the work that was let through last
	order    uint64
	finished map[party]int64 // where the last work of a party ends, if after now
	waiting  turns
}

// turn is work that waits.
type turn struct {
	start int64
	order uint64 // equal starts are served as they came
	width int
	open  chan struct{}
	index int // in the heap, -1 when let through
}

func newGate(width int) *gate { return &gate{width: width, free: width, finished: map[party]int64{}} }

// ownShare is how many times the share of another party the pipeline has.
const ownShare = 64

// enter waits until work of this width and cost may begin, and reports whether
// it may; then leave must follow with the same width. Costs are in any unit,
// the same for all work of a gate.
func (g *gate) enter(ctx context.Context, p party, width, cost int) bool {
	if ctx.Err() != nil {
		return false
	}
	if p.own {
		cost = cost/ownShare + 1
	}
	width = min(width, g.width)
	g.mu.Lock()
	t := &turn{start: max(g.now, g.finished[p]), order: g.order, width: width, open: make(chan struct{})}
	g.order++
	g.finished[p] = t.start + int64(cost)
	heap.Push(&g.waiting, t)
	g.admit()
	g.mu.Unlock()
	select {
	case <-t.open:
		return true
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if t.index >= 0 {
		heap.Remove(&g.waiting, t.index)
	} else {
		g.free += width
	}
	g.admit()
	return false
}

func (g *gate) leave(width int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.free += min(width, g.width)
	g.admit()
}

// admit lets through what fits; mu is held.
func (g *gate) admit() {
	for len(g.waiting) > 0 && g.waiting[0].width <= g.free {
		t := heap.Pop(&g.waiting).(*turn)
		g.free -= t.width
		g.now = t.start
		close(t.open)
	}
	if len(g.finished) > 1024+2*len(g.waiting) {
		for p, at := range g.finished {
			if at <= g.now {
				delete(g.finished, p)
			}
		}
	}
	if len(g.waiting) == 0 && g.free == g.width {
		g.now = 0
		clear(g.finished) // nobody is owed anything when nobody works
	}
}

// turns is a heap by start.
type turns []*turn

// The methods of heap.Interface.
func (t turns) Len() int { return len(t) }

func (t turns) Less(i, j int) bool {
	return t[i].start < t[j].start || t[i].start == t[j].start && t[i].order < t[j].order
}

func (t turns) Swap(i, j int) {
	t[i], t[j] = t[j], t[i]
	t[i].index, t[j].index = i, j
}

func (t *turns) Push(x any) {
	x.(*turn).index = len(*t)
	*t = append(*t, x.(*turn))
}

func (t *turns) Pop() any {
	last := (*t)[len(*t)-1]
	*t = (*t)[:len(*t)-1]
	last.index = -1
	return last
}
