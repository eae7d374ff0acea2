package negentropy

import (
	"fmt"
	"slices"
)

// Reconciler is one side of a session. An initiator starts with Initiate and
// passes each answer to Reconcile until it is done; a responder answers every
// message with Respond. It is not safe for concurrent use. The messages it
// returns are valid until its next call.
type Reconciler struct {
	store        Store
	opts         Options
	overflowSize int
	out          writer
	again        bool   // see again.go
	asked        []byte // likewise: the message before

	prev bound // upper end of the previous range of the message
	skip bool  // what is below prev is settled, but that is not yet written

	messages int    // messages taken in
	listed   int    // ids that the peer has listed
	own      []byte // scratch: the ids of a range
	diff     difference

	hasher hasher
}

// NewReconciler starts a session over a store, which must not change meanwhile.
func NewReconciler(store Store, opts Options) *Reconciler {
	return &Reconciler{store: store, hasher: newHasher(), opts: opts, overflowSize: opts.overflowSize()}
}

// Initiate returns an initiator's first message.
func (r *Reconciler) Initiate() []byte {
	if r.opts.FrameLimit > 0 && !r.opts.ReferenceOverflow {
		r.again = true
		r.overflowSize = r.opts.overflowSize() - splitCost
	}
	r.out.reset()
	end := endBound()
	r.split(0, r.store.Len(), &end)
	return r.out.buf
}

// Reconcile takes the responder's answer, reports the differences that it shows
// to Have and Need, and returns the next message. When done is true, every
// difference has been reported and there is nothing left to send. An error
// (ErrMalformed, ErrVersion, ErrLimit) ends the session; what was reported
// before it stands.
func (r *Reconciler) Reconcile(msg []byte) (next []byte, done bool, err error) {
	if len(msg) > 0 && msg[0] != version {
		return nil, false, fmt.Errorf("%w: its message starts with 0x%02x", ErrVersion, msg[0])
	}
	if err := r.step(msg, true); err != nil {
		return nil, false, err
	}
	if len(r.out.buf) == 1 {
		return nil, true, nil
	}
	return r.out.buf, false, nil
}

// Respond answers an initiator's message. Where the sets agree, nothing but the
// version byte is left of the answer, and it is to be sent all the same. To an
// unknown version the answer is the version that this package speaks.
func (r *Reconciler) Respond(msg []byte) ([]byte, error) {
	if len(msg) > 0 && msg[0] != version && msg[0]&0xf0 == version&0xf0 {
		r.out.reset()
		return r.out.buf, nil
	}
	if err := r.step(msg, false); err != nil {
		return nil, err
	}
	return r.out.buf, nil
}

// step reads msg range by range and writes what is still open to r.out.
func (r *Reconciler) step(msg []byte, initiator bool) error {
	if len(msg) == 0 || msg[0] != version {
		return fmt.Errorf("%w: no version byte", ErrMalformed)
	}
	if r.messages++; over(r.messages, r.opts.MaxMessages) {
		return fmt.Errorf("%w: more than %d messages", ErrLimit, r.opts.MaxMessages)
	}
	if r.again {
		r.asked, r.out.buf = r.out.buf, r.asked
	}
	r.out.reset()
	r.out.buf = slices.Grow(r.out.buf, min(len(msg), r.overflowSize))
	r.skip, r.prev = false, bound{}
	in := reader{buf: msg[1:]}
	lower := 0 // rank of the first item of the range
	for ranges := 1; in.more(); ranges++ {
		if over(ranges, r.opts.MaxRanges) {
			return fmt.Errorf("%w: more than %d ranges in a message", ErrLimit, r.opts.MaxRanges)
		}
		curr, mode, err := in.next()
		if err != nil {
			return err
		}
		upper, full := r.store.Search(lower, curr.Item), false
		switch mode {
		case modeSkip:
			r.skip = true
		case modeFingerprint:
			full, err = r.onFingerprint(&in, lower, upper, &curr, len(msg))
		default:
			full, err = r.onList(&in, lower, upper, &curr, initiator)
		}
		if err != nil || full {
			return err
		}
		lower, r.prev = upper, curr
	}
	return nil
}

// onFingerprint agrees, or splits the range. It reports whether that filled the
// message, which is then closed.
func (r *Reconciler) onFingerprint(in *reader, lower, upper int, end *bound, size int) (full bool, err error) {
	theirs, err := in.fingerprint()
	if err != nil {
		return false, err
	}
	if theirs == r.fingerprint(lower, upper) {
		r.skip = true
		return false, nil
	}
	if r.again && end.Timestamp == infinity {
		return r.askAgain(lower, size), nil
	}
	settled := r.out.mark()
	r.settle()
	open := r.out.mark()
	if r.opts.Whole && r.messages == 1 {
		r.out.fingerprint(end, r.fingerprint(lower, upper))
	} else {
		r.split(lower, upper, end)
	}
	switch {
	case len(r.out.buf) <= r.overflowSize:
		return false, nil
	case r.opts.ReferenceOverflow:
		r.out.rewind(settled)
		r.close(upper)
	default:
		// Take the split back, but not the skip before it: the range of the closing
		// fingerprint starts where the last written one ended, and so must its items.
		r.out.rewind(open)
		r.close(lower)
	}
	return true, nil
}

// onList compares the peer's ids with the own ones, as the initiator, or answers
// with the own ones. It reports whether that filled the message.
func (r *Reconciler) onList(in *reader, lower, upper int, end *bound, initiator bool) (full bool, err error) {
	theirs, err := in.ids()
	if err != nil {
		return false, err
	}
	if r.listed += len(theirs) / idSize; over(r.listed, r.opts.MaxIDs) {
		return false, fmt.Errorf("%w: more than %d ids listed", ErrLimit, r.opts.MaxIDs)
	}
	if initiator {
		r.own = r.store.AppendIDs(r.own[:0], lower, upper)
		r.diff.report(r.own, theirs, r.opts.Have, r.opts.Need)
		r.skip = true
		return false, nil
	}
	// The list is cut where the message is full; its bound is then the first id left
	// out. The skip before it is paid for by the reserve, as in the reference.
	if fit := (r.overflowSize-len(r.out.buf))/idSize + 1; upper-lower > fit {
		upper = lower + fit
		end = &bound{Item: r.store.At(upper), n: uint8(idSize)}
	}
	r.settle()
	r.out.grow(listCost + (upper-lower)*idSize)
	r.out.list(end, upper-lower)
	r.out.buf = r.store.AppendIDs(r.out.buf, lower, upper)
	if len(r.out.buf) <= r.overflowSize {
		return false, nil
	}
	r.close(upper)
	return true, nil
}

// fingerprint returns the fingerprint of the ranks lo <= i < hi.
func (r *Reconciler) fingerprint(lo, hi int) Fingerprint {
	total := r.store.Sum(lo, hi)
	return r.hasher.fingerprint(&total, hi-lo)
}

// settle writes the skip that is due before the next open range.
func (r *Reconciler) settle() {
	if r.skip {
		r.out.skip(&r.prev)
		r.skip = false
	}
}

// close ends a message that is full with one fingerprint for all that is left, or with
// those of its parts.
func (r *Reconciler) close(rest int) {
	end := endBound()
	if r.again {
		r.split(rest, r.store.Len(), &end)
		return
	}
	r.out.fingerprint(&end, r.fingerprint(rest, r.store.Len()))
}
