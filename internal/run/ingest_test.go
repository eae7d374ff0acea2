package run

import (
	"bytes"
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
	"github.com/relaymesh/relaymesh/internal/edge/relay"
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
			case 20:
				time.Sleep(time.Hour)
			case 21:
				cancel()
			}
			ended = time.Now()
			return errors.New("closed")
		})
		if waits[0] != 0 || waits[1] > 2*time.Second || waits[19] <= waits[1] || waits[19] > 4*time.Second || waits[20] > 2*time.Second {
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

// A relay that is away is waited for by its tail, and told of by the pool; a cut is no
// warning, and whatever else fails is one warning in a row.
func TestATailWarnsOnce(t *testing.T) {
	for name, c := range map[string]struct {
		err   error
		warns int
	}{
		"away": {&reconcile.AwayError{Err: errors.New("refused")}, 0},
		"cut":  {relay.ErrConnClosed, 0},
		"NATS": {errors.New("no answer from NATS"), 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			var log bytes.Buffer
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			tries := 0
			keepTailing(ctx, slog.New(slog.NewTextHandler(&log, nil)), func(context.Context) error {
				if tries++; tries == 20 {
					cancel()
				}
				return c.err
			})
			if got := strings.Count(log.String(), "level=WARN"); got != c.warns || tries != 20 {
				t.Errorf("%s: %d warnings of %d tries", name, got, tries)
			}
		})
	}
}
