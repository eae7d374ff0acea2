package mainline

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// world is a network without sockets: every node knows eight others at each distance, as Kademlia nodes do.
type world struct {
	rng   *rand.Rand
	nodes []Contact // sorted by id
	dead  map[netip.AddrPort]bool
}

func newWorld(size int, deadShare float64) *world {
	w := &world{rng: rand.New(rand.NewPCG(uint64(size), 7)), dead: make(map[netip.AddrPort]bool)}
	for i := range size {
		var c Contact
		for j := range c.ID {
			c.ID[j] = byte(w.rng.Uint32())
		}
		ip := binary.BigEndian.AppendUint32(nil, 0x01000000+uint32(i)<<8)
		c.Addr = netip.AddrPortFrom(netip.AddrFrom4([4]byte(ip)), 6881)
		w.dead[c.Addr] = w.rng.Float64() < deadShare
		w.nodes = append(w.nodes, c)
	}
	return w
}

// nearest returns the k nodes nearest to target, only live ones if live.
func (w *world) nearest(target [20]byte, k int, live bool) []Contact {
	nodes := slices.Clone(w.nodes)
	if live {
		nodes = slices.DeleteFunc(nodes, func(c Contact) bool { return w.dead[c.Addr] })
	}
	slices.SortFunc(nodes, func(a, b Contact) int { return compareDistance(target, a.ID, b.ID) })
	return nodes[:min(k, len(nodes))]
}

// answer is what the node with this id replies: the eight nearest to target of those that its table holds.
func (w *world) answer(id, target [20]byte) *reply {
	var counts [161]int
	var table []Contact
	for _, i := range w.rng.Perm(len(w.nodes)) {
		bits := 0
		for bits < 160 && (id[bits/8]^w.nodes[i].ID[bits/8])>>(7-bits%8)&1 == 0 {
			bits++
		}
		if counts[bits]++; bits < 160 && counts[bits] <= 8 {
			table = append(table, w.nodes[i])
		}
	}
	slices.SortFunc(table, func(a, b Contact) int { return compareDistance(target, a.ID, b.ID) })
	return &reply{id: id, token: []byte("t"), nodes: AppendCompact(nil, table[:min(8, len(table))])}
}

func always(netip.AddrPort) bool { return true }

// run drives a lookup through the world; each round the nodes asked either answer or stay silent for good.
func (w *world) run(l *lookup) {
	now := time.Now()
	for range 1000 {
		first := len(l.slots)
		for n := l.next(always); n != nil; n = l.next(always) {
			l.ask(n, now)
		}
		for slot := first; slot < len(l.slots); slot++ {
			if n := l.slots[slot]; !w.dead[n.Addr] {
				r := w.answer(n.ID, l.target)
				l.answer(slot, r)
				nodes, _ := ParseCompact(r.nodes)
				for _, c := range nodes {
					l.add(candidate{Contact: c, hasID: true}, false)
				}
			}
		}
		now = now.Add(time.Second)
		l.expire(now, time.Second)
		if l.done() {
			return
		}
	}
	panic("the lookup does not end")
}

func TestLookupFindsTheNearestLiveNodes(t *testing.T) {
	t.Parallel()
	for _, deadShare := range []float64{0, 0.3} {
		w := newWorld(1000, deadShare)
		for trial := range 5 {
			target := [20]byte{byte(trial * 50), 7}
			l := newLookup(target, 8, 4, noNeighbours)
			for _, i := range w.rng.Perm(len(w.nodes))[:8] {
				l.add(candidate{Contact: w.nodes[i], hasID: true}, false)
			}
			w.run(l)
			found := 0
			want := w.nearest(target, 8, true)
			for _, c := range l.closest(8) {
				if slices.Contains(want, c.Contact) {
					found++
				}
			}
			// Among dead nodes no table may name one of the eight.
			if found < 7 || deadShare == 0 && found < 8 {
				t.Errorf("dead %v, trial %d: found %d of the nearest 8", deadShare, trial, found)
			}
			if asked := len(l.slots); asked > 45 {
				t.Errorf("dead %v, trial %d: asked %d nodes", deadShare, trial, asked)
			}
		}
	}
}

