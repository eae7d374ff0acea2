package negentropy

import (
	"errors"
	"math"
)

// MinFrameLimit is the least frame limit of the protocol. A message of this size
// always has space for the answer to at least one range.
const MinFrameLimit = 4096

// frameReserve is what a message leaves free below its frame limit: space for one
// more id, a skip and the fingerprint of the rest (NIP-77's reference reserves as
// much, so that messages are cut at the same place).
const frameReserve = 200

// ErrLimit is returned when a session goes beyond a cap of its options.
var ErrLimit = errors.New("negentropy: limit exceeded")

// Options are what a session may use up, and where its findings go. The zero
// value has no limits and drops the findings.
type Options struct {
	// FrameLimit caps the size of the messages made, in bytes before any hex
	// encoding. 0 means no limit; anything else below MinFrameLimit counts as
	// MinFrameLimit. Responders to strangers need one: without it, five bytes
	// make a responder send all its ids.
	FrameLimit int

	// MaxMessages caps the messages taken in, MaxRanges the ranges in one message,
	// and MaxIDs the ids that the peer lists in the whole session. 0 means no cap.
	MaxMessages, MaxRanges, MaxIDs int

	// Have and Need are called by an initiator for each id that only its own side
	// has, and that only the peer has, before Reconcile returns. Under frame
	// limits an id may be reported again in a later message. Either may be nil.
	Have, Need func(ID)

	// Whole has the first answer say one fingerprint of each range that does not agree, in place of those of its parts,
	// or its ids: less to send where the peer after all has the same, and one more message each way where it has not.
	Whole bool

	// ReferenceOverflow repeats, byte for byte, a message of the reference
	// implementation that overflows its frame limit, by which differences can be
	// lost. It is for comparisons with that implementation.
	ReferenceOverflow bool
}

// overflowSize returns the size beyond which a message overflows.
func (o *Options) overflowSize() int {
	if o.FrameLimit <= 0 {
		return math.MaxInt
	}
	return max(o.FrameLimit, MinFrameLimit) - frameReserve
}

// over reports whether n exceeds a cap, where 0 means no cap.
func over(n, limit int) bool { return limit > 0 && n > limit }
