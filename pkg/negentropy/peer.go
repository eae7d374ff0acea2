package negentropy

import "slices"

// Estimates of what an answer costs, in bytes.
const (
	splitCost = 1040 // a range in 16 fingerprints, or 31 ids; also all there can be
	listCost  = 64   // an id list without its ids

	sentinelSize = 64 // a skip to the frontier, and the question
)

// peer is the state of one side of a bridge.
type peer struct {
	accepts   int         // largest message it takes
	answers   int         // largest message it makes, as far as known
	responder *Reconciler // answers for a local store
	whole     bool        // see SideOptions

	queue    queue
	asked    []run    // in flight, lowest first; their data is that of the message
	count    int      // questions in flight
	last     question // the last of them
	waiting  bool     // a message is in flight
	barren   int      // messages in a row that settled nothing
	fpCost   int      // mean size of the answer to a fingerprint
	messages int

	out writer
}

func newPeer(o SideOptions) peer {
	p := peer{accepts: messageLimit(o.Accepts), answers: messageLimit(o.Answers), fpCost: splitCost, whole: o.Whole}
	// Made now and not as needed, so that a bridge takes the same memory whatever it
	// reconciles.
	p.out.buf = make([]byte, 0, min(p.accepts, DefaultMessageLimit))
	p.asked = make([]run, 0, queueRuns)
	p.queue = newQueue()
	if o.Store != nil {
		p.responder = NewReconciler(o.Store, Options{FrameLimit: p.answers})
	}
	return p
}

func messageLimit(n int) int {
	if n <= 0 {
		return DefaultMessageLimit
	}
	return max(n, MinFrameLimit)
}

// cost estimates the size of the answer to q.
func (p *peer) cost(q *question) int {
	switch {
	case q.claims():
		return p.fpCost
	case len(q.ids) > 0:
		return listCost + len(q.ids)
	default:
		return splitCost
	}
}

// message asks what waits in the queue: as much as the peer accepts in a message
// and can be expected to answer in one of its own, the deepest questions first and
// none above depth. The queue must not be empty.
func (p *peer) message(depth int) []byte {
	p.asked, p.count = p.pick(depth), 0
	slices.SortFunc(p.asked, func(a, b run) int { return a.lower.Compare(b.lower.Item) })
	p.out.reset()
	p.last = question{}
	for i := range p.asked {
		p.send(&p.asked[i])
	}
	if start := frontierBound(); !start.before(&p.last.upper) {
		var sentinel chain
		sentinel.add(ask(start, endBound(), sentinelDepth))
		p.asked = append(p.asked, sentinel.runs...)
		p.send(&p.asked[len(p.asked)-1])
	}
	p.waiting = true
	p.messages++
	return p.out.buf
}

// send writes a run to the message, after a skip if there is a gap before it. From
// then on the run is read from the message, and the queue may drop it.
func (p *peer) send(r *run) {
	if p.last.upper.before(&r.lower) {
		p.out.skip(&r.lower)
	}
	start := len(p.out.buf)
	for c := walk([]run{*r}); c.ok; c.next() {
		p.out.statement(&c.q.statement)
		p.last = c.q
		p.count++
	}
	r.data = p.out.buf[start:]
	p.last.ids = nil // of a buffer that the queue may drop
}

// pick takes the questions of the next message out of the queue.
func (p *peer) pick(depth int) []run {
	picked := p.asked[:0]
	size, expected := 1+sentinelSize, frameReserve
	for full := false; !full && !p.queue.empty(); {
		next := p.queue.next()
		if len(picked) > 0 && next.depth < depth {
			break
		}
		size += next.lower.wireSize() + maxVarintLen
		rest := next.reader()
		for c := walk([]run{*next}); c.ok && !full; c.next() {
			size += len(rest.buf) - len(c.in.buf)
			expected += p.cost(&c.q)
			full = size > p.accepts || expected > p.answers || p.barren > 0
			if first := len(picked) == 0 && rest.last == next.lower; full && !first {
				break
			}
			rest = c.in
			if size > p.accepts {
				// A list that is longer than the peer accepts cannot be cut, as ids tell
				// nothing of their timestamps. Let the peer split the range instead.
				var asked chain
				asked.add(ask(c.q.lower, c.q.upper, c.q.depth))
				p.queue.take(rest)
				return append(picked, asked.runs...)
			}
		}
		if rest.last != next.lower {
			picked = append(picked, p.queue.take(rest))
		}
	}
	return picked
}

// learn adapts the estimates to an answer.
func (p *peer) learn(out *outcome) {
	if out.claims > 0 {
		p.fpCost = max((p.fpCost+3*out.claimBytes/out.claims)/4, 1)
	}
	if out.cutAt > 0 {
		p.answers = min(p.answers, max(out.cutAt, MinFrameLimit))
	}
}
