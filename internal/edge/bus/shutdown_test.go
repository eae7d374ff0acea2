package bus_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/internal/edge/natsd"
	"github.com/relaymesh/relaymesh/internal/edge/natsd/natstest"
	"github.com/relaymesh/relaymesh/pkg/events"
)

// tally counts how often each key was handled to its end.
type tally struct {
	mu sync.Mutex
	n  map[string]int
}

func (y *tally) handler(takes time.Duration) events.Handler {
	return func(_ context.Context, m events.Message) ([]events.Output, events.Verdict) {
		time.Sleep(takes)
		y.mu.Lock()
		defer y.mu.Unlock()
		if y.n == nil {
			y.n = map[string]int{}
		}
		y.n[m.Key()]++
		return nil, events.Done()
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
			w.send(b, events.NoteMissingSubject(strconv.Itoa(i)), "{}")
		}
		var done tally
		for i := range 10 { // workers come and go
			x := w.work(events.StageFetcher, handlers{events.ConsumerFetch: done.handler(40 * time.Millisecond)})
			time.Sleep(time.Duration(50+13*i) * time.Millisecond)
			x.end(w.T)
			time.Sleep(time.Millisecond) // the server takes acks one by one
			if got, left := done.keys(), int(w.stored(events.StreamNote)); got+left != sent {
				w.Errorf("stop %d: %d handled + %d left, want %d", i, got, left, sent)
			}
		}
		if got := done.keys(); got == 0 || got == sent {
			w.Fatalf("%d of %d handled: the test stopped nobody under load", got, sent)
		}
		x := w.work(events.StageFetcher, handlers{events.ConsumerFetch: done.handler(40 * time.Millisecond)})
		time.Sleep(20 * time.Second) // less than AckWait: nothing was lost on its way
		x.end(w.T)
		time.Sleep(time.Millisecond)
		if got, left := done.keys(), w.stored(events.StreamNote); got != sent || left != 0 {
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
			x := w.work(events.StageFetcher, handlers{events.ConsumerFetch: done.handler(time.Millisecond)})
			time.Sleep(time.Second)
			var sender sync.WaitGroup
			sender.Go(func() {
				for j := range each {
					if j == i {
						x.stop()
					}
					if _, err := w.js.PublishAsync(events.NoteMissingSubject(strconv.Itoa(i*each+j)), nil); err != nil {
						w.Error(err)
					}
				}
				<-w.js.PublishAsyncComplete()
			})
			x.end(w.T)
			sender.Wait()
		}
		x := w.work(events.StageFetcher, handlers{events.ConsumerFetch: done.handler(time.Millisecond)})
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
		x := w.work(events.StageFetcher, handlers{events.ConsumerFetch: func(ctx context.Context, m events.Message) ([]events.Output, events.Verdict) {
			takes := 5 * time.Second
			if m.Key() == "long" {
				takes = time.Hour
			}
			select {
			case <-time.After(takes):
				finished.add(m)
				return nil, events.Done()
			case <-ctx.Done():
				return nil, events.Retry(time.Minute, context.Cause(ctx).Error())
			}
		}})
		w.publish(events.NoteMissingSubject("short"), "{}")
		w.publish(events.NoteMissingSubject("long"), "{}")
		time.Sleep(time.Second)
		x.stop()
		time.Sleep(time.Second)
		w.publish(events.NoteMissingSubject("late"), "{}")
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
		w.work(events.StageFetcher, handlers{events.ConsumerFetch: next.then(events.Done())})
		time.Sleep(time.Second)
		if got := next.all(); len(got) != 2 {
			w.Errorf("the next worker was given %+v, want long and late", got)
		}
	})
}

func TestAStopDoesNotWaitForAHandlerThatIgnoresItsContext(t *testing.T) {
	inWorld(t, func(w *world) {
		hung := make(chan struct{})
		x := w.work(events.StageFetcher, handlers{events.ConsumerFetch: func(context.Context, events.Message) ([]events.Output, events.Verdict) {
			<-hung
			return nil, events.Done()
		}})
		w.publish(events.NoteMissingSubject("a"), "{}")
		time.Sleep(time.Second)
		x.end(w.T)
		if ended := time.Since(w.start); ended > 20*time.Second {
			w.Errorf("ended after %s", ended)
		}
		next := w.record()
		w.work(events.StageFetcher, handlers{events.ConsumerFetch: next.then(events.Done())})
		time.Sleep(31 * time.Second)
		if n := len(next.all()); n != 1 {
			w.Errorf("its message came to the next worker %d times, want once after AckWait", n)
		}
		close(hung)
		time.Sleep(time.Second)
	})
}

