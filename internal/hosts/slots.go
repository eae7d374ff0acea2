package hosts

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	// perHost is how many slots of a worker one host has that has proved nothing,
	// and perHostWaiting how many of its jobs wait for them: with those that run,
	// one for each of its relays.
	perHost        = 2
	perHostWaiting = MaxURLs - perHost
	// maxQueued is how many jobs wait over all hosts that have proved nothing. It
	// is less than a worker takes from its queue, so that others get through.
	maxQueued = 96
	// slowAfter is how long a job of a host takes that counts as slow for slowFor from
	// then on, until a job of it takes less: silent ones take a handshake's 10 s. maxSlow
	// is how many such hosts are remembered.
	slowAfter = 5 * time.Second
	slowFor   = 10 * time.Minute
	maxSlow   = 4096
	// defaultSize is how many slots there are if nothing else is said.
	defaultSize = 16
)

// Slots are a worker's slots for work with relays. A quarter of them is kept for
// proven hosts and a quarter for those that have proved nothing; the half between
// goes to proven hosts first and to the others while no proven one waits. Among
// the others the turn goes round by host, so that one that is silent costs its
// own share only, and those whose last job was slow have half of the slots, so that
// many that are silent do not delay one that is not known yet. The zero value has 16 slots; it is safe for concurrent use.
type Slots struct {
	Size int // 0 is 16

	mu      sync.Mutex
	running int // altogether
	others  int // of them by hosts that have proved nothing
	proven  []*waiter
	hosts   map[string]*queue
	turns   []string             // hosts with jobs that wait, whose turn comes first
	waiting int                  // jobs of those hosts
	slow    map[string]time.Time // when hosts that were slow no longer count as such
	slowly  int                  // jobs that run of hosts that were slow when they began
}

// queue is a host's jobs that run, by number, and those that wait.
type queue struct {
	running int
	waiting []*waiter
}

// waiter is a job that waits: ready is closed when it has a slot, or err is set.
type waiter struct {
	ready chan struct{}
	err   error
	since time.Time // when it had its slot
	slow  bool      // its host was slow then
}

// Acquire waits for a slot for work with a host ([Of]). It fails with [ErrBusy]
// if as many jobs wait as may, which the host with the longest queue feels first,
// and with ctx's error.
func (s *Slots) Acquire(ctx context.Context, host string, proven bool) (release func(), err error) {
	w := &waiter{ready: make(chan struct{})}
	s.mu.Lock()
	if err := s.enqueue(w, host, proven); err != nil {
		s.mu.Unlock()
		return nil, err
	}
	s.grant()
	s.mu.Unlock()
	select {
	case <-w.ready:
		if w.err != nil {
			return nil, w.err
		}
	case <-ctx.Done():
		s.leave(w, host, proven)
		return nil, context.Cause(ctx)
	}
	return sync.OnceFunc(func() { s.release(w, host, proven) }), nil
}

func (s *Slots) enqueue(w *waiter, host string, proven bool) error {
	if proven {
		s.proven = append(s.proven, w)
		return nil
	}
	if s.hosts == nil {
		s.hosts = map[string]*queue{}
	}
	q := s.hosts[host]
	if q != nil && len(q.waiting) >= perHostWaiting || s.waiting >= maxQueued && !s.shorten(q) {
		return busy(host)
	}
	if q == nil {
		q = &queue{}
		s.hosts[host] = q
	}
	if len(q.waiting) == 0 {
		s.turns = append(s.turns, host)
	}
	q.waiting = append(q.waiting, w)
	s.waiting++
	return nil
}

// shorten takes the last job from the longest queue, unless a queue (nil is an
// empty one) is nearly as long; mu is held.
func (s *Slots) shorten(than *queue) bool {
	var longest string
	for host, q := range s.hosts {
		if longest == "" || len(q.waiting) > len(s.hosts[longest].waiting) {
			longest = host
		}
	}
	q := s.hosts[longest]
	if than != nil && len(q.waiting) <= len(than.waiting)+1 || len(q.waiting) <= 1 {
		return false
	}
	last := len(q.waiting) - 1
	q.waiting[last].err = busy(longest)
	close(q.waiting[last].ready)
	q.waiting = q.waiting[:last]
	s.waiting--
	return true
}

func busy(host string) error { return fmt.Errorf("%s: %w", host, ErrBusy) }

// grant gives the free slots away; mu is held.
func (s *Slots) grant() {
	size := cmp.Or(s.Size, defaultSize)
	s.grantOthers(size, size/4)
	for len(s.proven) > 0 && s.running < size {
		s.running++
		close(s.proven[0].ready)
		s.proven = s.proven[1:]
	}
	s.grantOthers(size, size-size/4)
}

// grantOthers gives free slots to hosts that have proved nothing, until these have
// so many; mu is held.
func (s *Slots) grantOthers(size, most int) {
	now := time.Now()
	for i := 0; i < len(s.turns) && s.others < most && s.running < size; {
		host := s.turns[i]
		q, slow := s.hosts[host], s.slow[host].After(now)
		if q.running >= perHost || slow && s.slowly >= max(most/2, 1) {
			i++
			continue
		}
		q.waiting[0].since, q.waiting[0].slow = now, slow
		if slow {
			s.slowly++
		}
		q.running++
		s.others++
		s.running++
		s.waiting--
		close(q.waiting[0].ready)
		q.waiting = q.waiting[1:]
		s.turns = slices.Delete(s.turns, i, i+1)
		if len(q.waiting) > 0 {
			s.turns = append(s.turns, host)
		}
	}
}

// leave takes back a job whose context has ended.
func (s *Slots) leave(w *waiter, host string, proven bool) {
	s.mu.Lock()
	select {
	case <-w.ready: // given or refused in the same moment
		s.mu.Unlock()
		if w.err == nil {
			s.release(w, host, proven)
		}
		return
	default:
	}
	defer s.mu.Unlock()
	is := func(x *waiter) bool { return x == w }
	if proven {
		s.proven = slices.DeleteFunc(s.proven, is)
		return
	}
	q := s.hosts[host]
	q.waiting = slices.DeleteFunc(q.waiting, is)
	s.waiting--
	if len(q.waiting) == 0 {
		s.turns = slices.DeleteFunc(s.turns, func(h string) bool { return h == host })
		s.forget(host)
	}
}

func (s *Slots) release(w *waiter, host string, proven bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running--
	if !proven {
		s.took(host, w.since, time.Now())
		if w.slow {
			s.slowly--
		}
		s.others--
		s.hosts[host].running--
		s.forget(host)
	}
	s.grant()
}

// took writes down whether a job was slow that began at since; mu is held.
func (s *Slots) took(host string, since, now time.Time) {
	if now.Sub(since) < slowAfter {
		delete(s.slow, host)
		return
	}
	if s.slow == nil {
		s.slow = map[string]time.Time{}
	}
	for other := range s.slow {
		if len(s.slow) < maxSlow {
			break
		}
		delete(s.slow, other)
	}
	s.slow[host] = now.Add(slowFor)
}

// forget drops a host without jobs; mu is held.
func (s *Slots) forget(host string) {
	if q := s.hosts[host]; q.running == 0 && len(q.waiting) == 0 {
		delete(s.hosts, host)
	}
}
