package ingest

import "slices"

// Policy says whose events matter, and what they may lead to. The zero value
// takes in everything.
type Policy struct {
	// Ours reports whether an author is one that the relay cares for; nil
	// means everyone. What others wrote or signed has no effect.
	Ours func(pubkey string) bool
	// MissingKinds are the kinds whose references are looked for, among those
	// that refer to anything; none means all of these.
	MissingKinds []int
	// MissingPerMinute bounds the missing notes that the events of one author
	// may lead to in a minute; 0 is unbounded. A relay that asks for a note on
	// note.missing is not bounded.
	MissingPerMinute int
}

func (p Policy) ours(pubkey string) bool { return p.Ours == nil || p.Ours(pubkey) }

func (p Policy) refers(kind int) bool {
	return len(p.MissingKinds) == 0 || slices.Contains(p.MissingKinds, kind)
}
