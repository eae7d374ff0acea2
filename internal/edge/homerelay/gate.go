package homerelay

import (
	"container/heap"
	"context"
	"sync"
)

// gate lets work through, up to a width at a time, by weighted fair queueing
// (Demers, Keshav, Shenker 1989): in the order in which it would end if all parties
// were served at once, each a little at a time. A party that floods waits behind
// itself, and little work does not wait for much of however many others.
type gate struct {
	width int

	mu       sync.Mutex
	free     int
	now      float64 // virtual time: how much a party would have been served that always had work
	order    uint64
	finished map[party]float64 // where the last work of a party ends, if after now
	queued   map[party]int     // how many turns of a party wait
	waiting  turns
}

// turn is work that waits.
type turn struct {
	party party
	cost  float64
	end   float64 // in virtual time
	order uint64  // equal ends are served as they came
	width int
	open  chan struct{}
	index int // in the heap, -1 when let through
}

func newGate(width int) *gate {
	return &gate{width: width, free: width, finished: map[party]float64{}, queued: map[party]int{}}
}

// ownShare is how many times the share of another party the pipeline has.
const ownShare = 64

// enter waits until work of this width and cost may begin, and reports whether
// it may; then leave must follow with the same width. Costs are in any unit,
// the same for all work of a gate.
func (g *gate) enter(ctx context.Context, p party, width, cost int) bool {
	if ctx.Err() != nil {
		return false
	}
	t := &turn{party: p, cost: float64(cost), width: min(width, g.width), open: make(chan struct{})}
	if p.own {
		t.cost /= ownShare
	}
	g.mu.Lock()
	t.end = max(g.now, g.finished[p]) + t.cost
	t.order = g.order
	g.order++
	g.finished[p] = t.end
	g.queued[p]++
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
		g.unqueue(p)
	} else {
		g.free += t.width
	}
	g.admit()
	return false
}

// pass is enter for work that costs as much as it is wide. The first call of leave
// counts.
func (g *gate) pass(ctx context.Context, p party, width int) (leave func(), ok bool) {
	if !g.enter(ctx, p, width, width) {
		return nil, false
	}
	return sync.OnceFunc(func() { g.leave(width) }), true
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
		g.now += t.cost / float64(len(g.queued))
		g.unqueue(t.party)
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

// unqueue counts a turn that waits no more; mu is held.
func (g *gate) unqueue(p party) {
	if g.queued[p]--; g.queued[p] == 0 {
		delete(g.queued, p)
	}
}

// turns is a heap by end.
type turns []*turn

// The methods of heap.Interface.
func (t turns) Len() int { return len(t) }

func (t turns) Less(i, j int) bool {
	return t[i].end < t[j].end || t[i].end == t[j].end && t[i].order < t[j].order
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
