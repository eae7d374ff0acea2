package schnorr

import (
	"fmt"
	"runtime"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/relaymesh/relaymesh/internal/recent"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	// maxBatch is where larger batches gain little; it takes about 6 ms.
	maxBatch = 256
	// gather is how long an event waits for another that follows it, and
	// mostGather how long it waits while others keep coming.
	gather     = 4 * time.Millisecond
	mostGather = 20 * time.Millisecond
	// A sender is a suspect while it has sent at least suspectAfter bad
	// signatures and one in suspectShare lately. In a full batch that would
	// be eight bad ones, which quadruple its cost.
	suspectAfter = 8
	suspectShare = 32
	// recently is how many events of a sender count.
	recently = 1024
	// suspectRate is how many events a second of a suspect are verified, one
	// by one: less than a hundredth of a core.
	suspectRate = 50
	// suspectWait is when a suspect's other events are worth another try.
	suspectWait = 2 * time.Minute
)

// Verifier checks signatures for many callers with [VerifyAll]. An event that
// comes alone is verified at once. One that comes soon after another waits a
// moment, and for what is being verified, so that batches are as large as the
// load is high. The zero value is ready; its methods may be called concurrently.
//
// A sender of many bad signatures is taken out of the batches, which its
// events make slow for all the others, and verified one by one at a low rate.
type Verifier struct {
	mu      sync.Mutex
	waiting []*request // oldest first
	workers int
	last    time.Time                   // when a request came
	full    chan struct{}               // tells a worker that waits of a full batch
	senders recent.Map[string, *sender] // as many as programs that may publish
}

// request is an event that a caller waits for.
type request struct {
	event  *nostr.Event
	sender string
	until  time.Time // it waits for others so long
	err    error
	done   chan struct{}
}

// sender is what is remembered of one.
type sender struct {
	good, bad int
	limit     *rate.Limiter // of a suspect, else nil
}

// SuspectError says that an event was not looked at, because its sender sends
// too many bad signatures.
type SuspectError struct{ Sender string }

func (e *SuspectError) Error() string {
	return fmt.Sprintf("sig: not checked yet, since %q sends many bad signatures and is limited to %d events a second", e.Sender, suspectRate)
}

// RetryAfter is when the event is worth another try.
func (e *SuspectError) RetryAfter() time.Duration { return suspectWait }

// Verify checks the signature of an event whose shape and id are known to be
// right. The sender is whoever handed the event over, not its author. The
// error is a [*SuspectError], or says what is wrong with the signature.
func (v *Verifier) Verify(from string, e *nostr.Event) error {
	r := &request{event: e, sender: from, done: make(chan struct{})}
	v.mu.Lock()
	if s, known := v.senders.Get(from); known && s.limit != nil {
		limit := s.limit
		v.mu.Unlock()
		return v.verifySuspect(r, limit)
	}
	if v.full == nil {
		v.full = make(chan struct{}, 1)
	}
	now := time.Now()
	r.until = now
	if now.Sub(v.last) < gather {
		r.until = now.Add(mostGather)
	}
	v.last = now
	v.waiting = append(v.waiting, r)
	full := len(v.waiting)%maxBatch == 0
	// Two workers would halve the batches: another is for what one cannot do.
	if v.workers == 0 || full && v.workers < runtime.GOMAXPROCS(0) {
		v.workers++
		go v.work()
	}
	if full {
		select {
		case v.full <- struct{}{}:
		default: // told before
		}
	}
	v.mu.Unlock()
	<-r.done
	return r.err
}

func (v *Verifier) verifySuspect(r *request, limit *rate.Limiter) error {
	if !limit.Allow() {
		return &SuspectError{r.sender}
	}
	r.err = VerifySignature(r.event)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.remember(r)
	return r.err
}

// work verifies batches until nothing waits.
func (v *Verifier) work() {
	for {
		batch := v.nextBatch()
		if len(batch) == 0 {
			return
		}
		all := make([]*nostr.Event, len(batch))
		for i, r := range batch {
			all[i] = r.event
		}
		for i, err := range VerifyAll(all) {
			batch[i].err = err
		}
		v.mu.Lock()
		for _, r := range batch {
			v.remember(r)
		}
		v.mu.Unlock()
		for _, r := range batch {
			close(r.done)
		}
	}
}

// nextBatch waits for a batch and returns it, or ends the worker with none.
func (v *Verifier) nextBatch() []*request {
	v.mu.Lock()
	defer v.mu.Unlock()
	for 0 < len(v.waiting) && len(v.waiting) < maxBatch {
		wait := min(time.Until(v.waiting[0].until), time.Until(v.last.Add(gather)))
		if wait <= 0 {
			break
		}
		v.mu.Unlock()
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-v.full:
			timer.Stop()
		}
		v.mu.Lock()
	}
	n := min(len(v.waiting), maxBatch) // another worker may have been faster
	if n == 0 {
		v.workers--
		return nil
	}
	batch := v.waiting[:n:n]
	v.waiting = v.waiting[n:]
	return batch
}

// remember counts a verdict for its sender.
func (v *Verifier) remember(r *request) {
	s, _ := v.senders.LoadOrStore(r.sender, &sender{})
	if r.err == nil {
		s.good++
	} else {
		s.bad++
	}
	if s.good+s.bad >= recently {
		s.good, s.bad = s.good/2, s.bad/2
	}
	switch suspect := s.bad >= suspectAfter && s.bad*suspectShare >= s.good+s.bad; {
	case !suspect:
		s.limit = nil
	case s.limit == nil:
		s.limit = rate.NewLimiter(suspectRate, suspectRate)
	}
}
