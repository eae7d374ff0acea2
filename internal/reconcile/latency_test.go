package reconcile

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// far is a relay whose answers take a round trip, and its OKs some time more.
func far(f *fake, roundTrip, ok time.Duration) Relay {
	return Through(func(ctx context.Context, q *Request, ask Ask) error {
		time.Sleep(roundTrip)
		if q.Op == OpPublish {
			time.Sleep(ok)
		}
		err := ask(ctx, f)
		if q.Session != nil {
			q.Session = farSession{q.Session, roundTrip}
		}
		return err
	})
}

type farSession struct {
	Session

	roundTrip time.Duration
}

func (s farSession) Exchange(ctx context.Context, msg []byte) ([]byte, error) {
	time.Sleep(s.roundTrip)
	return s.Session.Exchange(ctx, msg)
}

// Relays that say OK late are given as much at once as a connection may have in flight,
// and ids that are found one by one are not moved one by one.
func TestSlowOKsDoNotAddUp(t *testing.T) {
	const common, roundTrip, ok = 5000, 50 * time.Millisecond, 300 * time.Millisecond
	for differ, most := range map[int]time.Duration{40: 1200 * time.Millisecond, 300: 2500 * time.Millisecond, 2000: 10 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			all := notes(0, common+2*differ)
			a, b := newFake(all[differ:]...), newFake(all[:common+differ]...)
			began := time.Now()
			sideA, sideB := Side{Relay: far(a, roundTrip, ok), Name: "a"}, Side{Relay: far(b, roundTrip, ok), Name: "b"}
			r, err := Sync(t.Context(), sideA, sideB, nostr.Filter{}, options(Both))
			if took := time.Since(began); err != nil || !r.Complete || r.ToA != differ || r.ToB != differ || took > most {
				t.Errorf("%d each: %s, want %s at most; %v, %+v", differ, took, most, err, r)
			}
		})
	}
}
