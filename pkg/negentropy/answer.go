package negentropy

import "fmt"

// answerRanges is the number of ranges that an answer may make of each asked one.
// Implementations make 16 of them and a skip.
const answerRanges = 64

// outcome is what follows from an answer.
type outcome struct {
	forward  chain  // for the other side
	again    chain  // for the same side
	progress bool   // something was answered
	shown    uint64 // the least upper bound of a range in which the side holds an item

	claims, claimBytes int // fingerprints answered, and the size of the answers
	cutAt              int // size of an answer that the peer had to cut
}

// hear matches an answer with the questions in flight. Both are sorted, and both
// may be cut differently: by the peer's frame limit, or by a peer that does not
// answer everything. What is not answered is asked again.
func (b *Bridge) hear(s Side, answer []byte) error {
	if len(answer) == 0 {
		return fmt.Errorf("%w: no version byte", ErrMalformed)
	}
	if answer[0] != version {
		return fmt.Errorf("%w: its message starts with 0x%02x", ErrVersion, answer[0])
	}
	p := &b.peers[s]
	out := outcome{shown: infinity}
	open := walk(p.asked) // not yet passed by the answer
	in := reader{buf: answer[1:]}
	for ranges := 1; in.more(); ranges++ {
		if ranges > answerRanges*p.count {
			return fmt.Errorf("%w: %d ranges asked, %d answered", ErrLimit, p.count, ranges)
		}
		before := len(in.buf)
		said, err := in.statement()
		if err != nil {
			return err
		}
		if open.ok && open.q.claims() {
			out.claimBytes += before - len(in.buf)
		}
		asked := false
		for open.ok && open.q.lower.before(&said.upper) {
			asked = b.applyRange(s, &open.q, &said, &out) || asked
			if open.q.lower.before(&open.q.upper) {
				break // the next range goes on with it
			}
			open.next()
		}
		if !asked && said.mode == modeFingerprint && said.upper.Timestamp == infinity {
			out.cutAt = len(answer)
		}
	}
	// An answer skips what comes after its last bound. But if the last question
	// is one that takes contents to answer, as a sentinel does, then a peer that
	// does not get there has stopped early, and the skip means nothing.
	complete := p.last.claims()
	for ; open.ok; open.next() {
		out.silence(&open.q, complete || open.q.upper == p.last.upper)
	}
	return b.conclude(s, &out)
}

// applyRange applies one range of an answer to the question q, whose lower bound is as
// far as the answer has come, and moves that bound on. It reports whether the
// range is an answer to q: one that leaves q's range says nothing about q.
func (b *Bridge) applyRange(s Side, q *question, said *statement, out *outcome) bool {
	inside := !said.lower.before(&q.lower) && !q.upper.before(&said.upper)
	part := *q
	if said.upper.before(&q.upper) {
		part.upper, part.cut = said.upper, true
	}
	q.lower, q.cut = part.upper, true

	switch {
	case said.mode == modeSkip:
		out.silence(&part, true)
		return false
	case !inside, said.mode == modeFingerprint && !part.cut && !b.peers[s].whole:
		// The fingerprint that closes a message that is full, over ranges that were
		// not asked; some peers compute it wrongly, so nothing may rest on it.
		out.silence(&part, false)
		return false
	case q.depth == sentinelDepth:
		return true
	}
	out.progress = true
	if said.holds() {
		out.shown = min(out.shown, said.upper.Timestamp)
	}
	if q.claims() && q.upper == part.upper {
		out.claims++
	}
	if said.mode == modeIDList && (q.empty() || q.mode == modeIDList && !part.cut) {
		// Both sides' complete contents of the range.
		b.diff.report(said.ids, q.ids, b.only[s], b.only[s.Other()])
		return true
	}
	out.forward.add(question{statement: *said, depth: q.depth + 1})
	return true
}

// silence is a peer that says nothing about what is left of q: it agrees, or, if
// that is no answer to q or the answer is not complete, q is asked again.
func (o *outcome) silence(q *question, complete bool) {
	switch {
	case q.depth == sentinelDepth:
	case complete && q.settledBySilence():
		o.progress = true
		if q.holds() {
			o.shown = min(o.shown, q.upper.Timestamp)
		}
		o.claims++
	case complete && !q.cut && q.mode == modeIDList:
		// It may mean that its list is the same. Let it say so.
		o.again.add(ask(q.lower, q.upper, q.depth+1))
	default:
		o.again.add(q.again())
	}
}

// conclude files the questions that follow from an answer.
func (b *Bridge) conclude(s Side, out *outcome) error {
	p := &b.peers[s]
	p.asked = p.asked[:0]
	p.learn(out)
	b.shown[s] = min(b.shown[s], out.shown)
	p.barren++
	if out.progress {
		p.barren = 0
	}
	if p.barren > maxBarren {
		return fmt.Errorf("%w: %d answers say nothing about what was asked", ErrNoProgress, p.barren)
	}
	if max(out.forward.deepest, out.again.deepest) > maxDepth {
		return fmt.Errorf("%w: a range is split without end", ErrNoProgress)
	}
	if over(b.found, b.opts.MaxDifferences) {
		return fmt.Errorf("%w: more than %d differences", ErrLimit, b.opts.MaxDifferences)
	}
	p.queue.add(out.again.runs)
	b.peers[s.Other()].queue.add(out.forward.runs)
	return nil
}