// dialer reaches whichever server the world has, also after a restart.
type dialer struct{ server *atomic.Pointer[natsd.Server] }

func (d dialer) InProcessConn() (net.Conn, error) { return d.server.Load().InProcessConn() }

func TestARestartOfTheServerInMidFlightLosesNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		var current atomic.Pointer[natsd.Server]
		current.Store(w.server)
		nc, err := nats.Connect("", nats.InProcessServer(dialer{&current}), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond), nats.UserInfo("operator", "operator"))
		if err != nil {
			w.Fatal(err)
		}
		defer nc.Close()
		js, err := jetstream.New(nc)
		if err != nil {
			w.Fatal(err)
		}
		b, err := bus.New(js, bus.Options{Stage: events.StageFetcher})
		if err != nil {
			w.Fatal(err)
		}
		var done tally
		b.Handle(consumer(w.T, events.ConsumerFetch), done.handler(3*time.Second))
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- b.Run(ctx) }()

		const sent = 500
		source := w.source()
		for i := range sent {
			w.send(source, events.NoteMissingSubject(strconv.Itoa(i)), "{}")
		}
		for range 3 {
			time.Sleep(4 * time.Second)
			w.restart(2 * time.Second)
			current.Store(w.server)
		}
		time.Sleep(5 * time.Minute)
		if got, left := done.keys(), w.stored(events.StreamNote); got != sent || left != 0 {
			w.Errorf("%d handled, %d left, want all %d", got, left, sent)
		}
		stop()
		if err := <-ended; err != nil {
			w.Error(err)
		}
	})
}

// severed reaches a server until cut is set; then what either side sends is lost,
// and no side is told.
type severed struct {
	nats.InProcessConnProvider
	cut atomic.Bool
}

func (s *severed) InProcessConn() (net.Conn, error) {
	conn, err := s.InProcessConnProvider.InProcessConn()
	return severedConn{conn, s}, err
}

type severedConn struct {
	net.Conn
	by *severed
}

func (c severedConn) Read(p []byte) (int, error) {
	for {
		n, err := c.Conn.Read(p)
		if err != nil || !c.by.cut.Load() {
			return n, err
		}
	}
}