// After an outage of our own network nearly all nodes count as silent. A lookup
// that passes over them ends far from its target, and must notice.
func TestALookupThatPassesOverTooManyAsksThemAfterAll(t *testing.T) {
	t.Parallel()
	w := newWorld(1000, 0)
	target := [20]byte{50, 7}
	l := newLookup(target, 8, 4, noNeighbours)
	for _, i := range w.rng.Perm(len(w.nodes))[:8] {
		l.add(candidate{Contact: w.nodes[i], hasID: true}, false)
	}
	near := w.nearest(target, 40, true)
	for _, c := range near {
		l.add(candidate{Contact: c, hasID: true}, true)
	}
	w.run(l)
	if l.passedOver() < 8 {
		t.Fatalf("passed over %d, and found %v", l.passedOver(), l.closest(8))
	}
	l.relent()
	w.run(l)
	for i, c := range l.closest(8) {
		if c.Contact != near[i] {
			t.Errorf("the nearest node number %d is %v, want %v", i, c.Contact, near[i])
		}
	}
	if n := l.passedOver(); n != 0 {
		t.Errorf("passed over %d", n)
	}
}

func contact(last byte, addr string) Contact {
	return Contact{ID: [20]byte{19: last}, Addr: netip.MustParseAddrPort(addr)}
}

func TestOneNodePerAddressAndTwoPerNetwork(t *testing.T) {
	t.Parallel()
	l := newLookup([20]byte{}, 8, 8, noNeighbours)
	for i, addr := range []string{"1.1.1.1:2000", "1.1.1.1:2001", "1.1.1.2:2000", "1.1.1.3:2000", "1.1.2.1:2000"} {
		l.add(candidate{Contact: contact(byte(i+1), addr), hasID: true}, false)
	}
	var asked []string
	for n := l.next(always); n != nil; n = l.next(always) {
		l.ask(n, time.Now())
		asked = append(asked, n.Addr.String())
	}
	if want := []string{"1.1.1.1:2000", "1.1.1.2:2000", "1.1.2.1:2000"}; !slices.Equal(asked, want) {
		t.Errorf("asked %v, want %v", asked, want)
	}
}

func TestRefreshAsksNobodyThatOnlyOneNodeNames(t *testing.T) {
	t.Parallel()
	l := newLookup([20]byte{}, 8, 8, noNeighbours)
	l.add(candidate{Contact: contact(9, "9.1.1.1:2000"), hasID: true}, false)
	l.corroborate(2)
	now := time.Now()
	for n := l.next(always); n != nil; n = l.next(always) {
		l.answer(l.ask(n, now), &reply{id: n.ID, token: []byte("t")})
	}
	invented, live := contact(1, "1.1.1.1:2000"), contact(2, "2.1.1.1:2000")
	for _, c := range []Contact{invented, live, live} {
		l.add(candidate{Contact: c, hasID: true}, false)
		l.name(c)
	}
	if l.done() {
		t.Error("done before all that several name were asked")
	}
	if n := l.next(always); n == nil || n.Contact != live {
		t.Fatalf("asked %v", n)
	} else {
		l.answer(l.ask(n, now), &reply{id: n.ID, token: []byte("t")})
	}
	if n := l.next(always); n != nil || !l.done() {
		t.Errorf("asked %v, whom one node names", n)
	}
}

func TestNodeCountsUnderTheIDThatItAnswersWith(t *testing.T) {
	t.Parallel()
	l := newLookup([20]byte{}, 1, 4, noNeighbours)
	l.add(candidate{Contact: contact(1, "1.1.1.1:2000"), hasID: true}, false) // a stranger's lie
	l.add(candidate{Contact: contact(2, "2.1.1.1:2000"), hasID: true}, false)
	far := [20]byte{0: 0xff}
	slot := l.ask(l.next(always), time.Now())
	l.answer(slot, &reply{id: far, token: []byte("t")})
	slot = l.ask(l.next(always), time.Now())
	l.answer(slot, &reply{id: [20]byte{19: 2}, token: []byte("t")})
	if got := l.closest(2); len(got) != 2 || got[0].ID != [20]byte{19: 2} || got[1].ID != far {
		t.Errorf("got %v", got)
	}
}

