package mainline

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"github.com/relaymesh/relaymesh/pkg/bep44"
)

// wired is a node in a world without sockets, whose queries are answered after
// delay, unless they are lost.
type wired struct {
	*Node
	world *world
	seen  map[uint64]bool // queries, by transaction id
	lost  func(to Contact, since time.Duration) bool
}

const delay = 10 * time.Millisecond

func newWired(t *testing.T, w *world) *wired {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	conn.Close() // what is sent is lost: the test reads it from the outbox
	n := &Node{routing: newRoutingTable(false), closing: make(chan struct{}), routers: &routers{}}
	for _, c := range w.nodes {
		n.routing.add(c, time.Now())
	}
	n.guard = newGuard(conn, Config{})
	n.outbox = &outbox{
		guard: n.guard, limiter: newRateLimiter(-1), routing: n.routing, calls: map[uint64]call{}, budget: rate.NewLimiter(rate.Inf, 0),
	}
	n.outbox.clock = time.AfterFunc(tick, n.outbox.passTime)
	return &wired{Node: n, world: w, seen: map[uint64]bool{}}
}

// while answers the queries, but those that are lost, until do returns.
func (n *wired) while(lost func(to Contact, since time.Duration) bool, do func()) {
	var serving sync.WaitGroup
	stop := make(chan struct{})
	n.lost = lost
	serving.Go(func() { n.serve(stop) })
	do()
	close(stop)
	serving.Wait()
}

func (n *wired) serve(stop <-chan struct{}) {
	begun := time.Now()
	for {
		select {
		case <-stop:
			return
		case <-time.After(time.Millisecond):
		}
		now := time.Now()
		n.outbox.mu.Lock()
		due := map[uint64]call{}
		for tid, c := range n.outbox.calls {
			if now.Sub(c.sentAt) >= delay && !n.seen[tid] {
				n.seen[tid] = true
				due[tid] = c
			}
		}
		n.outbox.mu.Unlock()
		for tid, c := range due {
			if n.lost(c.to, c.sentAt.Sub(begun)) {
				continue
			}
			body := fmt.Sprintf("d2:id20:%se", c.to.ID)
			if s, is := c.asker.(*search); is {
				r := n.world.answer(c.to.ID, s.lookup.target)
				body = fmt.Sprintf("d2:id20:%s5:nodes%d:%s5:token1:te", r.id, len(r.nodes), r.nodes)
			}
			n.outbox.deliver(c.to.Addr, packet{kind: 'r', tid: binary.BigEndian.AppendUint64(nil, tid), body: []byte(body)})
		}
	}
}

// A search that our own network fails in must not end among the nodes that were
// asked when it was back: nobody looks there for what is put.
func TestASearchThatMeetsAnOutageEndsNearItsTarget(t *testing.T) {
	const ms = time.Millisecond
	for _, begins := range []time.Duration{0, delay, 2 * delay, 3 * delay} {
		for _, lasts := range []time.Duration{
			0, 100 * ms, 300 * ms, 400 * ms, 500 * ms, 600 * ms, 700 * ms, 800 * ms, 900 * ms, time.Second, 1200 * ms, 1500 * ms,
			2 * time.Second, 3 * time.Second, 8 * time.Second,
		} {
			t.Run(fmt.Sprintf("of %s after %s", lasts, begins), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { meetOutage(t, begins, lasts) })
			})
		}
	}
}

func meetOutage(t *testing.T, begins, lasts time.Duration) {
	w := newWorld(100, 0)
	n := newWired(t, w)
	target := [20]byte{50, 7}
	get := func() (got GetResult) {
		for err := ErrNoAnswer; err != nil; {
			if got, err = n.Get(t.Context(), target, nil, GetOptions{K: 16}); err != nil && !errors.Is(err, ErrNoAnswer) {
				t.Fatal(err)
			}
		}
		return got
	}
	n.while(never, func() { get() }) // from now on it is known how long replies take
	var got GetResult
	n.while(func(_ Contact, since time.Duration) bool { return since >= begins && since < begins+lasts }, func() { got = get() })
	var found []int
	asked := w.nearest(target, defaultK, true) // by whoever reads
	for i, c := range asked {
		if slices.Contains(got.Closest, c) {
			found = append(found, i)
		}
	}
	if len(found) < len(asked)/2 {
		t.Errorf("of the nearest eight only number %v were found", found)
	}
}

func never(Contact, time.Duration) bool { return false }

// The item may be nowhere that others look if packets to several of the nearest
// nodes get lost.
func TestAPutThatIsNotAcknowledgedIsSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(100, 0)
		n := newWired(t, w)
		target := [20]byte{50, 7}
		s := n.newSearch(target, nil, GetOptions{})
		n.while(never, func() {
			if err := s.run(t.Context()); err != nil {
				t.Fatal(err)
			}
		})
		near := w.nearest(target, defaultK, true)
		sent, lost := map[Contact]int{}, near[2:5]
		n.while(func(to Contact, _ time.Duration) bool {
			sent[to]++
			return sent[to] == 1 && slices.Contains(lost, to)
		}, func() {
			s.best = &bep44.Item{}
			if err := s.putTo(t.Context(), s.lookup.closest(defaultK)); err != nil {
				t.Error(err)
			}
		})
		for i, c := range near {
			want := 1
			if slices.Contains(lost, c) {
				want = 2
			}
			if sent[c] != want {
				t.Errorf("the item was sent %d times to number %d, want %d", sent[c], i, want)
			}
		}
	})
}
