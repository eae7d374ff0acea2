package fetch

import (
	"context"
	"errors"
	"time"

	"github.com/relaymesh/relaymesh/pkg/events"
)

// errUnresolved ends the wait for an author's list on the DHT.
var errUnresolved = errors.New("the author's list on the DHT is not waited for: nobody has given one for as long as that")

// await waits for the end of a search. It does not wait for the author's list on the
// DHT alone if those who look lists up have given no answer for as long as the
// caller may wait in all: that costs one wait, and not each author's. The search
// goes on all the same, and whoever comes after an answer waits again.
func (s *Stage) await(ctx context.Context, f *search, onlyDHT <-chan struct{}, patience time.Duration) error {
	var again <-chan time.Time
	for {
		select {
		case <-f.done:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-onlyDHT:
			onlyDHT = nil
		case <-again:
		}
		left := patience - s.unresolved()
		if left <= 0 {
			return errUnresolved
		}
		again = time.After(left)
	}
}

// unresolved is for how long those who look lists up have given no answer.
func (s *Stage) unresolved() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.resolving.lasts(s.Now())
}

// resolve looks an author's list up.
func (s *Stage) resolve(ctx context.Context, r events.ResolveRequest) (events.ResolveResponse, error) {
	s.mu.Lock()
	request := s.resolving.asked(s.Now())
	s.mu.Unlock()
	answer, err := s.Resolve(ctx, r)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.resolving.ended(request, err == nil, s.Now())
	return answer, err
}
