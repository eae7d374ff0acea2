package bus_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/pkg/events"
)

// tally counts how often each key was handled to its end.
type tally struct {
	mu sync.Mutex
	n  map[string]int
}

func (y *tally) handler(takes time.Duration) contract.Handler {
	return func(_ context.Context, m contract.Message) ([]contract.Output, contract.Verdict) {
		time.Sleep(takes)
		y.mu.Lock()
		defer y.mu.Unlock()
		if y.n == nil {
			y.n = map[string]int{}
		}
		y.n[m.Key()]++
		return nil, contract.Done()
	}
}

func (y *tally) keys() int {
	y.mu.Lock()
	defer y.mu.Unlock()
	return len(y.n)
}

func (y *tally) twice() (list []string) {
	y.mu.Lock()
	defer y.mu.Unlock()
	for key, n := range y.n {
		if n > 1 {
			list = append(list, key)
		}
	}
	return list
}

func TestStoppingUnderLoadLosesAndDoublesNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		const sent = 3000
		b := w.source()
		for i := range sent {
			w.send(b, contract.NoteMissingSubject(strconv.Itoa(i)), "{}")
		}
		var done tally
		for i := range 10 { // workers come and go
			x := w.work(contract.StageFetcher, handlers{contract.ConsumerFetch: done.handler(120 * time.Millisecond)})
			time.Sleep(time.Duration(50+13*i) * time.Millisecond)
			x.end(w.T)
			time.Sleep(time.Millisecond) // the server takes acks one by one
			if got, left := done.keys(), w.Stored(contract.StreamNote); got+left != sent {
				w.Errorf("stop %d: %d handled + %d left, want %d", i, got, left, sent)
			}
		}
		if got := done.keys(); got == 0 || got == sent {
			w.Fatalf("%d of %d handled: the test stopped nobody under load", got, sent)
		}
		x := w.work(contract.StageFetcher, handlers{contract.ConsumerFetch: done.handler(120 * time.Millisecond)})
		time.Sleep(20 * time.Second) // less than AckWait: nothing was lost on its way
		x.end(w.T)
		time.Sleep(time.Millisecond)
		if got, left := done.keys(), w.Stored(contract.StreamNote); got != sent || left != 0 {
			w.Errorf("%d handled, %d left, want all %d", got, left, sent)
		}
		if twice := done.twice(); len(twice) > 0 {
			w.Errorf("handled twice: %v", twice)
		}
	})
}

// The worker is idle, and messages come in the moment in which it stops.
func TestAStopGivesBackWhatIsOnItsWay(t *testing.T) {
	inWorld(t, func(w *world) {
		const rounds, each = 20, 50
		var done tally
		for i := range rounds {
			x := w.work(contract.StageFetcher, handlers{contract.ConsumerFetch: done.handler(time.Millisecond)})
			time.Sleep(time.Second)
			var sender sync.WaitGroup
			sender.Go(func() {
				for j := range each {
					if j == i {
						x.stop()
					}
					if _, err := w.JS.PublishAsync(contract.NoteMissingSubject(strconv.Itoa(i*each+j)), nil); err != nil {
						w.Error(err)
					}
				}
				<-w.JS.PublishAsyncComplete()
			})
			x.end(w.T)
			sender.Wait()
		}
		x := w.work(contract.StageFetcher, handlers{contract.ConsumerFetch: done.handler(time.Millisecond)})
		time.Sleep(time.Second) // much less than AckWait
		x.end(w.T)
		if got := done.keys(); got != rounds*each {
			w.Errorf("%d of %d handled: the others wait for AckWait to run out", got, rounds*each)
		}
		if twice := done.twice(); len(twice) > 0 {
			w.Errorf("handled twice: %v", twice)
		}
	})
}

func TestAStopWaitsForRunningHandlersThenEndsTheirContext(t *testing.T) {
	inWorld(t, func(w *world) {
		finished := w.record()
		x := w.work(contract.StageFetcher,
			handlers{contract.ConsumerFetch: func(ctx context.Context, m contract.Message) ([]contract.Output, contract.Verdict) {
				takes := 5 * time.Second
				if m.Key() == "long" {
					takes = time.Hour
				}
				select {
				case <-time.After(takes):
					finished.add(m)
					return nil, contract.Done()
				case <-ctx.Done():
					return nil, contract.Retry(time.Minute, context.Cause(ctx).Error())
				}
			}})
		w.publish(contract.NoteMissingSubject("short"), "{}")
		w.publish(contract.NoteMissingSubject("long"), "{}")
		time.Sleep(time.Second)
		x.stop()
		time.Sleep(time.Second)
		w.publish(contract.NoteMissingSubject("late"), "{}")
		if err := <-x.done; err != nil {
			w.Error(err)
		}
		if ended := time.Since(w.start); ended < 11*time.Second || ended > 12*time.Second {
			w.Errorf("ended after %s, want the drain time of 10 s after the stop", ended)
		}
		if got := finished.all(); len(got) != 1 || got[0].Key() != "short" {
			w.Errorf("finished %+v, want the short handler alone", got)
		}
		// What was cut short goes to another worker at once, without the wait
		// of a retry.
		next := w.record()
		w.work(contract.StageFetcher, handlers{contract.ConsumerFetch: next.then(contract.Done())})
		time.Sleep(time.Second)
		if got := next.all(); len(got) != 2 {
			w.Errorf("the next worker was given %+v, want long and late", got)
		}
	})
}

