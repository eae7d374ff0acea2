package mainline

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// outbox sends our queries and hands each reply to whoever asked. A reply counts only if it comes from the address that
// was asked and repeats the random transaction id.
//
// Everything that a node has under way is handled under the one lock mu, by whichever goroutine has news for it: the one
// that reads the socket for a reply, the clock for what did not come, the caller for its start. No goroutine has to wake up
// for another one until a search has come to its end.
type outbox struct {
	guard    *guard
	sending  sync.Mutex // held while a batch is sent
	id       [20]byte
	readOnly bool
	budget   *rate.Limiter // packets a second to everyone, shared with the library
	limiter  *rateLimiter
	routing  *routingTable

	mu      sync.Mutex
	calls   map[uint64]call // by transaction id
	overdue []expiry        // in the order in which queries were sent
	queued  queue
	spare   queue // the one that was sent before, for its memory
	running []*search
	clock   *time.Timer // runs while a search does
	due     time.Time   // when the clock goes off; zero before the first search
	late    bool        // the last time it was late
	rtt     roundTrip
	outages outageDetector
	queries int64
}

// asker gets the replies to its queries. It is called with the outbox's lock held, and must copy what it keeps of a reply.
type asker interface {
	answered(slot int, r *reply, now time.Time)
}

type call struct {
	asker  asker
	slot   int // which of the asker's queries it is
	to     Contact
	sentAt time.Time
}

type expiry struct {
	tid uint64
	at  time.Time
}

const (
	// giveUp is when an unanswered query counts against its node. Lookups go on without it long before.
	giveUp = 2 * time.Second
	// tick is how exactly the clock tells searches that time has passed.
	tick = 20 * time.Millisecond
	// mostLate is how late the clock may be. Beyond that this process has stood still.
	mostLate = 100 * time.Millisecond
)

// post queues q for a node; flush sends it. The reply comes to by with the slot, or never: to an address that is not dialable,
// nothing is sent. The caller holds mu and has the leave of rate limiter and budget.
func (o *outbox) post(q query, to Contact, slot int, by asker, now time.Time) {
	if !dialable(to.Addr, o.guard.allowPrivate) {
		return
	}
	tid := rand.Uint64() // seeded by the system, not predictable
	o.calls[tid] = call{asker: by, slot: slot, to: to, sentAt: now}
	o.overdue = append(o.overdue, expiry{tid, now.Add(giveUp)})
	o.queries++
	o.outages.querySent(now)
	var text [tidSize]byte
	binary.BigEndian.PutUint64(text[:], tid)
	o.queued.bytes = q.append(o.queued.bytes, o.id, text, o.readOnly)
	o.queued.packets = append(o.queued.packets, outgoing{len(o.queued.bytes), to.Addr})
}

// afford reports whether the global budget allows a packet now.
func (o *outbox) afford(now time.Time) bool {
	return o.budget.Limit() == rate.Inf || o.budget.TokensAt(now) >= 1
}

