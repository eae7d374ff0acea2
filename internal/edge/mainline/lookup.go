package mainline

import (
	"net/netip"
	"slices"
	"time"

	"github.com/relaymesh/relaymesh/pkg/bep44"
)

// The bounds of one lookup, whatever nodes answer.
const (
	maxQueries    = 96 // a healthy lookup takes 25
	maxCandidates = 96 // the nearest are kept
	maxAlpha      = 16 // asked at a time when many are silent
)

// state is what a lookup knows of a candidate.
type state uint8

const (
	fresh    state = iota // not asked
	asked                 // asked, and still expected to answer
	slow                  // asked, and not expected any more; a late reply still counts
	answered              // replied under its id
	failed                // answered with an error
	silent                // did not answer another lookup lately: asked only if too few others answer
)

// candidate is a node that a lookup may ask.
type candidate struct {
	Contact
	state   state
	router  bool // a bootstrap node that no answer names: asked for nodes only, never a holder
	hasID   bool
	named   int // by how many answers
	askedAt time.Time

	// What it answered.
	token  string
	hasSeq bool
	seq    int64
	item   *bep44.Item // verified
}

// eligible reports whether the node can hold what is looked up: it answered, and gave a token to put with.
func (l *lookup) eligible(n *candidate) bool {
	return n.state == answered && !n.router && (n.token != "" || l.tokenless)
}

// lookup decides whom to ask in an iterative Kademlia lookup: it converges on the k nodes nearest to a target that
// answer. It has no clock, no socket and no lock; its owner tells it what happened.
//
// A node that does not answer in time is passed over at once: the end does not wait for it, and one more node is asked
// at a time for each (see calm) that was silent, so that a neighbourhood of dead nodes costs little time.
type lookup struct {
	target   [20]byte
	k, alpha int
	crowded  func(n *candidate, with []*candidate) bool // too many others of its network among those asked

	nodes     []*candidate // nearest first; those without an id lead
	all       []*candidate // that ever were
	seen      []endpoint   // theirs
	calm      int          // silent nodes for which one more is asked at a time
	tokenless bool         // nodes count that gave no token: for a lookup that puts nothing
	witnesses int          // how many answers must name a node before it is asked
	slots     []*candidate // in the order of asking
	waiting   int          // candidates in state asked
	silence   int          // candidates that became slow
	answers   int
}

func newLookup(target [20]byte, k, alpha int, crowded func(*candidate, []*candidate) bool) *lookup {
	return &lookup{target: target, k: k, alpha: alpha, crowded: crowded, calm: 1}
}

// wants reports whether a node would be a new candidate. Most nodes that answers name are not.
func (l *lookup) wants(c Contact) bool {
	if len(l.nodes) >= maxCandidates && compareDistance(l.target, c.ID, l.nodes[len(l.nodes)-1].ID) >= 0 {
		return false
	}
	return !slices.Contains(l.seen, endpointOf(c.Addr))
}

// corroborate makes the lookup ask, besides those that it has now, only nodes that several answers name. It suits a start from
// the nodes around the target: they know each other, and a node that a single one names is gone or invented. On the way to a
// target from afar, one name must be enough.
func (l *lookup) corroborate(witnesses int) {
	l.witnesses = witnesses
	for _, n := range l.all {
		n.named = witnesses
	}
}

// name notes that an answer names a node.
func (l *lookup) name(c Contact) {
	if i := slices.Index(l.seen, endpointOf(c.Addr)); i >= 0 {
		l.all[i].named++
		l.admit(l.all[i])
	}
}

// admit makes a bootstrap node that others name a node like them, which is asked again if it is near: in a small network
// it is one of those that hold the item.
func (l *lookup) admit(n *candidate) {
	if n.router && n.named > 0 && n.state == answered {
		n.router, n.state = false, fresh
	}
}

// add makes a node a candidate unless its address already is one. dead says that it was silent lately.
func (l *lookup) add(c candidate, dead bool) {
	if !l.wants(c.Contact) {
		return
	}
	if dead {
		c.state = silent
	}
	n := &c
	l.all, l.seen = append(l.all, n), append(l.seen, endpointOf(c.Addr))
	l.insert(n)
	if len(l.nodes) > maxCandidates {
		l.nodes = l.nodes[:maxCandidates] // its address stays known, so it is not asked twice
	}
}

func (l *lookup) insert(n *candidate) {
	at, _ := slices.BinarySearchFunc(l.nodes, n, func(a, b *candidate) int {
		if a.hasID != b.hasID {
			if b.hasID {
				return -1
			}
			return 1
		}
		return compareDistance(l.target, a.ID, b.ID)
	})
	l.nodes = slices.Insert(l.nodes, at, n)
}

