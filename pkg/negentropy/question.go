package negentropy

import (
	"cmp"
	"slices"
)

// wildcard is a fingerprint that no range has, as finding one would mean
// inverting SHA-256. Asking with it means: what do you hold here?
var wildcard = Fingerprint([]byte("relaymesh: what?"))

// frontier, 2038-01-01, cuts every pass in two. Almost no event lies beyond it,
// so [frontier, infinity) is a question that costs few bytes and cannot be
// settled by silence: asked last, it shows whether a peer has answered all that
// came before. It is below 2^31 because some peers read numbers as 32 bits.
const frontier = 2_145_916_800

func frontierBound() bound { return bound{Item: Item{Timestamp: frontier}} }

// question is a range that a peer has yet to agree about: it holds what the other
// peer says of it, or wildcard if nothing is known.
type question struct {
	lower, upper bound
	mode         uint64 // modeFingerprint or modeIDList
	fingerprint  Fingerprint
	ids          []byte // packed; own memory
	depth        int    // answers that led to this question

	cut      bool // the range is what is left of the one that was asked
	sentinel bool // asked to see whether the answer is complete
}

// ask makes the question "what do you hold here?".
func ask(lower, upper bound, depth int) question {
	return question{lower: lower, upper: upper, mode: modeFingerprint, fingerprint: wildcard, depth: depth}
}

// claims reports whether the question is the other peer's fingerprint: only that
// can be agreed to. An id list and a wildcard are answered by contents.
func (q *question) claims() bool {
	return q.mode == modeFingerprint && q.fingerprint != wildcard
}

// settledBySilence reports whether a peer that says nothing about the range agrees.
func (q *question) settledBySilence() bool { return q.claims() && !q.cut }

// again returns the question for what has not been answered of q. What the other
// peer said of a whole range says nothing about a part of it, unless it was that
// the range is empty.
func (q *question) again() question {
	rest := *q
	if q.cut && !q.empty() {
		rest = ask(q.lower, q.upper, q.depth)
	}
	rest.cut = false
	return rest
}

// empty reports whether the other peer says that it holds nothing in the range.
func (q *question) empty() bool { return q.mode == modeIDList && len(q.ids) == 0 }

// size estimates the memory that the question takes, in bytes.
func (q *question) size() int { return 192 + len(q.ids) }

// wireSize returns the most that the question takes in a message, with a skip to
// where it begins.
func (q *question) wireSize() int {
	n := fingerprintSize
	if q.mode == modeIDList {
		n = maxVarintLen + len(q.ids)
	}
	return q.lower.wireSize() + q.upper.wireSize() + n
}

func (q *question) write(w *writer) {
	if q.mode == modeFingerprint {
		w.fingerprint(&q.upper, q.fingerprint)
		return
	}
	w.list(&q.upper, len(q.ids)/idSize)
	w.buf = append(w.buf, q.ids...)
}

// questions is a queue of disjoint ranges. The deepest come first: what is nearly
// settled is settled before anything new is opened, so that the queue stays short
// however much differs. Among those of the same depth, the lowest come first.
type questions struct {
	list []question // the next one last
	size int        // bytes
}

func (qs *questions) add(more []question) {
	for i := range more {
		qs.size += more[i].size()
	}
	qs.list = append(qs.list, more...)
	slices.SortFunc(qs.list, func(a, b question) int {
		if a.depth != b.depth {
			return cmp.Compare(a.depth, b.depth)
		}
		return b.lower.Compare(a.lower.Item)
	})
}

func (qs *questions) next() *question { return &qs.list[len(qs.list)-1] }

func (qs *questions) pop() question {
	last := len(qs.list) - 1
	q := qs.list[last]
	qs.list[last] = question{} // lets go of the ids
	qs.list = qs.list[:last]
	qs.size -= q.size()
	return q
}
