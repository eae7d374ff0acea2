package schnorr

import (
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/relaymesh/relaymesh/internal/recent"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	// A sender is a suspect while it has sent at least suspectAfter bad
	// signatures and one in suspectShare lately. In a batch of 256 that would
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

// Verifier checks signatures with [VerifyAll], but that a sender of many bad ones is
// taken out of the batches, which its events make slow for all the others, and
// verified one by one at a low rate. The zero value is ready; its methods may be
// called concurrently.
type Verifier struct {
	mu      sync.Mutex
	senders recent.Map[string, *sender] // as many as programs that may publish
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

// Verify checks the signatures of events, whose shapes and ids are known to be right,
// together; senders[i] is whoever handed all[i] over, not its author. errs[i] is a
// [*SuspectError], or says what is wrong with the signature. What this process has
// found good lately is not looked at again.
func (v *Verifier) Verify(senders []string, all []*nostr.Event) (errs []error) {
	errs = make([]error, len(all))
	batch, at := make([]*nostr.Event, 0, len(all)), make([]int, 0, len(all)) // of all
	for i, e := range all {
		switch limit := v.limitOf(senders[i]); {
		case Verified(e):
		case limit == nil:
			batch, at = append(batch, e), append(at, i)
		case !limit.Allow():
			errs[i] = &SuspectError{senders[i]}
		default:
			errs[i] = VerifySignature(e)
			v.remember(senders[i], errs[i])
		}
	}
	for n, err := range VerifyAll(batch) {
		i := at[n]
		errs[i] = err
		v.remember(senders[i], err)
	}
	return errs
}

// limitOf is the limit of a suspect, nil for others.
func (v *Verifier) limitOf(from string) *rate.Limiter {
	v.mu.Lock()
	defer v.mu.Unlock()
	if s, known := v.senders.Get(from); known {
		return s.limit
	}
	return nil
}

// remember counts a verdict for its sender.
func (v *Verifier) remember(from string, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	s, known := v.senders.Get(from)
	if !known {
		s = &sender{}
		v.senders.Put(from, s)
	}
	if err == nil {
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
