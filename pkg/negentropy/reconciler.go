package negentropy

import (
	"fmt"
	"slices"

	"github.com/relaymesh/relaymesh/pkg/negentropy/internal/reference"
)

// Reconciler is one side of a session. An initiator starts with Initiate and
// passes each answer to Reconcile until it is done; a responder answers every
// message with Respond. It is not safe for concurrent use. The messages it
// returns are valid until its next call.
type Reconciler struct {
	store Store
	opts  Options
	room  int
	out   writer

	rounds int    // messages taken in
	listed int    // ids that the peer has listed
	own    []byte // scratch: the ids of a range
	diff   difference

	compat bool // overflow like the reference, and lose differences
}

// NewReconciler starts a session over a store, which must not change meanwhile.
func NewReconciler(store Store, opts Options) *Reconciler {
	return &Reconciler{store: store, opts: opts, room: opts.room(), compat: reference.Overflow}
}

// Initiate returns an initiator's first message.
func (r *Reconciler) Initiate() []byte {
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
	if r.rounds++; over(r.rounds, r.opts.MaxRounds) {
		return fmt.Errorf("%w: more than %d messages", ErrLimit, r.opts.MaxRounds)
	}
	r.out.reset()
	r.out.buf = slices.Grow(r.out.buf, min(len(msg), r.room))
	in := reader{buf: msg[1:]}
	var prev bound // upper end of the previous range
	lower := 0     // its rank
	skip := false  // [..., prev) is settled, but not yet written
	for ranges := 1; in.more(); ranges++ {
		if over(ranges, r.opts.MaxRanges) {
			return fmt.Errorf("%w: more than %d ranges in a message", ErrLimit, r.opts.MaxRanges)
		}
		curr, mode, err := in.next()
		if err != nil {
			return err
		}
		upper := r.store.Search(lower, curr.Item)
		start := r.out.mark()
		rest := upper // first rank that the message does not cover yet

		switch {
		case mode == modeSkip:
			skip = true
		case mode == modeFingerprint:
			theirs, err := in.fingerprint()
			if err != nil {
				return err
			}
			if theirs == r.store.Fingerprint(lower, upper) {
				skip = true
				break
			}
			r.settle(&skip, &prev)
			open := r.out.mark()
			r.split(lower, upper, &curr)
			if len(r.out.buf) > r.room {
				// Take the split back, but not the skip before it: the range of
				// the closing fingerprint starts where the last written one ended.
				r.out.rewind(open)
				rest = lower
				if r.compat {
					r.out.rewind(start)
					rest = upper
				}
				r.close(rest)
				return nil
			}
		default:
			theirs, err := in.ids()
			if err != nil {
				return err
			}
			if r.listed += len(theirs) / idSize; over(r.listed, r.opts.MaxIDs) {
				return fmt.Errorf("%w: more than %d ids listed", ErrLimit, r.opts.MaxIDs)
			}
			if initiator {
				r.own = r.store.AppendIDs(r.own[:0], lower, upper)
				r.diff.report(r.own, theirs, r.opts.Have, r.opts.Need)
				skip = true
				break
			}
			r.settle(&skip, &prev)
			if rest = r.list(lower, upper, &curr, start.size); len(r.out.buf) > r.room {
				r.close(rest)
				return nil
			}
		}
		lower, prev = upper, curr
	}
	return nil
}

// settle writes the skip that is due before the next open range.
func (r *Reconciler) settle(skip *bool, prev *bound) {
	if *skip {
		r.out.skip(prev)
		*skip = false
	}
}

// close ends a message that is full with one fingerprint for all that is left.
func (r *Reconciler) close(rest int) {
	end := endBound()
	r.out.fingerprint(&end, r.store.Fingerprint(rest, r.store.Len()))
}

// list answers an id list with the own ids, as many as fit a message whose size
// was base, and returns the rank of the first one left out. The bound of a list
// that is cut is the first id left out.
func (r *Reconciler) list(lower, upper int, end *bound, base int) int {
	if fit := (r.room-base)/idSize + 1; upper-lower > fit {
		upper = lower + fit
		end = &bound{Item: r.store.At(upper), n: uint8(idSize)}
	}
	r.out.list(end, upper-lower)
	r.out.buf = r.store.AppendIDs(r.out.buf, lower, upper)
	return upper
}
