package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/contract"
)

const (
	// giveBackWithin bounds how long a shutdown collects messages that were
	// on their way.
	giveBackWithin = 5 * time.Second
	// grace is what a handler gets to return after its context has ended.
	grace = 5 * time.Second
	// pause comes before pulling again after an unexpected error.
	pause = time.Second
)

// subscriber is a watermill subscriber of one consumer. It asks JetStream for
// exactly as many messages as it has free slots: none waits in a buffer while
// its AckWait runs out, and a shutdown has next to nothing to give back.
type subscriber struct {
	pull   jetstream.Consumer
	conn   *nats.Conn // of pull
	spec   contract.Consumer
	prefix contract.Prefix
	drain  time.Duration
	log    *slog.Logger
	settle func(*delivery)
	fail   func(error) // ends the bus
	pulse  *pulse
}

// Subscribe ends the channel once ctx has ended and all messages are settled
// or given up.
func (s *subscriber) Subscribe(ctx context.Context, _ string) (<-chan *message.Message, error) {
	out := make(chan *message.Message)
	go s.run(ctx, out)
	return out, nil
}

// Close does nothing: the context of Subscribe ends a subscription.
func (s *subscriber) Close() error { return nil }

func (s *subscriber) run(ctx context.Context, out chan<- *message.Message) {
	defer close(out)
	// Handlers outlive ctx by the drain time, and heartbeats by grace more.
	handlers, stopHandlers := context.WithCancelCause(context.WithoutCancel(ctx))
	heartbeats, stopHeartbeats := context.WithCancel(context.WithoutCancel(ctx))
	defer stopHandlers(nil)
	defer stopHeartbeats()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(s.drain, func() { stopHandlers(errDrained) }) })()
	defer context.AfterFunc(handlers, func() { time.AfterFunc(grace, stopHeartbeats) })()

	free := make(chan struct{}, s.spec.InFlight)
	for range s.spec.InFlight {
		free <- struct{}{}
	}
	deliver := func(msg jetstream.Msg) {
		d, err := newDelivery(handlers, s.spec, s.prefix, msg)
		if err != nil {
			s.log.ErrorContext(ctx, "message without JetStream metadata", "err", err)
			free <- struct{}{}
			return
		}
		go func() {
			s.watch(heartbeats, d)
			free <- struct{}{}
		}()
		out <- d.message
	}
	for ctx.Err() == nil {
		s.pulse.beat()
		if len(free) == 0 && !s.spec.Holds {
			s.pulse.fill()
		}
		select {
		case <-ctx.Done():
			continue
		case <-free:
			s.pulse.end()
		}
		n := 1
		for ; len(free) > 0 && n < s.atOnce(); n++ {
			<-free
		}
		got, err := s.pullBatch(ctx, n, deliver)
		for range n - got {
			free <- struct{}{}
		}
		s.afterError(ctx, err)
	}
	for range s.spec.InFlight {
		select {
		case <-free:
		case <-heartbeats.Done():
		}
	}
}

// atOnce is how many messages may be asked for at a time. Where the server or the
// account has a limit (max_request_batch), it is in the consumer; the answer to a
// longer request is one that the client library does not show.
func (s *subscriber) atOnce() int {
	if most := s.pull.CachedInfo().Config.MaxRequestBatch; most > 0 {
		return min(most, s.spec.InFlight)
	}
	return s.spec.InFlight
}

// pullBatch pulls until n messages were delivered or ctx has ended.
func (s *subscriber) pullBatch(ctx context.Context, n int, deliver func(jetstream.Msg)) (got int, err error) {
	it, err := s.pull.Messages(jetstream.PullMaxMessages(n), jetstream.StopAfter(n))
	if err != nil {
		return 0, err
	}
	defer it.Stop()
	for got < n {
		s.pulse.rest()
		msg, err := it.Next(jetstream.NextContext(ctx))
		s.pulse.beat()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = msg.Nak()
			}
			s.giveBack(it)
			return got, nil
		case errors.Is(err, jetstream.ErrNoHeartbeat):
			// Either the server is gone for a while, and the client library
			// asks again when it is back, or the consumer was deleted.
			if _, err := s.pull.Info(ctx); errors.Is(err, jetstream.ErrConsumerNotFound) {
				return got, err
			}
		case err != nil:
			return got, err
		default:
			got++
			deliver(msg)
		}
	}
	return got, nil
}

// giveBack returns what the server has sent already to other workers.
func (s *subscriber) giveBack(it jetstream.MessagesContext) {
	it.Drain()
	for s.conn.IsConnected() {
		msg, err := it.Next(jetstream.NextMaxWait(giveBackWithin))
		if err != nil {
			return
		}
		_ = msg.Nak() // if it is lost, the message comes back after AckWait
	}
}

// afterError ends the bus on an error that will not pass, and waits after others.
func (s *subscriber) afterError(ctx context.Context, err error) {
	switch {
	case err == nil || ctx.Err() != nil:
		return
	case errors.Is(err, jetstream.ErrConsumerDeleted), errors.Is(err, jetstream.ErrConsumerNotFound),
		errors.Is(err, jetstream.ErrConnectionClosed):
		s.fail(fmt.Errorf("consumer %s: %w", label(s.spec), err))
		return
	}
	s.log.WarnContext(ctx, "pulling messages failed, trying again", "err", err)
	select {
	case <-time.After(pause):
	case <-ctx.Done():
	}
}

// watch keeps the message from being delivered again while its handler runs and
// while it is settled. Until then the message's context belongs to the router.
func (s *subscriber) watch(heartbeats context.Context, d *delivery) {
	beat := time.NewTicker(s.spec.AckWait / 3)
	defer beat.Stop()
	settled := make(chan struct{})
	acked, nacked := d.message.Acked(), d.message.Nacked()
	settle := func() {
		acked, nacked = nil, nil
		go func() {
			defer close(settled)
			s.settle(d)
		}()
	}
	for {
		select {
		case <-beat.C:
			s.pulse.beat()
			if err := d.raw.InProgress(); err != nil {
				s.log.DebugContext(heartbeats, "heartbeat failed", "err", err)
			}
		case <-acked:
			settle()
		case <-nacked:
			settle()
		case <-settled:
			return
		case <-heartbeats.Done(): // the handler ignores its context
			s.log.ErrorContext(heartbeats, "handler does not end, its message goes to another worker", "subject", d.Subject)
			return
		}
	}
}
