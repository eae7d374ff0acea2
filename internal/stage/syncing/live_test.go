package syncing

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
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
