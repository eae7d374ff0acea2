package mainline

import (
	"context"
	"net/netip"
	"time"

	"github.com/relaymesh/relaymesh/pkg/bep44"
)

// search runs one lookup against the network and judges what nodes return.
type search struct {
	node   *Node
	salt   []byte
	opts   GetOptions
	lookup *lookup
	events chan event

	verified  map[[64]byte]*bep44.Item // by signature: each item is verified once
	best      *bep44.Item
	equivocal bool
	widened   bool
}

func (n *Node) newSearch(target [20]byte, salt []byte, opts GetOptions) *search {
	if opts.K == 0 {
		opts.K = defaultK
	}
	if opts.Alpha == 0 {
		opts.Alpha = defaultAlpha
	}
	crowded := noNeighbours
	if n.config.AllowPrivate {
		crowded = func(netip.Addr, []*candidate) bool { return false }
	}
	s := &search{
		node: n, salt: salt, opts: opts,
		lookup:   newLookup(target, opts.K, opts.Alpha, crowded),
		events:   make(chan event, maxQueries),
		verified: make(map[[64]byte]*bep44.Item),
	}
	s.addAll(opts.Seeds)
	s.addAll(n.seeds(target, max(opts.K, 2*opts.Alpha)))
	return s
}

// manySeeds are enough for some of them to be alive even after a night offline.
const manySeeds = 64

// widen adds many more seeds, and the bootstrap nodes if nobody has answered: for a lookup that came to its end before
// K nodes had answered.
func (s *search) widen() {
	s.widened = true
	s.addAll(s.node.seeds(s.lookup.target, manySeeds))
	if s.lookup.answers > 0 {
		return
	}
	for _, addr := range s.node.routers.addresses() {
		s.lookup.add(candidate{Contact: Contact{Addr: addr}, router: true}, false)
	}
}

const (
	defaultK     = 8 // BEP 5: as many as a node returns
	defaultAlpha = 4
)

func (s *search) addAll(contacts []Contact) {
	now := time.Now()
	for _, c := range contacts {
		if s.lookup.wants(c) && c.ID != s.node.id && dialable(c.Addr, s.node.config.AllowPrivate) {
			s.lookup.add(candidate{Contact: c, hasID: true}, s.node.outbox.courtesy.isDead(c.Addr, now))
		}
	}
}

// run asks until the lookup is done. It returns early when enough holders have answered or the context ends.
func (s *search) run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		wake, err := s.askAll(ctx)
		if err != nil {
			return err
		}
		if s.enough() {
			break
		}
		if wake.IsZero() || s.lookup.done() {
			if s.widened || len(s.lookup.closest(s.opts.K)) >= s.opts.K {
				break
			}
			s.widen()
			continue
		}
		timer.Reset(time.Until(wake))
		select {
		case e := <-s.events:
			s.handle(e)
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		case <-s.node.closing:
			return errClosed
		}
	}
	if s.lookup.answers == 0 {
		return ErrNoAnswer
	}
	return nil
}

// askAll sends every query that may be sent now, and returns when to look again if nothing arrives: the
// zero time if nothing can arrive any more.
func (s *search) askAll(ctx context.Context) (wake time.Time, err error) {
	var wait time.Duration // until some address may be sent to again
	may := func(addr netip.AddrPort) bool {
		w := s.node.outbox.courtesy.take(addr, time.Now())
		if w > 0 && (wait == 0 || w < wait) {
			wait = w
		}
		return w == 0
	}
	patience := s.node.outbox.patience()
	s.lookup.expire(time.Now(), patience)
	for n := s.lookup.next(may); n != nil; n = s.lookup.next(may) {
		q := getQuery(s.lookup.target, s.opts.Seq)
		if n.router {
			q = findNodeQuery(s.lookup.target)
		}
		slot := s.lookup.ask(n, time.Now())
		if err := s.node.outbox.send(ctx, q, n.Contact, slot, s.events); err != nil {
			if ctx.Err() != nil {
				return time.Time{}, ctx.Err()
			}
			s.lookup.fail(slot)
		}
	}
	wake = s.lookup.expire(time.Now(), patience)
	if wait > 0 && (wake.IsZero() || time.Until(wake) > wait) {
		wake = time.Now().Add(wait)
	}
	return wake, nil
}

// handle takes a reply: its nodes become candidates, its item is judged.
func (s *search) handle(e event) {
	n := s.lookup.answer(e.slot, e.reply)
	if n.state != answered {
		return
	}
	s.addAll(e.reply.nodes)
	if e.reply.item != nil {
		s.judge(e.reply)
	}
}

func (s *search) judge(r *reply) {
	it, seen := s.verified[r.item.sig]
	if !seen || !r.carries(it) {
		var err error
		if it, err = r.verify(s.lookup.target, s.salt); err != nil {
			s.node.forged.Add(1)
			r.item, r.hasSeq = nil, false // it holds nothing that counts
			return
		}
		s.verified[r.item.sig] = it
	}
	if s.best == nil || bep44.Compare(it, s.best) == bep44.Newer {
		s.best, s.equivocal = it, false
		if s.opts.OnItem != nil {
			s.opts.OnItem(*it)
		}
	} else if bep44.Compare(it, s.best) == bep44.Equivocal {
		s.equivocal = true
	}
}

// holds reports whether the node of a reply holds it, by showing it or, when asked with a seq, by naming its seq.
func (s *search) holds(r *reply, it *bep44.Item) bool {
	if r.item != nil {
		return r.seq == it.Seq && string(r.item.value) == string(it.Value)
	}
	return s.opts.Seq != nil && r.hasSeq && r.seq == *s.opts.Seq && r.seq == it.Seq
}

func (s *search) enough() bool {
	return s.opts.Enough > 0 && s.best != nil && len(s.holders(s.best)) >= s.opts.Enough
}

// holders returns the nodes that hold it, nearest first.
func (s *search) holders(it *bep44.Item) []Contact {
	var out []Contact
	for _, n := range s.lookup.nodes {
		if n.state == answered && s.holds(n.reply, it) {
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
	var out []Contact
	for _, n := range s.lookup.closest(s.opts.K + s.opts.K/2) {
		out = append(out, n.Contact)
	}
	return out
}