// next returns the nearest candidate that should be asked now, nil if it is enough to wait. may asks whether a message
// may be sent to an address at present; one that may not is left for later.
func (l *lookup) next(may func(netip.AddrPort) bool) *candidate {
	if l.waiting >= min(l.alpha+l.silence/l.calm, maxAlpha) || len(l.slots) >= maxQueries {
		return nil
	}
	near := 0
	for _, n := range l.nodes {
		if near == l.k {
			break
		}
		switch n.state {
		case asked:
			near++
		case answered:
			if l.eligible(n) {
				near++
			}
		case fresh:
			if n.named < l.witnesses || l.crowded(n, l.slots) {
				continue
			}
			if may(n.Addr) {
				return n
			}
			near++
		}
	}
	return nil
}

// passedOver returns how many nodes that are nearer than the defaultK nearest that answered were silent, now or before. With fewer
// than defaultK, whoever asks so many of the nearest nodes still meets one of those that answered here. With more it is our own
// network, not they, that fails or lately failed: an item that is put now would be where nobody looks for it.
func (l *lookup) passedOver() (count int) {
	near := 0
	for _, n := range l.nodes {
		switch {
		case near == defaultK:
			return count
		case l.eligible(n):
			near++
		case n.state == silent, n.state == slow:
			count++
		}
	}
	return count
}

// relent makes the lookup ask all that it has passed over, because too few others answered or too many were passed over: those
// that were silent (perhaps it was our own network that failed) and those that only one answer names.
func (l *lookup) relent() {
	l.witnesses = 0
	for _, n := range l.nodes {
		if n.state == silent || n.state == slow {
			n.state = fresh
		}
	}
}

// ask notes that n is asked now and returns the slot of the query.
func (l *lookup) ask(n *candidate, now time.Time) (slot int) {
	n.state, n.askedAt = asked, now
	l.waiting++
	l.slots = append(l.slots, n)
	return len(l.slots) - 1
}

// leave moves a node that was asked on to another state.
func (l *lookup) leave(n *candidate, to state) {
	if n.state == asked {
		l.waiting--
	}
	n.state = to
}

// answer notes the reply to a query. The node counts under the id that it replied with, not the one that another node
// gave it: so nobody can keep a node out of a lookup by inventing an id for it.
func (l *lookup) answer(slot int, r *reply) *candidate {
	n := l.slots[slot]
	if r.code != 0 {
		l.leave(n, failed)
		return n
	}
	l.leave(n, answered)
	n.token, n.hasSeq, n.seq = string(r.token), r.hasSeq, r.seq
	l.answers++
	if !n.hasID || n.ID != r.id {
		if i := slices.Index(l.nodes, n); i >= 0 {
			l.nodes = slices.Delete(l.nodes, i, i+1)
		}
		n.ID, n.hasID = r.id, true
		l.insert(n)
	}
	return n
}

// expire gives up waiting for nodes that were asked before now-patience, and returns when to call it again; the zero
// time if no node is waited for.
func (l *lookup) expire(now time.Time, patience time.Duration) (again time.Time) {
	for _, n := range l.slots {
		if n.state != asked {
			continue
		}
		due := n.askedAt.Add(patience)
		if !now.Before(due) {
			l.leave(n, slow)
			l.silence++
		} else if again.IsZero() || due.Before(again) {
			again = due
		}
	}
	return again
}

// closest returns the k nearest nodes that answered with a token, nearest first: those that a put goes to.
func (l *lookup) closest(k int) []*candidate {
	var out []*candidate
	for _, n := range l.nodes {
		if len(out) == k {
			break
		}
		if l.eligible(n) {
			out = append(out, n)
		}
	}
	return out
}

// done reports whether the k nearest candidates that are still reckoned with have answered.
func (l *lookup) done() bool {
	near := 0
	for _, n := range l.nodes {
		switch n.state {
		case fresh:
			if n.named >= l.witnesses && !l.crowded(n, l.slots) && len(l.slots) < maxQueries {
				return false
			}
		case asked:
			return false
		case answered:
			if l.eligible(n) {
				near++
			}
		}
		if near == l.k {
			return true
		}
	}
	return true
}

// noNeighbours allows one node for each IPv4 address and two for each /24, so that who owns one network cannot answer
// for a whole neighbourhood of ids.
func noNeighbours(n *candidate, with []*candidate) bool {
	ip := n.Addr.Addr()
	block, near := netip.PrefixFrom(ip, 24).Masked(), 0
	for _, other := range with {
		switch {
		case other == n: // it is asked again
		case other.Addr.Addr() == ip:
			return true
		case block.Contains(other.Addr.Addr()):
			near++
		}
	}
	return near >= 2
}