func TestAStopDoesNotWaitForAHandlerThatIgnoresItsContext(t *testing.T) {
	inWorld(t, func(w *world) {
		hung := make(chan struct{})
		x := w.work(contract.StageFetcher,
			handlers{contract.ConsumerFetch: func(context.Context, contract.Message) ([]contract.Output, contract.Verdict) {
				<-hung
				return nil, contract.Done()
			}})
		w.publish(contract.NoteMissingSubject("a"), "{}")
		time.Sleep(time.Second)
		x.end(w.T)
		if ended := time.Since(w.start); ended > 20*time.Second {
			w.Errorf("ended after %s", ended)
		}
		next := w.record()
		w.work(contract.StageFetcher, handlers{contract.ConsumerFetch: next.then(contract.Done())})
		time.Sleep(31 * time.Second)
		if n := len(next.all()); n != 1 {
			w.Errorf("its message came to the next worker %d times, want once after AckWait", n)
		}
		close(hung)
		time.Sleep(time.Second)
	})
}

func TestABusWithoutItsConsumerFails(t *testing.T) {
	inWorld(t, func(w *world) {
		x := w.work(contract.StageFetcher, handlers{contract.ConsumerFetch: w.record().then(contract.Done())})
		if err := w.JS.DeleteConsumer(context.Background(), contract.StreamNote, contract.ConsumerFetch); err != nil {
			w.Fatal(err)
		}
		if err := <-x.done; err == nil || !strings.Contains(err.Error(), "NOTE/fetch") {
			w.Errorf("its consumer was deleted, and it ended with %v", err)
		}
		b, err := bus.New(w.JS, bus.Options{Stage: contract.StageFetcher})
		if err != nil {
			w.Fatal(err)
		}
		b.Handle(consumer(w.T, contract.ConsumerFetch), w.record().then(contract.Done()))
		if err := b.Run(context.Background()); !errors.Is(err, jetstream.ErrConsumerNotFound) || !strings.Contains(err.Error(), "provision") {
			w.Errorf("without its consumer it ended with %v", err)
		}
	})
}

func TestARunThatIsStoppedBeforeItStartsIsNoError(t *testing.T) {
	inWorld(t, func(w *world) {
		ctx, stop := context.WithCancel(context.Background())
		stop()
		if err := w.source().Run(ctx); err != nil {
			w.Error(err)
		}
	})
}

func TestMetrics(t *testing.T) {
	inWorld(t, func(w *world) {
		registry := prometheus.NewRegistry()
		for _, stage := range []string{contract.StageFetcher, contract.StageIngest} {
			b, err := bus.New(w.JS, bus.Options{Stage: stage, Registerer: registry})
			if err != nil {
				w.Fatal(err)
			}
			name := map[string]string{contract.StageFetcher: contract.ConsumerFetch, contract.StageIngest: contract.ConsumerIngest}[stage]
			b.Handle(consumer(w.T, name), w.record().then(contract.Reject("no")))
			ctx, stop := context.WithCancel(context.Background())
			ended := make(chan struct{})
			go func() { _ = b.Run(ctx); close(ended) }()
			w.Cleanup(func() { stop(); <-ended })
		}
		w.publish(contract.NoteMissingSubject("a"), "{}")
		w.publish(events.SubjectEventReceived, "{}")
		time.Sleep(time.Second)
		want := `
# HELP relaymesh_bus_dead_letters_total Messages that became dead letters.
# TYPE relaymesh_bus_dead_letters_total counter
relaymesh_bus_dead_letters_total{stage="fetcher"} 1
relaymesh_bus_dead_letters_total{stage="ingest"} 1
# HELP relaymesh_bus_handled_total Messages handled, by verdict: done, retry or reject.
# TYPE relaymesh_bus_handled_total counter
relaymesh_bus_handled_total{consumer="INTAKE/ingest",stage="ingest",verdict="reject"} 1
relaymesh_bus_handled_total{consumer="NOTE/fetch",stage="fetcher",verdict="reject"} 1
`
		if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "relaymesh_bus_dead_letters_total",
			"relaymesh_bus_handled_total"); err != nil {
			w.Error(err)
		}
		if n, err := testutil.GatherAndCount(registry, "relaymesh_bus_handle_seconds"); err != nil || n != 2 {
			w.Errorf("%d duration series, %v", n, err)
		}
	})
}
