package negentropy

// An initiator with a frame limit keeps both directions full. The reference ends a full
// message with one fingerprint for the rest, and forgets what else it has asked when an
// answer is cut, so that after each full message of one side comes a small one of the
// other. Here a full message ends with the rest in parts, for which it keeps space, and
// what a cut answer has not come to is asked again, as far as the peer can be expected
// to answer in its next message. To the peer it is all the same.

// askAgain goes on with what the last message asked from r.prev on, where an answer of
// this size closes with the fingerprint of the rest: it may have been cut there. It
// reports whether that filled the message, which is then closed.
func (r *Reconciler) askAgain(lower, size int) (full bool) {
	var answered toll
	expected := -1
	from, prev, skip := lower, r.prev, r.skip
	for in := (reader{buf: r.asked[1:]}); in.more(); {
		said, err := in.statement()
		if err != nil {
			break // never: this side has written it
		}
		if !r.prev.before(&said.upper) {
			answered.add(&said)
			continue
		}
		upper := r.store.Search(lower, said.upper.Item)
		if said.mode == modeSkip {
			r.skip, r.prev, lower = true, said.upper, upper
			continue
		}
		r.settle()
		open := r.out.mark()
		if said.lower.before(&r.prev) {
			r.split(lower, upper, &said.upper)
		} else {
			r.out.grow(maxVarintLen + len(said.ids) + splitCost)
			r.out.statement(&said)
		}
		first := expected < 0
		if first {
			expected = answered.expect(r.out.buf, size)
		} else {
			expected += answered.of(&said, size)
		}
		if len(r.out.buf) > r.overflowSize || !first && expected > size {
			r.out.rewind(open)
			r.close(lower)
			return true
		}
		r.prev, lower = said.upper, upper
	}
	if expected < 0 { // the peer disagrees about what was settled
		r.prev, r.skip = prev, skip
		r.settle()
		r.close(from)
	}
	return false
}

// toll is what a message has asked that an answer has come to.
type toll struct{ fingerprints, listed int }

func (t *toll) add(said *statement) {
	switch said.mode {
	case modeFingerprint:
		t.fingerprints++
	case modeIDList:
		t.listed += listCost + len(said.ids)
	}
}

// of estimates the answer to a question in bytes, by an answer of this size to those of t.
func (t *toll) of(said *statement, size int) int {
	switch {
	case said.mode == modeIDList:
		return listCost + len(said.ids)
	case said.mode == modeFingerprint && t.fingerprints > 0:
		return min(max((size-t.listed)/t.fingerprints, fingerprintSize), splitCost)
	case said.mode == modeFingerprint:
		return splitCost
	}
	return 0
}

// expect estimates the answer to a message.
func (t *toll) expect(msg []byte, size int) (sum int) {
	for in := (reader{buf: msg[1:]}); in.more(); {
		said, err := in.statement()
		if err != nil {
			break
		}
		sum += t.of(&said, size)
	}
	return sum
}
