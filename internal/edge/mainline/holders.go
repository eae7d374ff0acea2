package mainline

import "github.com/relaymesh/relaymesh/pkg/bep44"

// verifyValue returns the item of a reply if there is one that verifies, and remembers the best so far.
func (s *search) verifyValue(r *reply) *bep44.Item {
	if r.value == nil {
		return nil
	}
	for _, it := range s.verified {
		if r.carries(it) {
			return it
		}
	}
	it, err := r.verify(s.lookup.target, s.salt)
	if err != nil {
		s.node.forged.Add(1)
		return nil
	}
	s.verified = append(s.verified, it)
	if s.best == nil || bep44.Compare(it, s.best) == bep44.Newer {
		s.best, s.equivocal = it, false
		if s.news != nil {
			s.news <- *it
		}
	} else if bep44.Compare(it, s.best) == bep44.Equivocal {
		s.equivocal = true
	}
	return it
}

// holds reports whether a node holds it, by having shown it or, when asked with a seq, by having named that seq.
func (s *search) holds(n *candidate, it *bep44.Item) bool {
	if n.item != nil {
		return bep44.Compare(n.item, it) == bep44.Same
	}
	return s.opts.Seq != nil && n.hasSeq && n.seq == *s.opts.Seq && n.seq == it.Seq
}

func (s *search) enough() bool {
	return s.opts.Enough > 0 && s.best != nil && len(s.holders(s.best)) >= s.opts.Enough
}

// holders returns the nodes that hold it, nearest first.
func (s *search) holders(it *bep44.Item) []Contact {
	var out []Contact
	for _, n := range s.lookup.nodes {
		if n.state == answered && s.holds(n, it) {
			out = append(out, n.Contact)
		}
	}
	return out
}

func (s *search) result() GetResult {
	r := GetResult{Item: s.best, Equivocal: s.equivocal, Queried: len(s.lookup.slots), Answered: s.lookup.answers}
	if s.best != nil {
		r.Holders = s.holders(s.best)
	}
	r.Closest = s.neighbours()
	return r
}

// neighbours returns the K nodes nearest to the target and half as many more, so that a later refresh still has K
// seeds when some have left.
func (s *search) neighbours() []Contact {
	nodes := s.lookup.closest(s.opts.K + s.opts.K/2)
	out := make([]Contact, len(nodes))
	for i, n := range nodes {
		out[i] = n.Contact
	}
	return out
}
