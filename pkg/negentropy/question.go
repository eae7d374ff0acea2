package negentropy

// wildcard is a fingerprint that no range has, as finding one would mean
// inverting SHA-256. Asking with it means: what do you hold here?
var wildcard = Fingerprint([]byte("relaymesh: what?"))

// frontier, 2038-01-01, cuts every pass in two. Almost no event lies beyond it,
// so [frontier, infinity) is a question that costs few bytes and cannot be
// settled by silence: asked last, as a sentinel, it shows whether a peer has
// answered all that came before. It is below 2^31 because some peers read numbers
// as 32 bits.
const frontier = 2_145_916_800

// sentinelDepth marks a question that is asked only as a sentinel.
const sentinelDepth = -1

func frontierBound() bound { return bound{Item: Item{Timestamp: frontier}} }

// question is a range that a peer has yet to agree about: what the other peer
// says of it, or wildcard if nothing is known.
type question struct {
	statement
	depth int  // answers that led to it
	cut   bool // the range is what is left of the one that was asked
}

// ask makes the question "what do you hold here?".
func ask(lower, upper bound, depth int) question {
	return question{statement: statement{lower: lower, upper: upper, mode: modeFingerprint, fingerprint: wildcard}, depth: depth}
}

// claims reports whether the question is the other peer's fingerprint: only that
// can be agreed to. An id list and a wildcard are answered by contents.
func (q *question) claims() bool {
	return q.mode == modeFingerprint && q.fingerprint != wildcard
}

// settledBySilence reports whether a peer that says nothing about the range agrees.
func (q *question) settledBySilence() bool { return q.claims() && !q.cut }

// empty reports whether the other peer says that it holds nothing in the range.
func (q *question) empty() bool { return q.mode == modeIDList && len(q.ids) == 0 }

// again returns the question for what has not been answered of q. What the other
// peer said of a whole range says nothing about a part of it, unless it was that
// the range is empty.
func (q *question) again() question {
	if q.cut && !q.empty() {
		return ask(q.lower, q.upper, q.depth)
	}
	return *q
}