func TestSilentNodesAreTheLastResort(t *testing.T) {
	t.Parallel()
	l := newLookup([20]byte{}, 8, 4, noNeighbours)
	l.add(candidate{Contact: contact(1, "1.1.1.1:2000"), hasID: true}, true)
	l.add(candidate{Contact: contact(2, "2.1.1.1:2000"), hasID: true}, false)
	n := l.next(always)
	if n.ID[19] != 2 {
		t.Fatal("asked the silent node first")
	}
	now := time.Now()
	l.ask(n, now)
	if l.next(always) != nil || l.done() {
		t.Error("does not wait for the other node")
	}
	l.expire(now.Add(time.Second), time.Second)
	if l.next(always) != nil || !l.done() {
		t.Error("asks the silent node")
	}
	l.relent()
	if n = l.next(always); n == nil || n.ID[19] != 1 {
		t.Fatal("gave up although a node was left")
	}
	l.answer(l.ask(n, now), &reply{id: n.ID, token: []byte("t")})
	if n = l.next(always); n == nil || n.ID[19] != 2 {
		t.Fatal("does not ask again who was silent only now")
	}
	l.answer(l.ask(n, now), &reply{id: n.ID, token: []byte("t")})
	if !l.done() {
		t.Error("not done")
	}
}

func TestLateReplyStillCounts(t *testing.T) {
	t.Parallel()
	l := newLookup([20]byte{}, 2, 1, noNeighbours)
	l.add(candidate{Contact: contact(1, "1.1.1.1:2000"), hasID: true}, false)
	l.add(candidate{Contact: contact(2, "2.1.1.1:2000"), hasID: true}, false)
	now := time.Now()
	late := l.ask(l.next(always), now)
	if l.next(always) != nil {
		t.Error("asks two at a time")
	}
	l.expire(now.Add(time.Second), time.Second)
	n := l.next(always)
	if n == nil || n.ID[19] != 2 {
		t.Fatal("waits for the silent node")
	}
	l.answer(l.ask(n, now), &reply{id: n.ID, token: []byte("t")})
	if !l.done() {
		t.Error("the end waits for the silent node")
	}
	l.answer(late, &reply{id: [20]byte{19: 1}, token: []byte("t")})
	if got := l.closest(2); len(got) != 2 || got[0].ID[19] != 1 {
		t.Errorf("got %v", got)
	}
}

func TestLookupIsBounded(t *testing.T) {
	t.Parallel()
	l := newLookup([20]byte{}, 8, 4, func(*candidate, []*candidate) bool { return false })
	now := time.Now()
	next := uint32(1 << 24)
	add := func() { // ever nearer nodes, none of which exists
		for range maxNodes {
			next--
			var c Contact
			binary.BigEndian.PutUint32(c.ID[16:], next)
			c.Addr = netip.AddrPortFrom(netip.AddrFrom4([4]byte{1, byte(next >> 16), byte(next >> 8), byte(next)}), 2000)
			l.add(candidate{Contact: c, hasID: true}, false)
		}
	}
	add()
	rounds := 0
	for ; !l.done(); rounds++ {
		for n := l.next(always); n != nil; n = l.next(always) {
			l.ask(n, now)
			add()
		}
		now = now.Add(time.Second)
		l.expire(now, time.Second)
	}
	if len(l.slots) != maxQueries || len(l.nodes) > maxCandidates {
		t.Errorf("asked %d, kept %d", len(l.slots), len(l.nodes))
	}
	if rounds > 10 {
		t.Errorf("%d rounds of waiting for nodes that do not exist", rounds)
	}
}
