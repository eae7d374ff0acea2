package bus_test

import (
	"context"
	"log/slog"
	"net"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/internal/edge/bus"
	"github.com/relaymesh/relaymesh/internal/edge/natsd"
	"github.com/relaymesh/relaymesh/internal/testkit/natstest"
	"github.com/relaymesh/relaymesh/pkg/events"
)

// fetcherOver is a fetcher's bus over a connection that reaches the server in
// another way than usual.
func (w *world) fetcherOver(server nats.InProcessConnProvider, drain time.Duration, opts ...nats.Option) (*bus.Bus, *nats.Conn) {
	w.Helper()
	nc, err := nats.Connect("", append(opts, nats.InProcessServer(server), nats.UserInfo("operator", "operator"))...)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		w.Fatal(err)
	}
	b, err := bus.New(js, bus.Options{Stage: contract.StageFetcher, Drain: drain})
	if err != nil {
		w.Fatal(err)
	}
	return b, nc
}

// dialer reaches whichever server the world has, also after a restart.
type dialer struct{ server *atomic.Pointer[natsd.Server] }

func (d dialer) InProcessConn() (net.Conn, error) { return d.server.Load().InProcessConn() }

func TestARestartOfTheServerInMidFlightLosesNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		var current atomic.Pointer[natsd.Server]
		current.Store(w.Server)
		b, _ := w.fetcherOver(dialer{&current}, 0, nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond))
		var done tally
		b.Handle(consumer(w.T, contract.ConsumerFetch), done.handler(3*time.Second))
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- b.Run(ctx) }()

		const sent = 500
		source := w.source()
		for i := range sent {
			w.send(source, contract.NoteMissingSubject(strconv.Itoa(i)), "{}")
		}
		for range 3 {
			time.Sleep(4 * time.Second)
			w.Restart(2 * time.Second)
			current.Store(w.Server)
		}
		time.Sleep(5 * time.Minute)
		if got, left := done.keys(), w.Stored(contract.StreamNote); got != sent || left != 0 {
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
		line := &severed{InProcessConnProvider: w.Server}
		var lost atomic.Int32
		b, _ := w.fetcherOver(line, 0, append(
			bus.ConnectOptions("fetcher", slog.New(slog.DiscardHandler)),
			nats.DisconnectErrHandler(func(*nats.Conn, error) { lost.Add(1) }),
		)...)
		got := w.record()
		b.Handle(consumer(w.T, contract.ConsumerFetch), got.then(contract.Done()))
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
		w.publish(contract.NoteMissingSubject("a"), "{}")
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
				line := &severed{InProcessConnProvider: w.Server}
				b, nc := w.fetcherOver(line, 10*time.Second, nats.MaxReconnects(-1))
				b.Handle(consumer(w.T, contract.ConsumerFetch), func(_ context.Context, m contract.Message) ([]contract.Output, contract.Verdict) {
					time.Sleep(3 * time.Second)
					return []contract.Output{{Subject: events.SubjectNoteFound, Data: m.Data}}, contract.Done()
				})
				ctx, stop := context.WithCancel(context.Background())
				ended := make(chan error, 1)
				go func() { ended <- b.Run(ctx) }()
				for range c.waiting {
					w.publish(contract.NoteMissingSubject("a"), "{}")
				}
				time.Sleep(time.Second)
				if line.cut.Store(c.cut); !c.cut {
					w.JS.Conn().Close()
					w.Server.Close()
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
					w.Server = natstest.StartOn(w.T, w.Dir)
					w.JS = natstest.Connect(w.T, w.Server)
				}
				next := w.record()
				w.work(contract.StageFetcher, handlers{contract.ConsumerFetch: next.then(contract.Done())})
				time.Sleep(time.Minute)
				if n := len(next.all()); n != c.waiting {
					w.Errorf("%d messages came to the next worker, want %d", n, c.waiting)
				}
			})
		})
	}
}
