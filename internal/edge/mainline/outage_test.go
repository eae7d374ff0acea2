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
)

// wired is a node in a world without sockets, whose queries are answered after
// delay, or never while the network is out.
type wired struct {
	*Node
	world *world
	seen  map[uint64]bool // queries, by transaction id
	out   func(since time.Duration) bool
}

const delay = 10 * time.Millisecond

func newWired(t *testing.T, w *world) *wired {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	conn.Close() // what is sent is lost: the test reads it from the outbox
	n := &Node{known: newKnown(false), closing: make(chan struct{}), routers: &routers{}}
	for _, c := range w.nodes {
		n.known.add(c, time.Now())
	}
	n.guard = newGuard(conn, Config{})
	n.outbox = &outbox{
		guard: n.guard, courtesy: newCourtesy(-1), known: n.known, calls: map[uint64]call{}, budget: rate.NewLimiter(rate.Inf, 0),
	}
	n.outbox.clock = time.AfterFunc(tick, n.outbox.passTime)
	return &wired{Node: n, world: w, seen: map[uint64]bool{}}
}

// serve answers the queries until stop is closed.
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
			if n.out(c.sentAt.Sub(begun)) || n.world.dead[c.to.Addr] {
				continue
			}
			r := n.world.answer(c.to.ID, c.asker.(*search).lookup.target)
			body := fmt.Sprintf("d2:id20:%s5:nodes%d:%s5:token1:te", r.id, len(r.nodes), r.nodes)
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
	get := func(out func(time.Duration) bool) (got GetResult) {
		var serving sync.WaitGroup
		stop := make(chan struct{})
		n.out = out
		serving.Go(func() { n.serve(stop) })
		defer serving.Wait()
		defer close(stop)
		for err := ErrNoAnswer; err != nil; {
			if got, err = n.Get(t.Context(), target, nil, GetOptions{K: 16}); err != nil && !errors.Is(err, ErrNoAnswer) {
				t.Fatal(err)
			}
		}
		return got
	}
	get(func(time.Duration) bool { return false }) // from now on it is known how long replies take
	got := get(func(since time.Duration) bool { return since >= begins && since < begins+lasts })
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
