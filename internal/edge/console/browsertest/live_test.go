package browsertest

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/edge/schnorr"
	"github.com/relaymesh/relaymesh/pkg/events"
)

// trickle lets users write at the relay until the test ends.
func trickle(t *testing.T) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	t.Cleanup(func() { stop(); <-ended })
	go func() {
		defer close(ended)
		for i := 0; ctx.Err() == nil; i++ {
			key, err := schnorr.NewSecret()
			if err != nil {
				return
			}
			e := events.Event{Kind: 1, CreatedAt: time.Now().Unix(), Content: "good morning", Tags: []events.Tag{}}
			if i%7 == 0 {
				e.Tags = append(e.Tags, events.Tag{"e", randomID(), theWorld.others[0]})
			}
			if err := key.SignEvent(&e); err != nil {
				return
			}
			_ = theWorld.pool.Publish(ctx, theWorld.home, e) // the relay may be gone already
			time.Sleep(time.Duration(20+rand.IntN(200)) * time.Millisecond)
		}
	}()
}

func randomID() string {
	const digits = "0123456789abcdef"
	id := make([]byte, 64)
	for i := range id {
		id[i] = digits[rand.IntN(len(digits))]
	}
	return string(id)
}
