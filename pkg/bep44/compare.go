package bep44

import "bytes"

// Order is how one item stands to another one of the same target.
type Order int

// The outcomes of [Compare].
const (
	Older     Order = iota - 1 // a lower seq: must never replace the other
	Same                       // the same seq and value: putting it again renews its lifetime
	Newer                      // a higher seq: replaces the other everywhere
	Equivocal                  // one seq, two values: see Compare
)

// Compare says how a stands to b. Both must have passed Verify and must have the same target.
//
// Equivocal means that the owner signed two values with one seq. Then no order exists on which all nodes agree
// (libtorrent acknowledges but keeps the first, others refuse, some overwrite): keep the one that is held, do not
// fight over the nodes, and tell the owner to sign again with a higher seq.
func Compare(a, b *Item) Order {
	switch {
	case a.Seq < b.Seq:
		return Older
	case a.Seq > b.Seq:
		return Newer
	case bytes.Equal(a.Value, b.Value):
		return Same
	default:
		return Equivocal
	}
}

// Replace says what a storing node answers to a put: nil if put may take the place of stored (nil when there is
// none), [ErrCASMismatch] or [ErrSeqTooLow] if not. cas is the seq that the putter expects to replace, nil when the
// put names none; it counts only where something is stored. Both items must have passed Verify.
func Replace(stored, put *Item, cas *int64) error {
	if stored == nil {
		return nil
	}
	if cas != nil && *cas != stored.Seq {
		return refuse(CodeCASMismatch, "stored seq is %d, not %d", stored.Seq, *cas)
	}
	switch Compare(put, stored) {
	case Older:
		return refuse(CodeSeqTooLow, "seq %d is less than the stored %d", put.Seq, stored.Seq)
	case Equivocal:
		return refuse(CodeSeqTooLow, "another value with seq %d is stored", stored.Seq)
	default:
		return nil
	}
}

// String names the outcome for logs.
func (o Order) String() string {
	switch o {
	case Older:
		return "older"
	case Same:
		return "same"
	case Newer:
		return "newer"
	default:
		return "equivocal"
	}
}
