package mainline

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// giveUp is when an unanswered query counts against its node. Lookups go on without it long before.
const giveUp = 2 * time.Second

// outbox sends our queries and hands each reply to whoever asked. A reply counts only if it comes from the address that
// was asked and repeats the random transaction id.
type outbox struct {
	guard    *guard
	id       [20]byte
	readOnly bool
	budget   *rate.Limiter // packets a second to everyone, shared with the library
	courtesy *courtesy
	known    *known

	mu      sync.Mutex
	calls   map[callKey]call
	overdue []expiry // in the order in which queries were sent
	rtt     roundTrip
	queries int64
}

type callKey struct {
	to  netip.AddrPort
	tid [tidSize]byte
}

type call struct {
	slot   int
	reply  chan<- event // buffered for every query of its owner
	sentAt time.Time
	id     [20]byte
}

type expiry struct {
	callKey
	at time.Time
}

// send sends q to a node once the global budget allows. The reply comes as an event with the slot on to, which must
// have room for it, or never. An error means that nothing was sent.
func (o *outbox) send(ctx context.Context, q query, node Contact, slot int, to chan<- event) error {
	if err := o.budget.Wait(ctx); err != nil {
		return err
	}
	var key callKey
	key.to = node.Addr
	binary.BigEndian.PutUint64(key.tid[:], rand.Uint64()) // seeded by the system, not predictable
	now := time.Now()
	o.mu.Lock()
	o.calls[key] = call{slot: slot, reply: to, sentAt: now, id: node.ID}
	o.overdue = append(o.overdue, expiry{key, now.Add(giveUp)})
	o.queries++
	o.mu.Unlock()
	o.sweep(now)
	err := o.guard.send(q.encode(o.id, key.tid, o.readOnly), node.Addr)
	if err != nil {
		o.mu.Lock()
		delete(o.calls, key)
		o.mu.Unlock()
	}
	return err
}

// pace waits until a message may be sent to addr.
func (o *outbox) pace(ctx context.Context, addr netip.AddrPort) error {
	for {
		wait := o.courtesy.take(addr, time.Now())
		if wait == 0 {
			return nil
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// deliver hands a reply to the query that it answers; false if there is none.
func (o *outbox) deliver(from netip.AddrPort, p packet) bool {
	if len(p.tid) != tidSize {
		return false
	}
	key := callKey{from, [tidSize]byte(p.tid)}
	now := time.Now()
	o.mu.Lock()
	c, ok := o.calls[key]
	if ok {
		delete(o.calls, key)
		o.rtt.observe(now.Sub(c.sentAt))
	}
	o.mu.Unlock()
	if !ok {
		return false
	}
	r := newReply(p)
	o.courtesy.alive(from)
	if r.code == 0 {
		o.known.add(Contact{r.id, from}, now)
	}
	c.reply <- event{slot: c.slot, reply: r}
	return true
}

// sweep forgets queries that nobody answered in time, and remembers their nodes as dead. It runs with every query, so
// it needs no goroutine of its own.
func (o *outbox) sweep(now time.Time) {
	var dead []Contact
	o.mu.Lock()
	done := 0
	for done < len(o.overdue) && o.overdue[done].at.Before(now) {
		e := o.overdue[done]
		if c, waiting := o.calls[e.callKey]; waiting {
			delete(o.calls, e.callKey)
			dead = append(dead, Contact{c.id, e.to})
		}
		done++
	}
	o.overdue = o.overdue[done:]
	o.mu.Unlock()
	for _, c := range dead {
		o.courtesy.silent(c.Addr, now)
		o.known.remove(c)
	}
}

// patience is how long a reply usually takes at most. A lookup stops waiting for a node after that, but takes its late
// reply as long as it runs.
func (o *outbox) patience() time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.rtt.timeout()
}

// roundTrip estimates how long replies take, as TCP does (RFC 6298).
type roundTrip struct{ mean, deviation time.Duration }

const (
	minPatience = 250 * time.Millisecond
	maxPatience = time.Second
)

func (r *roundTrip) observe(d time.Duration) {
	if r.mean == 0 {
		r.mean, r.deviation = d, d/2
		return
	}
	r.deviation += ((d - r.mean).Abs() - r.deviation) / 4
	r.mean += (d - r.mean) / 8
}

func (r *roundTrip) timeout() time.Duration {
	if r.mean == 0 {
		return maxPatience
	}
	return min(max(r.mean+4*r.deviation, minPatience), maxPatience)
}
