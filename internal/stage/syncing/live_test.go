package syncing

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/stage"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// away is a bucket that cannot be read.
type away struct{ stage.Store[contract.Link] }

func (away) Each(context.Context, string, func(string, contract.Link) error) error {
	return errors.New("no answer")
}

// The bus keeps what waits for a minute where it is, and sends what waits for
// longer away to be retried: a subscription would be held there.
func TestALiveSubscriptionThatFailsOftenIsLeftToTheNextSync(t *testing.T) {
	const url = "wss://relay.example.com"
	s := &Stage{Links: away{}, Rules: func(string) []Rule { return nil }, Now: time.Now}
	for attempt := 1; attempt <= contract.MaxAttempts; attempt++ {
		out, v := s.HandleLive(t.Context(), contract.Message{
			Subject: contract.LiveDueSubject(nostr.RelayKey(url)), Data: nostr.Encode(contract.LiveDue{URL: url}), Attempt: attempt,
		})
		after, retry := v.RetryAfter()
		waits := after << (attempt - 1) // and a fifth more, see edge/bus
		if len(out) > 0 || !retry && !v.IsDone() || retry && waits+waits/5 > time.Minute || !retry && attempt == 1 {
			t.Errorf("attempt %d: %v, %d outputs", attempt, v, len(out))
		}
	}
}

// A subscription is made again after what may pass, and after any fault of the local
// relay. One with a relay that is away is asked for when that is back.
func TestWhichEndsOfASubscriptionPass(t *testing.T) {
	away := fmt.Errorf("%w: %w", reconcile.ErrInterrupted, &reconcile.AwayError{Err: errors.New("refused")})
	for err, want := range map[error]bool{
		fmt.Errorf("%w: cut", reconcile.ErrInterrupted):                     true,
		reconcile.ErrTimeout:                                                true,
		errors.New("events were not taken in time"):                         true,
		reconcile.NewRefusal(reconcile.ParseReason("error: shutting down")): true,
		fmt.Errorf("%w: %w", errLocal, away):                                true,
		fmt.Errorf("%w: %w", errLocal, reconcile.ErrRefused):                true,
		away: false,
		reconcile.NewRefusal(reconcile.ParseReason("blocked: no live subscriptions")): false,
		reconcile.NewRefusal(reconcile.ParseReason("restricted: members only")):       false,
		fmt.Errorf("%w: too many notices", reconcile.ErrMisbehaving):                  false,
	} {
		if passes(err) != want {
			t.Errorf("%v: %t", err, !want)
		}
	}
}
