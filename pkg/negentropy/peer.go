package negentropy

import "slices"

// Estimates of what an answer costs, in bytes.
const (
	splitCost = 1040 // a range in 16 fingerprints, or 31 ids; also all there can be
	listCost  = 64   // an id list without its ids

	sentinelSize = 64
)

// answerRanges is the number of ranges that an answer may make of each asked one.
// Implementations make 16 of them and a skip.
const answerRanges = 64

// peer is the state of one side of a bridge.
type peer struct {
	accepts   int         // largest message it takes
	answers   int         // largest message it makes, as far as known
	responder *Reconciler // answers for a local store

	queue    questions
	asked    []question // in flight, lowest first
	waiting  bool       // a message is in flight
	barren   int        // messages in a row that settled nothing
	fpCost   int        // mean size of the answer to a fingerprint
	messages int

	out writer
}

func newPeer(o SideOptions) peer {
	p := peer{accepts: messageLimit(o.Accepts), answers: messageLimit(o.Answers), fpCost: splitCost}
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
// none above depth.
func (p *peer) message(depth int) []byte {
	p.asked = p.asked[:0]
	size, expected := 1+sentinelSize, frameReserve
	for len(p.queue.list) > 0 {
		q := p.queue.next()
		size, expected = size+q.wireSize(), expected+p.cost(q)
		full := size > p.accepts || expected > p.answers || p.barren > 0 || q.depth < depth
		if full && len(p.asked) > 0 {
			break
		}
		next := p.queue.pop()
		if size > p.accepts {
			// A list that is longer than the peer accepts cannot be cut, as ids tell
			// nothing of their timestamps. Let the peer split the range instead.
			next = ask(next.lower, next.upper, next.depth)
		}
		p.asked = append(p.asked, next)
	}
	slices.SortFunc(p.asked, func(a, b question) int { return a.lower.Compare(b.lower.Item) })
	if end := frontierBound(); !end.before(&p.asked[len(p.asked)-1].upper) {
		sentinel := ask(end, endBound(), 0)
		sentinel.sentinel = true
		p.asked = append(p.asked, sentinel)
	}

	p.out.reset()
	var prev bound
	for i := range p.asked {
		if prev.before(&p.asked[i].lower) {
			p.out.skip(&p.asked[i].lower)
		}
		p.asked[i].write(&p.out)
		prev = p.asked[i].upper
	}
	p.waiting = true
	p.messages++
	return p.out.buf
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
