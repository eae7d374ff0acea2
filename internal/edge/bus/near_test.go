package bus_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/internal/testkit/natstest"
	"github.com/relaymesh/relaymesh/pkg/events"
)

// A queue that is nearly full is told of by the stage that reads it, and that it has room
// again.
func TestAQueueThatIsNearlyFullIsToldOf(t *testing.T) {
	defer bus.Bound(contract.StreamIntake, 100_000, 0)()
	natstest.InWorld(t, func(w *natstest.World) {
		log := &syncBuffer{}
		b, err := bus.New(w.JS, bus.Options{Stage: contract.StageIngest, Log: slog.New(slog.NewTextHandler(log, nil))})
		if err != nil {
			w.Fatal(err)
		}
		ctx, stop := context.WithCancel(w.Context())
		ended := make(chan error, 1)
		go func() { ended <- b.Run(ctx) }() // nobody takes from the intake
		w.Publish(events.SubjectEventReceived, make([]byte, 50_000))
		time.Sleep(6 * time.Minute)
		if text := log.String(); strings.Contains(text, "nearly full") {
			w.Errorf("half full: %s", text)
		}
		w.Publish(events.SubjectEventReceived, make([]byte, 40_000))
		time.Sleep(6 * time.Minute)
		if text := log.String(); !strings.Contains(text, "a queue is nearly full") || !strings.Contains(text, "stream=INTAKE") {
			w.Errorf("logged %s", text)
		}
		s, err := w.JS.Stream(ctx, contract.StreamIntake)
		if err == nil {
			err = s.Purge(ctx)
		}
		if err != nil {
			w.Error(err)
		}
		time.Sleep(6 * time.Minute)
		if text := log.String(); !strings.Contains(text, "a queue has room again") {
			w.Errorf("logged %s", text)
		}
		stop()
		if err := <-ended; err != nil {
			w.Error(err)
		}
	})
}

// syncBuffer is a log that may be read meanwhile.
type syncBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
