package slots_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/relaymesh/relaymesh/internal/edge/slots"
)

// Connections that come while a server is closed are either served to their end before Close returns, or not at all.
func TestServingEndsWhileOthersCome(t *testing.T) {
	for range 200 {
		var serving slots.Serving
		var begun, ended, refused atomic.Int32
		var coming sync.WaitGroup
		for range 8 {
			coming.Go(func() {
				if !serving.Go(func() { begun.Add(1); ended.Add(1) }) {
					refused.Add(1)
				}
			})
		}
		serving.Close()
		if b, e := begun.Load(), ended.Load(); b != e {
			t.Fatalf("%d began, %d have ended", b, e)
		}
		after := begun.Load()
		coming.Wait()
		if begun.Load() != after || after+refused.Load() != 8 {
			t.Fatalf("%d were served before the end, %d by now, %d refused", after, begun.Load(), refused.Load())
		}
	}
}
