package run

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/relaymesh/relaymesh/internal/config"
	"github.com/relaymesh/relaymesh/internal/reconcile"
)

func TestWebOfTrustOfEveryoneOrNobody(t *testing.T) {
	t.Parallel()
	if c, err := newWebOfTrust(config.Policy{}); c != nil || err != nil {
		t.Errorf("%v, %v", c, err)
	}
	for _, flag := range []string{"--authors", "--follows"} {
		p := config.Policy{Authors: []string{"npub1"}}
		if flag == "--follows" {
			p = config.Policy{Follows: []string{"npub1"}}
		}
		if _, err := newWebOfTrust(p); err == nil || !slices.Contains(strings.Split(err.Error(), ":"), flag) {
			t.Errorf("%s: %v", flag, err)
		}
	}
}

// A tail that ends begins again after ever longer waits, and soon if it lasted.
func TestATailBeginsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var waits []time.Duration
		ended := time.Now()
		keepTailing(ctx, slog.New(slog.DiscardHandler), func(context.Context) error {
			waits = append(waits, time.Since(ended))
			switch len(waits) {
			case 10:
				time.Sleep(time.Hour)
			case 11:
				cancel()
			}
			ended = time.Now()
			return errors.New("closed")
		})
		if waits[0] != 0 || waits[1] > 2*time.Second || waits[2] <= waits[1] || waits[9] < 45*time.Second || waits[10] > 2*time.Second {
			t.Errorf("it waits %s", waits)
		}
	})
}

// A relay that says when it may be asked again is not tailed before.
func TestATailWaitsAsLongAsTheRelayAsksFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		begun, tries := time.Now(), 0
		keepTailing(ctx, slog.New(slog.DiscardHandler), func(context.Context) error {
			if tries++; tries == 2 {
				cancel()
			}
			return fmt.Errorf("dial: %w", &reconcile.LaterError{Until: begun.Add(5 * time.Minute), Err: errors.New("429")})
		})
		if waited := time.Since(begun); waited < 5*time.Minute || waited > 6*time.Minute {
			t.Errorf("it waited %s", waited)
		}
	})
}
