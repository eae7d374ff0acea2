package bep44

import "bytes"

// ParseSignedBuffer reads the buffer that an owner signs, [4:salt<len>:<salt>]3:seqi<seq>e1:v<value>, which relay
// list events (kind 11011) carry in hex. Key and Sig of the result are zero: the caller sets them from the event and
// calls Verify. Nothing but the one canonical form is accepted, before any signature is looked at, so that
// ParseSignedBuffer(b) succeeds exactly when the item's SignedBuffer is b and its Check is nil.
func ParseSignedBuffer(buf []byte) (Item, error) {
	var it Item
	b, salted := bytes.CutPrefix(buf, []byte("4:salt"))
	if salted {
		salt, rest, err := scanString(b)
		if err != nil {
			return Item{}, err
		}
		if len(salt) == 0 {
			return Item{}, refuse(CodeProtocol, "an empty salt must be left out")
		}
		it.Salt, b = bytes.Clone(salt), rest
	}
	b, ok := bytes.CutPrefix(b, []byte("3:seq"))
	if !ok {
		return Item{}, refuse(CodeProtocol, "expected 3:seq after the optional salt")
	}
	return parseSeqAndValue(it, b)
}

func parseSeqAndValue(it Item, b []byte) (Item, error) {
	seq, b, err := scanInt(b)
	if err != nil {
		return Item{}, err
	}
	value, ok := bytes.CutPrefix(b, []byte("1:v"))
	if !ok {
		return Item{}, refuse(CodeProtocol, "expected 1:v after seq")
	}
	it.Seq, it.Value = seq, bytes.Clone(value)
	if err := it.Check(); err != nil {
		return Item{}, err
	}
	return it, nil
}
