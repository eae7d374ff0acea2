package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/contract"
	"github.com/relaymesh/relaymesh/pkg/nostr"
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
	pull     jetstream.Consumer
	conn     *nats.Conn // of pull
	work     *work
	prefix   contract.Prefix
	drain    time.Duration
	log      *slog.Logger
	fail     func(error) // ends the bus
	pulse    *pulse
	gathered gathered
}

// room is a number of slots, and the bytes of the messages in them.
type room struct{ msgs, bytes int }

func (r room) plus(o room) room  { return room{r.msgs + o.msgs, r.bytes + o.bytes} }
func (r room) minus(o room) room { return room{r.msgs - o.msgs, r.bytes - o.bytes} }

// fits is how many messages there is room for, however large they are.
func (r room) fits() int { return max(0, min(r.msgs, r.bytes/nostr.MaxEventBytes)) }

// room is what a message takes. Where there is no bound of bytes, it has none.
func (d *delivery) room() room { return roomOf(d.work.consumer, d.raw) }

func roomOf(c contract.Consumer, msg jetstream.Msg) room {
	if c.Largest == 0 {
		return room{msgs: 1}
	}
	return room{1, len(msg.Data())}
}

// roomFor is what a worker has for the messages of a consumer.
func roomFor(c contract.Consumer) room {
	return room{c.InFlight, nostr.MaxEventBytes * cmp.Or(c.Largest, c.InFlight)}
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

	all := roomFor(s.work.consumer)
	free, freed := all, make(chan room, all.msgs)
	by := &crew{next: make(chan func()), done: handlers.Done()}
	deliver := func(msgs []jetstream.Msg) {
		deliveries := make([]*delivery, 0, len(msgs))
		for _, msg := range msgs {
			d, err := newDelivery(s.work, s.prefix, msg)
			if err != nil {
				s.log.ErrorContext(ctx, "message without JetStream metadata", "err", err)
				freed <- roomOf(s.work.consumer, msg)
				continue
			}
			deliveries = append(deliveries, d)
		}
		if len(deliveries) == 0 {
			return
		}
		t := newBatch(deliveries, by, func(r room) { freed <- r })
		go s.watch(heartbeats, t)
		m := message.NewMessage(deliveries[0].Cause, nil)
		m.SetContext(context.WithValue(handlers, batchKey{}, t))
		out <- m
	}
	for ctx.Err() == nil {
		free = s.slots(ctx, free, freed, deliver)
		if ctx.Err() != nil {
			break
		}
		got, err := s.pullBatch(ctx, min(free.fits(), s.atOnce()), deliver)
		free = free.minus(got)
		if err != nil {
			s.gathered.flush(deliver)
			s.afterError(ctx, err)
		}
	}
	s.gathered.flush(deliver)
	for free.msgs < all.msgs {
		select {
		case r := <-freed:
			free = free.plus(r)
		case <-heartbeats.Done():
			return
		}
	}
}

// slots waits until there are slots to pull for. Where messages are handled together
// slots come free together, and are pulled for together.
func (s *subscriber) slots(ctx context.Context, free room, freed <-chan room, deliver func([]jetstream.Msg)) room {
	enough := 1
	if s.work.prepare != nil {
		enough = max(1, roomFor(s.work.consumer).fits()/2)
	}
	for range len(freed) {
		free = free.plus(<-freed)
	}
	s.pulse.beat()
	for moment := (<-chan time.Time)(nil); free.fits() < enough; {
		if free.fits() == 0 || len(s.gathered.msgs) >= enough {
			s.gathered.flush(deliver) // little or nothing can come to it
		}
		switch {
		case free.fits() > 0 && moment == nil:
			moment = time.After(mostGather)
		case free.fits() == 0 && !s.work.consumer.Holds:
			s.pulse.fill()
		}
		select {
		case r := <-freed:
			free = free.plus(r)
			s.pulse.end()
			s.pulse.beat()
		case <-moment:
			return free
		case <-ctx.Done():
			return free
		}
	}
	return free
}

// atOnce is how many messages may be asked for at a time. Where the server or the
// account has a limit (max_request_batch), it is in the consumer; the answer to a
// longer request is one that the client library does not show.
func (s *subscriber) atOnce() int {
	if most := s.pull.CachedInfo().Config.MaxRequestBatch; most > 0 {
		return min(most, s.work.consumer.InFlight)
	}
	return s.work.consumer.InFlight
}

// pullBatch pulls until n messages came or ctx has ended. The last of them may not have
// been delivered then, but gathered.
func (s *subscriber) pullBatch(ctx context.Context, n int, deliver func([]jetstream.Msg)) (got room, err error) {
	it, err := s.pull.Messages(jetstream.PullMaxMessages(n), jetstream.StopAfter(n))
	if err != nil {
		return got, err
	}
	defer it.Stop()
	for got.msgs < n {
		within := jetstream.NextContext(ctx)
		if len(s.gathered.msgs) > 0 {
			within = jetstream.NextMaxWait(s.gathered.wait(time.Now()))
		}
		s.pulse.rest()
		msg, err := it.Next(within)
		s.pulse.beat()
		switch {
		case errors.Is(err, nats.ErrTimeout):
			s.gathered.flush(deliver)
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
			got = got.plus(roomOf(s.work.consumer, msg))
			if now := time.Now(); s.gathered.add(msg, now) || s.work.prepare == nil {
				s.gathered.flush(deliver)
			}
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
	case ctx.Err() != nil:
		return
	case errors.Is(err, jetstream.ErrConsumerDeleted), errors.Is(err, jetstream.ErrConsumerNotFound),
		errors.Is(err, jetstream.ErrConnectionClosed):
		s.fail(fmt.Errorf("consumer %s: %w", s.work.label, err))
		return
	}
	s.log.WarnContext(ctx, "pulling messages failed, trying again", "err", err)
	select {
	case <-time.After(pause):
	case <-ctx.Done():
	}
}

// watch keeps messages from being delivered again until their verdicts have been
// carried out.
func (s *subscriber) watch(heartbeats context.Context, t *batch) {
	beat := time.NewTicker(s.work.consumer.AckWait / 3)
	defer beat.Stop()
	for {
		select {
		case <-beat.C:
			s.pulse.beat()
			for _, d := range t.inWork() {
				if err := d.raw.InProgress(); err != nil {
					s.log.DebugContext(heartbeats, "heartbeat failed", "err", err)
				}
			}
		case <-t.done:
			return
		case <-heartbeats.Done(): // the handler ignores its context
			for _, d := range t.inWork() {
				s.log.ErrorContext(heartbeats, "handler does not end, its message goes to another worker", "subject", d.Subject)
			}
			return
		}
	}
}
