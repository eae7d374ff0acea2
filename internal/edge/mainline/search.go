package mainline

import (
	"context"
	"net/netip"
	"time"

	"github.com/relaymesh/relaymesh/pkg/bep44"
)

// search runs one lookup against the network, and verifies the items or counts the peers that nodes return. While it runs, its
// fields belong to who holds the outbox's lock; afterwards, to who ran it.
type search struct {
	node   *Node
	salt   []byte
	opts   GetOptions
	lookup *lookup
	query  query

	peers *peerTally // if peers are looked up, not an item

	verified  []*bep44.Item // each item is verified once
	best      *bep44.Item
	equivocal bool

	wake    time.Time // when to look at the clock again
	starved bool      // by the global budget: there is somebody to ask
	breadth breadth

	done  chan struct{}   // closed at the end
	stuck chan struct{}   // asks for a wider start
	news  chan bep44.Item // for opts.OnItem
}

// breadth is from how many nodes a search started.
type breadth uint8

const (
	narrow breadth = iota
	widening
	wide
)

const (
	defaultK     = 8 // BEP 5: as many as a node returns
	defaultAlpha = 3 // Kademlia
)

func (n *Node) newSearch(target [20]byte, salt []byte, opts GetOptions) *search {
	if opts.K == 0 {
		opts.K = defaultK
	}
	if opts.Alpha == 0 {
		opts.Alpha = defaultAlpha
	}
	crowded := noNeighbours
	if n.config.AllowPrivate {
		crowded = func(*candidate, []*candidate) bool { return false }
	}
	s := &search{
		node: n, salt: salt, opts: opts, query: getQuery(target, opts.Seq),
		lookup: newLookup(target, opts.K, opts.Alpha, crowded),
		done:   make(chan struct{}), stuck: make(chan struct{}, 1),
	}
	if opts.OnItem != nil {
		s.news = make(chan bep44.Item, maxQueries)
	}
	if opts.Enough > 0 {
		s.lookup.calm = 2 // what is asked in haste is asked in vain when the first answers end the lookup
	}
	now := time.Now()
	s.addAll(opts.Seeds, now)
	if len(opts.Seeds) < opts.K {
		s.addAll(n.seeds(target, max(opts.K, 2*opts.Alpha)), now)
	}
	return s
}

func (s *search) addAll(contacts []Contact, now time.Time) {
	for _, c := range contacts {
		s.add(c, now)
	}
}

func (s *search) add(c Contact, now time.Time) {
	if dialable(c.Addr, s.node.config.AllowPrivate) && s.lookup.wants(c) && c.ID != s.node.id {
		s.lookup.add(candidate{Contact: c, hasID: true}, s.node.outbox.limiter.isDead(c.Addr, now))
	}
}

// run returns when the lookup is done, when enough holders have answered, or when the context ends.
func (s *search) run(ctx context.Context) error {
	outbox := s.node.outbox
	outbox.start(s)
	for ended := false; !ended; {
		select {
		case <-s.done:
			ended = true
		case it := <-s.news:
			s.opts.OnItem(it)
		case <-s.stuck:
			s.widen()
		case <-ctx.Done():
			outbox.stop(s)
			return ctx.Err()
		case <-s.node.closing:
			outbox.stop(s)
			return errClosed
		}
	}
	for len(s.news) > 0 {
		s.opts.OnItem(<-s.news)
	}
	if s.lookup.answers == 0 {
		return ErrNoAnswer
	}
	return nil
}

// manySeeds are enough for some of them to be alive even after a night offline.
const manySeeds = 64

// widen adds many more seeds, those that were silent lately, and the bootstrap nodes if nobody has answered: for a lookup that
// came to its end before K nodes had answered, or after it had passed over as many near ones as others ask.
func (s *search) widen() {
	outbox := s.node.outbox
	seeds := s.node.seeds(s.lookup.target, manySeeds)
	outbox.mu.Lock()
	alone := s.lookup.answers == 0
	outbox.mu.Unlock()
	var routers []netip.AddrPort
	if alone {
		routers = s.node.routers.addresses() // may wait for the resolver
	}
	now := time.Now()
	outbox.resume(s, func() {
		s.addAll(seeds, now)
		for _, addr := range routers {
			s.lookup.add(candidate{Contact: Contact{Addr: addr}, router: true}, false)
		}
		s.lookup.relent()
		s.breadth = wide
	})
}

// step asks everybody who should be asked now, and ends the search when there is nobody left to ask or to wait for.
func (s *search) step(now time.Time) {
	waiting := s.ask(now)
	switch {
	case s.enough():
	case waiting && !s.lookup.done():
		return
	case s.breadth == narrow && (len(s.lookup.closest(s.opts.K)) < s.opts.K || s.lookup.passedOver() >= defaultK):
		s.breadth = widening
		s.stuck <- struct{}{}
		return
	case s.breadth == widening:
		return
	}
	s.node.outbox.end(s)
}

// ask sends every query that may be sent now, sets when to look again if nothing arrives, and reports whether there is something to
// wait for.
func (s *search) ask(now time.Time) (waiting bool) {
	outbox := s.node.outbox
	s.starved = false
	var wait time.Duration // until some address may be sent to again
	may := func(addr netip.AddrPort) bool {
		if s.starved = !outbox.afford(now); s.starved {
			return false
		}
		if w := outbox.limiter.reserve(addr, now); w > 0 {
			if wait == 0 || w < wait {
				wait = w
			}
			return false
		}
		outbox.budget.AllowN(now, 1)
		return true
	}
	patience := outbox.rtt.timeout()
	s.lookup.expire(now, patience)
	for n := s.lookup.next(may); n != nil; n = s.lookup.next(may) {
		q := s.query
		if n.router {
			q = findNodeQuery(s.lookup.target)
		}
		outbox.post(q, n.Contact, s.lookup.ask(n, now), s, now)
	}
	s.wake = s.lookup.expire(now, patience)
	if wait > 0 && (s.wake.IsZero() || s.wake.Sub(now) > wait) {
		s.wake = now.Add(wait)
	}
	return !s.wake.IsZero() || s.starved
}

// answered takes a reply: its nodes become candidates, its item is judged.
func (s *search) answered(slot int, r *reply, now time.Time) {
	if s.ended() {
		return
	}
	if n := s.lookup.answer(slot, r); n.state == answered {
		for b := r.nodes; len(b) >= compactSize; b = b[compactSize:] {
			c := parseContact(b)
			s.add(c, now)
			s.lookup.name(c)
		}
		s.judge(n, r)
		s.lookup.admit(n)
	}
	s.step(now)
}

// judge notes what a reply holds of that which is looked up.
func (s *search) judge(n *candidate, r *reply) {
	if s.peers != nil {
		s.peers.count(r.values)
		return
	}
	n.item = s.verifyValue(r)
	n.hasSeq = r.hasSeq && (r.value == nil) == (n.item == nil)
}

func (s *search) ended() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}
