package homerelay

import (
	"container/heap"
	"context"
	"sync"

	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// gate lets work through, up to a width at a time, by weighted fair queueing
// (Demers, Keshav, Shenker 1989): in the order in which it would end if all parties
// were served at once, each a little at a time. A party that floods waits behind
// itself, and little work does not wait for much of however many others.
type gate struct {
	width     int
	batch     int // most signatures that are verified together
	verifyAll func([]*nostr.Event) []error

	mu       sync.Mutex
	free     int
	now      float64 // virtual time: how much a party would have been served that always had work
	order    uint64
	finished map[party]float64 // where the last work of a party ends, if after now
	queued   map[party]int     // how many turns of a party wait
	waiting  turns
	signed   turns // likewise, of those for signatures that are verified in batches
	batches  int   // that are being verified
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

	event *nostr.Event // of a turn of signed
	err   error        // what is wrong with its signature, when open is closed
}

func newGate(width int) *gate {
	return &gate{
		width: width, batch: maxBatch, verifyAll: schnorr.VerifyAll,
		free: width, finished: map[party]float64{}, queued: map[party]int{},
	}
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
	t := g.queue(&turn{party: p, width: min(width, g.width)}, cost)
	select {
	case <-t.open:
		return true
	case <-ctx.Done():
	}
	if !g.giveUp(t) {
		g.leave(t.width) // it was let through meanwhile
	}
	return false
}

// queue lets a turn wait behind what its party has done.
func (g *gate) queue(t *turn, cost int) *turn {
	t.open, t.cost = make(chan struct{}), float64(cost)
	if t.party.own {
		t.cost /= ownShare
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	t.end = max(g.now, g.finished[t.party]) + t.cost
	t.order = g.order
	g.order++
	g.finished[t.party] = t.end
	g.queued[t.party]++
	heap.Push(g.queueOf(t), t)
	g.admit()
	return t
}

func (g *gate) queueOf(t *turn) *turns {
	if t.event != nil {
		return &g.signed
	}
	return &g.waiting
}

// giveUp removes a turn that waits, and reports whether it did.
func (g *gate) giveUp(t *turn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if t.index < 0 {
		return false
	}
	heap.Remove(g.queueOf(t), t.index)
	g.unqueue(t.party)
	g.admit()
	return true
}

// pass is enter for work that costs as much as it is wide. The first call of leave
// counts.
func (g *gate) pass(ctx context.Context, p party, width int) (leave func(), ok bool) {
	if !g.enter(ctx, p, width, width) {
		return nil, false
	}
	return sync.OnceFunc(func() { g.leave(width) }), true
}

// othersWait reports whether anybody else waits than a party.
func (g *gate) othersWait(p party) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	parties := len(g.queued)
	if g.queued[p] > 0 {
		parties--
	}
	return parties > 0
}

func (g *gate) leave(width int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.free += min(width, g.width)
	g.admit()
}

// admit lets through what fits; mu is held.
func (g *gate) admit() {
	for next := g.next(); next != nil && (*next)[0].width <= g.free; next = g.next() {
		g.free -= (*next)[0].width
		if next == &g.signed {
			g.startBatch()
		} else {
			close(g.take(next).open)
		}
	}
	if len(g.finished) > 1024+2*(len(g.waiting)+len(g.signed)) {
		for p, at := range g.finished {
			if at <= g.now {
				delete(g.finished, p)
			}
		}
	}
	if len(g.waiting)+len(g.signed) == 0 && g.free == g.width {
		g.now = 0
		clear(g.finished) // nobody is owed anything when nobody works
	}
}

// next is the queue of the turn that comes next, or nil; mu is held.
func (g *gate) next() *turns {
	switch {
	case g.batchReady() && (len(g.waiting) == 0 || g.signed[0].before(g.waiting[0])):
		return &g.signed
	case len(g.waiting) > 0:
		return &g.waiting
	}
	return nil
}

// take removes the first turn of a queue; mu is held.
func (g *gate) take(from *turns) *turn {
	t := heap.Pop(from).(*turn)
	g.now += t.cost / float64(len(g.queued))
	g.unqueue(t.party)
	return t
}

// unqueue counts a turn that waits no more; mu is held.
func (g *gate) unqueue(p party) {
	if g.queued[p]--; g.queued[p] == 0 {
		delete(g.queued, p)
	}
}

// before reports whether a turn comes before another.
func (t *turn) before(other *turn) bool {
	return t.end < other.end || t.end == other.end && t.order < other.order
}

// turns is a heap by end.
type turns []*turn

// The methods of heap.Interface.
func (t turns) Len() int { return len(t) }

func (t turns) Less(i, j int) bool { return t[i].before(t[j]) }

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