func (c severedConn) Write(p []byte) (int, error) {
	if c.by.cut.Load() {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

// A partition, or a machine that is gone, closes no connection.
func TestAServerThatIsCutOffIsNoticedInHalfAMinute(t *testing.T) {
	inWorld(t, func(w *world) {
		line := &severed{InProcessConnProvider: w.server}
		var lost atomic.Int32
		nc, err := nats.Connect("", append(
			bus.ConnectOptions("fetcher", slog.New(slog.DiscardHandler)), nats.InProcessServer(line), nats.UserInfo("operator", "operator"),
			nats.DisconnectErrHandler(func(*nats.Conn, error) { lost.Add(1) }),
		)...)
		if err != nil {
			w.Fatal(err)
		}
		defer nc.Close()
		js, err := jetstream.New(nc)
		if err != nil {
			w.Fatal(err)
		}
		b, err := bus.New(js, bus.Options{Stage: events.StageFetcher})
		if err != nil {
			w.Fatal(err)
		}
		got := w.record()
		b.Handle(consumer(w.T, events.ConsumerFetch), got.then(events.Done()))
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- b.Run(ctx) }()

		time.Sleep(time.Hour + time.Second) // in between two pings
		if n := lost.Load(); n != 0 {
			w.Errorf("lost %d times in an hour with a server that answers", n)
		}
		line.cut.Store(true)
		time.Sleep(30 * time.Second)
		if lost.Load() == 0 {
			w.Error("not noticed")
		}
		line.cut.Store(false)
		w.publish(events.NoteMissingSubject("a"), "{}")
		time.Sleep(10 * time.Second)
		if n := len(got.all()); n != 1 {
			w.Errorf("%d messages came after the partition, want 1", n)
		}
		stop()
		if err := <-ended; err != nil {
			w.Error(err)
		}
	})
}

// Whatever a worker that stops still has to tell the server, it does not wait long
// for one that is away: supervisors kill what takes too long.
func TestAStopDoesNotWaitForAServerThatIsAway(t *testing.T) {
	for _, c := range []struct {
		name    string
		cut     bool // it only seems to be connected
		waiting int  // messages
		within  time.Duration
	}{
		{"idle", false, 0, time.Second},
		{"at work", false, 1, 16 * time.Second}, // the drain time of 10 s, and 5 s for handlers that end late
		{"idle, cut off", true, 0, 11 * time.Second},
		{"at work, cut off", true, 1, 21 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				line := &severed{InProcessConnProvider: w.server}
				nc, err := nats.Connect("", nats.InProcessServer(line), nats.MaxReconnects(-1), nats.UserInfo("operator", "operator"))
				if err != nil {
					w.Fatal(err)
				}
				js, err := jetstream.New(nc)
				if err != nil {
					w.Fatal(err)
				}
				b, err := bus.New(js, bus.Options{Stage: events.StageFetcher, Drain: 10 * time.Second})
				if err != nil {
					w.Fatal(err)
				}
				b.Handle(consumer(w.T, events.ConsumerFetch), func(_ context.Context, m events.Message) ([]events.Output, events.Verdict) {
					time.Sleep(3 * time.Second)
					return []events.Output{{Subject: events.SubjectNoteFound, Data: m.Data}}, events.Done()
				})
				ctx, stop := context.WithCancel(context.Background())
				ended := make(chan error, 1)
				go func() { ended <- b.Run(ctx) }()
				for range c.waiting {
					w.publish(events.NoteMissingSubject("a"), "{}")
				}
				time.Sleep(time.Second)
				if line.cut.Store(c.cut); !c.cut {
					w.js.Conn().Close()
					w.server.Close()
				}
				time.Sleep(time.Second)
				stopped := time.Now()
				stop()
				if err := <-ended; err != nil {
					w.Error(err)
				}
				if took := time.Since(stopped); took > c.within {
					w.Errorf("took %s to stop, want at most %s", took, c.within)
				}
				nc.Close()
				if !c.cut {
					w.server = natstest.StartOn(w.T, w.dir)
					w.js = natstest.Connect(w.T, w.server)
				}
				next := w.record()
				w.work(events.StageFetcher, handlers{events.ConsumerFetch: next.then(events.Done())})
				time.Sleep(time.Minute)
				if n := len(next.all()); n != c.waiting {
					w.Errorf("%d messages came to the next worker, want %d", n, c.waiting)
				}
			})
		})
	}
}

func TestABusWithoutItsConsumerFails(t *testing.T) {
	inWorld(t, func(w *world) {
		x := w.work(events.StageFetcher, handlers{events.ConsumerFetch: w.record().then(events.Done())})
		if err := w.js.DeleteConsumer(context.Background(), events.StreamNote, events.ConsumerFetch); err != nil {
			w.Fatal(err)
		}
		if err := <-x.done; err == nil || !strings.Contains(err.Error(), "NOTE/fetch") {
			w.Errorf("its consumer was deleted, and it ended with %v", err)
		}
		b, err := bus.New(w.js, bus.Options{Stage: events.StageFetcher})
		if err != nil {
			w.Fatal(err)
		}
		b.Handle(consumer(w.T, events.ConsumerFetch), w.record().then(events.Done()))
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
		for _, stage := range []string{events.StageFetcher, events.StageIngest} {
			b, err := bus.New(w.js, bus.Options{Stage: stage, Registerer: registry})
			if err != nil {
				w.Fatal(err)
			}
			name := map[string]string{events.StageFetcher: events.ConsumerFetch, events.StageIngest: events.ConsumerIngest}[stage]
			b.Handle(consumer(w.T, name), w.record().then(events.Reject("no")))
			ctx, stop := context.WithCancel(context.Background())
			ended := make(chan struct{})
			go func() { _ = b.Run(ctx); close(ended) }()
			w.Cleanup(func() { stop(); <-ended })
		}
		w.publish(events.NoteMissingSubject("a"), "{}")
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
		if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "relaymesh_bus_dead_letters_total", "relaymesh_bus_handled_total"); err != nil {
			w.Error(err)
		}
		if n, err := testutil.GatherAndCount(registry, "relaymesh_bus_handle_seconds"); err != nil || n != 2 {
			w.Errorf("%d duration series, %v", n, err)
		}
	})
}
