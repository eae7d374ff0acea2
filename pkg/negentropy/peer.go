package negentropy

// Estimates of what an answer costs, in bytes.
const (
	splitCost = 1040 // a range in 16 fingerprints, or 31 ids; also all there can be
	listCost  = 64   // an id list without its ids
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

// message moves the lowest questions of the queue into a message that the peer
// accepts, as many as it can be expected to answer in one message of its own.
func (p *peer) message() []byte {
	const sentinelSize = 2 * (2*maxVarintLen + fingerprintSize)
	p.out.reset()
	p.asked = p.asked[:0]
	expected := listCost
	var prev bound
	for len(p.queue.list) > 0 {
		q := p.queue.lowest()
		start := p.out.mark()
		if prev.before(&q.lower) {
			p.out.skip(&q.lower)
		}
		body := p.out.mark()
		q.write(&p.out)
		expected += p.cost(q)
		fits := len(p.out.buf)+sentinelSize <= p.accepts
		if len(p.asked) > 0 && (!fits || expected > p.answers-frameReserve || p.barren > 0) {
			p.out.rewind(start)
			break
		}
		next := p.queue.pop()
		if !fits { // a list longer than what the peer accepts: let the peer split the range instead
			p.out.rewind(body)
			next = ask(next.lower, next.upper, next.depth)
			next.write(&p.out)
		}
		prev = next.upper
		p.asked = append(p.asked, next)
	}
	if end := frontierBound(); !end.before(&prev) {
		sentinel := ask(end, endBound(), 0)
		sentinel.sentinel = true
		if prev.before(&end) {
			p.out.skip(&end)
		}
		sentinel.write(&p.out)
		p.asked = append(p.asked, sentinel)
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
