package negentropy

// statement is one range of a message and what it says.
type statement struct {
	lower, upper bound
	mode         uint64
	fingerprint  Fingerprint
	ids          []byte // packed, part of the message
}

// statement reads the next range; its lower bound is where the previous one ended.
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

// statement writes a range that starts where the previous one ended.
func (w *writer) statement(said *statement) {
	switch said.mode {
	case modeSkip:
		w.skip(&said.upper)
	case modeFingerprint:
		w.fingerprint(&said.upper, said.fingerprint)
	default:
		w.list(&said.upper, len(said.ids)/idSize)
		w.buf = append(w.buf, said.ids...)
	}
}

// nothing is the fingerprint of an empty range.
var nothing = func() Fingerprint { h := newHasher(); return h.fingerprint(&Sum{}, 0) }()

// holds reports whether the range holds an item, by what is said of it.
func (said *statement) holds() bool {
	return said.mode == modeFingerprint && said.fingerprint != nothing || len(said.ids) > 0
}