// admit waits until a message may be sent to addr. What is queued goes out before it waits.
func (o *outbox) admit(ctx context.Context, addr netip.AddrPort) error {
	for wait := o.limiter.reserve(addr, time.Now()); wait > 0; wait = o.limiter.reserve(addr, time.Now()) {
		o.flush()
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if o.budget.Allow() {
		return nil
	}
	o.flush()
	return o.budget.Wait(ctx)
}

// flush sends what is queued.
func (o *outbox) flush() {
	o.mu.Lock()
	empty := len(o.queued.packets) == 0
	o.mu.Unlock()
	if empty {
		return
	}
	o.sending.Lock()
	defer o.sending.Unlock()
	o.mu.Lock()
	q := o.queued
	o.queued = o.spare
	o.mu.Unlock()
	o.guard.sendAll(q.messages())
	o.mu.Lock()
	o.spare = q.emptied()
	o.mu.Unlock()
}

// deliver hands a reply to the query that it answers; false if there is none.
func (o *outbox) deliver(from netip.AddrPort, p packet) bool {
	if len(p.tid) != tidSize {
		return false
	}
	tid := binary.BigEndian.Uint64(p.tid)
	now := time.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	c, ok := o.calls[tid]
	if !ok || c.to.Addr != from {
		return false
	}
	delete(o.calls, tid)
	o.outages.replyReceived(now, o.rtt.timeout())
	o.rtt.observe(now.Sub(c.sentAt))
	r := newReply(p)
	o.limiter.alive(from)
	if r.code == 0 {
		o.routing.add(Contact{r.id, from}, now)
	}
	c.asker.answered(c.slot, &r, now)
	return true
}

// start begins a search. It ends by itself, or with stop.
func (o *outbox) start(s *search) {
	o.mu.Lock()
	o.running = append(o.running, s)
	if len(o.running) == 1 {
		o.wind(time.Now())
	}
	s.step(time.Now())
	o.mu.Unlock()
	o.flush()
}

// resume lets a search that runs go on after change, if it has not ended.
func (o *outbox) resume(s *search, change func()) {
	o.mu.Lock()
	if !s.ended() {
		change()
		s.step(time.Now())
	}
	o.mu.Unlock()
	o.flush()
}

// stop ends a search that nobody waits for any more.
func (o *outbox) stop(s *search) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.end(s)
}

// end takes a search out of those that run, and wakes who waits for it. From then on nothing changes it. The caller holds mu.
func (o *outbox) end(s *search) {
	if i := slices.Index(o.running, s); i >= 0 {
		o.running = slices.Delete(o.running, i, i+1)
		close(s.done)
	}
}

// wind sets the clock. The caller holds mu.
func (o *outbox) wind(now time.Time) {
	o.due = now.Add(tick)
	o.clock.Reset(tick)
}

// stoodStill reports whether the clock goes off much too late, for the first time in a row: this process or its machine was busy or
// asleep, and replies that came meanwhile wait in the socket. They are to be read before anybody is called silent.
func (o *outbox) stoodStill(now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.late = !o.late && !o.due.IsZero() && now.Sub(o.due) > mostLate
	if o.late {
		o.wind(now)
	}
	return o.late
}

// passTime lets the searches go on for which something is due, those that run longest first: they get what the budget has.
func (o *outbox) passTime() {
	now := time.Now()
	if o.stoodStill(now) {
		return
	}
	o.sweep(now)
	o.mu.Lock()
	affords := o.afford(now)
	for _, s := range slices.Clone(o.running) {
		if due := !s.wake.IsZero() && !s.wake.After(now); due || s.starved && affords {
			s.step(now)
			affords = affords && !s.starved
		}
	}
	if len(o.running) > 0 {
		o.wind(now)
	}
	o.mu.Unlock()
	o.flush()
}

// sweep forgets queries that nobody answered in time, and remembers their nodes as dead; but not if nobody at all has answered
// since, or for a while, because then it is our own network that failed. After the last search it is left undone until the next one.
func (o *outbox) sweep(now time.Time) {
	var dead []Contact
	o.mu.Lock()
	done := 0
	for done < len(o.overdue) && o.overdue[done].at.Before(now) {
		tid := o.overdue[done].tid
		if c, waiting := o.calls[tid]; waiting {
			delete(o.calls, tid)
			if o.outages.nodeAtFault(c.sentAt) {
				dead = append(dead, c.to)
			}
		}
		done++
	}
	o.overdue = o.overdue[done:]
	o.mu.Unlock()
	for _, c := range dead {
		o.limiter.silent(c.Addr, o.routing.remove(c), now)
	}
}

// patience is how long a reply usually takes at most. A lookup stops waiting for a node after that, but takes its late
// reply as long as it runs.
func (o *outbox) patience() time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.rtt.timeout()
}
