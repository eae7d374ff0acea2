package bus_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
)

// Handlers that never end take the slots of their consumer, and its loop would wait for ever: that
// is told of once none has ended for an hour, and no more as soon as one does.
func TestHandlersThatNeverEndAreNotAlive(t *testing.T) {
	inWorld(t, func(w *world) {
		end := make(chan struct{})
		worker := w.work(contract.StageDHTWorker,
			handlers{contract.ConsumerRefresh: func(context.Context, contract.Message) ([]contract.Output, contract.Verdict) {
				<-end // whatever its context says
				return nil, contract.Done()
			}})
		most := consumer(t, contract.ConsumerRefresh).InFlight
		for i := range most {
			if i == most-1 { // until now there is a slot
				time.Sleep(61 * time.Minute)
				if err := worker.Alive(); err != nil {
					t.Errorf("while %d are in work: %v", i, err)
				}
			}
			w.publish(contract.RecordDueSubject(string(rune('a'+i))), "")
		}
		time.Sleep(59 * time.Minute)
		if err := worker.Alive(); err != nil {
			t.Errorf("before an hour has passed: %v", err)
		}
		time.Sleep(2 * time.Minute)
		if err := worker.Alive(); err == nil || !strings.Contains(err.Error(), contract.ConsumerRefresh) {
			t.Errorf("after an hour: %v", err)
		}
		end <- struct{}{}
		time.Sleep(time.Second)
		if err := worker.Alive(); err != nil {
			t.Errorf("after one has ended: %v", err)
		}
		close(end)
	})
}

// What stands for something that lasts may stay in work, also where it comes on RETRY.
func TestHeldMessagesMayStay(t *testing.T) {
	t.Parallel()
	var holds []string
	for _, c := range contract.Consumers() {
		if c.Holds {
			holds = append(holds, c.Stream+"/"+c.Name)
		}
	}
	if want := []string{"LIVE/live", "RETRY/syncworker"}; !slices.Equal(holds, want) {
		t.Errorf("%q hold their messages, want %q", holds, want)
	}
}
