package syncing

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

func TestOneSyncRunsAndTheNewestOfThoseThatComeWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s singleFlight
		take := func(ctx context.Context) chan error {
			result := make(chan error, 1)
			go func() {
				ok, err := s.acquire(ctx, "relay")
				if err == nil && !ok {
					err = errNotNeeded
				}
				result <- err
			}()
			synctest.Wait()
			return result
		}
		ctx, cancel := context.WithCancel(t.Context())
		first := take(t.Context())
		if err := <-first; err != nil {
			t.Fatalf("the first must wait: %v", err)
		}
		if ok, err := s.acquire(t.Context(), "another relay"); !ok || err != nil {
			t.Errorf("another relay: %t, %v", ok, err)
		}
		second := take(t.Context())
		third := take(ctx)
		if err := <-second; !errors.Is(err, errNotNeeded) {
			t.Errorf("the second: %v, want that the third waits in its place", err)
		}
		cancel()
		if err := <-third; !errors.Is(err, context.Canceled) {
			t.Errorf("the third: %v, want that it was cancelled", err)
		}
		fourth := take(t.Context())
		select {
		case err := <-fourth:
			t.Fatalf("the fourth does not wait: %v", err)
		default:
		}
		s.release("relay")
		if err := <-fourth; err != nil {
			t.Errorf("the fourth: %v", err)
		}
		s.release("relay")
		s.release("another relay")
		if len(s.of) != 0 {
			t.Errorf("%d relays are remembered for ever", len(s.of))
		}
	})
}

var errNotNeeded = errors.New("not needed")
