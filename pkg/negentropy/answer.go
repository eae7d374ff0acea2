package negentropy

import (
	"bytes"
	"fmt"
)

// statement is one range of an answer.
type statement struct {
	lower, upper bound
	mode         uint64
	fingerprint  Fingerprint
	ids          []byte // packed, part of the message
}

// statement reads the next range; lower is where the previous one ended.
func (r *reader) statement() (said statement, err error) {
	said.lower = r.last
	if said.upper, said.mode, err = r.next(); err != nil {
		return said, err
	}
	switch said.mode {
	case modeFingerprint:
		said.fingerprint, err = r.fingerprint()
	case modeIDList:
		said.ids, err = r.ids()
	}
	return said, err
}

// outcome is what follows from an answer.
type outcome struct {
	forward  []question // for the other side
	again    []question // for the same side
	progress bool       // something was answered

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
	var out outcome
	open := p.asked // not yet passed by the answer
	in := reader{buf: answer[1:]}
	for ranges := 1; in.more(); ranges++ {
		if ranges > answerRanges*len(p.asked) {
			return fmt.Errorf("%w: %d ranges asked, %d answered", ErrLimit, len(p.asked), ranges)
		}
		before := len(in.buf)
		said, err := in.statement()
		if err != nil {
			return err
		}
		if len(open) > 0 && open[0].claims() {
			out.claimBytes += before - len(in.buf)
		}
		asked := false
		for len(open) > 0 && open[0].lower.before(&said.upper) {
			q := &open[0]
			asked = b.take(s, q, &said, &out) || asked
			if q.lower.before(&q.upper) {
				break // the next range goes on with it
			}
			open = open[1:]
		}
		if !asked && said.mode == modeFingerprint && said.upper.Timestamp == infinity {
			out.cutAt = len(answer)
		}
	}
	// An answer skips what comes after its last bound. But if it does not even
	// reach the sentinel, it may as well have stopped early.
	complete := !p.asked[len(p.asked)-1].sentinel
	for i := range open {
		out.silence(&open[i], complete)
	}
	return b.conclude(p, &out)
}

// take applies one range of an answer to the question q, whose lower bound is as
// far as the answer has come, and moves that bound on. It reports whether the
// range is an answer to q: one that leaves q's range says nothing about q.
func (b *Bridge) take(s Side, q *question, said *statement, out *outcome) bool {
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
	case !inside, said.mode == modeFingerprint && !part.cut:
		// The fingerprint that closes a message that is full, over ranges that were
		// not asked; some peers compute it wrongly, so nothing may rest on it.
		out.silence(&part, false)
		return false
	case q.sentinel:
		return true
	}
	out.progress = true
	if q.claims() && q.upper == part.upper {
		out.claims++
	}
	if said.mode == modeIDList && (q.empty() || q.mode == modeIDList && !part.cut) {
		b.compare(s, said.ids, q.ids)
		return true
	}
	out.forward = append(out.forward, question{
		lower: said.lower, upper: said.upper, mode: said.mode,
		fingerprint: said.fingerprint, ids: bytes.Clone(said.ids), depth: q.depth + 1,
	})
	return true
}

// silence is a peer that says nothing about what is left of q: it agrees, or, if
// that is no answer to q or the answer is not complete, q is asked again.
func (o *outcome) silence(q *question, complete bool) {
	switch {
	case q.sentinel:
	case complete && q.settledBySilence():
		o.progress = true
		o.claims++
	case complete && !q.cut && q.mode == modeIDList:
		// It may mean that its list is the same. Let it say so.
		o.again = append(o.again, ask(q.lower, q.upper, q.depth+1))
	default:
		o.again = append(o.again, q.again())
	}
}

// compare reports the difference of two lists of the same range, the answer of a
// side and the question, which is what the other side holds.
func (b *Bridge) compare(s Side, answer, question []byte) {
	b.diff.report(answer, question, b.only[s], b.only[s.Other()])
}

// conclude files the questions that follow from an answer.
func (b *Bridge) conclude(p *peer, out *outcome) error {
	p.learn(out)
	p.barren++
	if out.progress {
		p.barren = 0
	}
	if p.barren > maxBarren {
		return fmt.Errorf("%w: %d answers say nothing about what was asked", ErrNoProgress, p.barren)
	}
	if over(b.found, b.opts.MaxDifferences) {
		return fmt.Errorf("%w: more than %d differences", ErrLimit, b.opts.MaxDifferences)
	}
	for _, qs := range [][]question{out.forward, out.again} {
		for i := range qs {
			if qs[i].depth > maxDepth {
				return fmt.Errorf("%w: a range is split without end", ErrNoProgress)
			}
		}
	}
	other := &b.peers[SideA]
	if p == other {
		other = &b.peers[SideB]
	}
	other.queue.add(out.forward)
	p.queue.add(out.again)
	return nil
}
