package sim_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// badJS is JetStream as a process sees it while faults are injected.
type badJS struct {
	jetstream.JetStream
	*incarnation
	ledger *ledger
}

func (j badJS) PublishMsg(ctx context.Context, msg *nats.Msg, opts ...jetstream.PublishOpt) (ack *jetstream.PubAck, err error) {
	err = j.effect("publish "+msg.Subject, func() error {
		// The client changes the header of a message that it sends.
		ack, err = j.JetStream.PublishMsg(ctx, &nats.Msg{Subject: msg.Subject, Header: cloned(msg.Header), Data: msg.Data}, opts...)
		j.ledger.took(msg.Subject, err == nil && !ack.Duplicate)
		return err
	})
	return ack, err
}

func cloned(h nats.Header) nats.Header {
	c := nats.Header{}
	for k, v := range h {
		c[k] = append([]string(nil), v...)
	}
	return c
}

func (j badJS) Publish(ctx context.Context, subject string, data []byte, opts ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	return j.PublishMsg(ctx, &nats.Msg{Subject: subject, Data: data}, opts...)
}

func (j badJS) KeyValue(ctx context.Context, name string) (jetstream.KeyValue, error) {
	kv, err := j.JetStream.KeyValue(ctx, name)
	return badKV{kv, j.incarnation, name, j.ledger}, err
}

func (j badJS) Stream(ctx context.Context, name string) (s jetstream.Stream, err error) {
	err = j.asks("stream "+name, func() error {
		s, err = j.JetStream.Stream(ctx, name)
		return err
	})
	return badStream{s, j.incarnation}, err
}

func (j badJS) Consumer(ctx context.Context, stream, name string) (jetstream.Consumer, error) {
	c, err := j.JetStream.Consumer(ctx, stream, name)
	return badConsumer{c, j.incarnation}, err
}

func (j badJS) CreateConsumer(ctx context.Context, stream string, c jetstream.ConsumerConfig) (consumer jetstream.Consumer, err error) {
	err = j.asks("list "+c.FilterSubject, func() error {
		consumer, err = j.JetStream.CreateConsumer(ctx, stream, c)
		return err
	})
	return consumer, err
}

// badKV is a bucket.
type badKV struct {
	jetstream.KeyValue
	*incarnation
	name   string
	ledger *ledger
}

func (b badKV) point(what, key string) string { return what + " " + b.name + "/" + key }

// lag is how far a follower of a stream may be behind its leader. All of them
// answer reads.
const lag = 10 * time.Second

// copied is a value as a follower has it.
type copied struct {
	jetstream.KeyValueEntry
	key string
	written
}

func (c copied) Key() string      { return c.key }
func (c copied) Value() []byte    { return c.value }
func (c copied) Revision() uint64 { return c.rev }

func (b badKV) Get(ctx context.Context, key string) (entry jetstream.KeyValueEntry, err error) {
	if old, changed := b.ledger.before(b.name, key, time.Now().Add(-lag)); changed && b.pick(b.point("copy", key), stale) == stale {
		if old.value == nil {
			return nil, jetstream.ErrKeyNotFound
		}
		return copied{key: key, written: old}, nil
	}
	err = b.asks(b.point("get", key), func() error {
		entry, err = b.KeyValue.Get(ctx, key)
		return err
	})
	return entry, err
}

func (b badKV) Create(ctx context.Context, key string, value []byte, opts ...jetstream.KVCreateOpt) (rev uint64, err error) {
	err = b.effect(b.point("put", key), func() error {
		rev, err = b.KeyValue.Create(ctx, key, value, opts...)
		b.wrote(key, rev, value, err)
		return err
	})
	return rev, err
}

func (b badKV) Update(ctx context.Context, key string, value []byte, last uint64) (rev uint64, err error) {
	err = b.effect(b.point("put", key), func() error {
		rev, err = b.KeyValue.Update(ctx, key, value, last)
		b.wrote(key, rev, value, err)
		return err
	})
	return rev, err
}

func (b badKV) Put(ctx context.Context, key string, value []byte) (rev uint64, err error) {
	err = b.effect(b.point("put", key), func() error {
		rev, err = b.KeyValue.Put(ctx, key, value)
		b.wrote(key, rev, value, err)
		return err
	})
	return rev, err
}

func (b badKV) Purge(ctx context.Context, key string, opts ...jetstream.KVDeleteOpt) error {
	return b.effect(b.point("purge", key), func() error {
		err := b.KeyValue.Purge(ctx, key, opts...)
		b.wrote(key, 0, nil, err)
		return err
	})
}

func (b badKV) wrote(key string, rev uint64, value []byte, err error) {
	if err == nil {
		b.ledger.wrote(b.name, key, rev, value)
	}
}

// badStream is a stream.
type badStream struct {
	jetstream.Stream
	*incarnation
}

func (s badStream) GetLastMsgForSubject(ctx context.Context, subject string) (m *jetstream.RawStreamMsg, err error) {
	err = s.asks("last "+subject, func() error {
		m, err = s.Stream.GetLastMsgForSubject(ctx, subject)
		return err
	})
	return m, err
}

func (s badStream) DeleteMsg(ctx context.Context, seq uint64) error {
	return s.effect(fmt.Sprint("delete ", s.CachedInfo().Config.Name), func() error { return s.Stream.DeleteMsg(ctx, seq) })
}

// badConsumer is a consumer.
type badConsumer struct {
	jetstream.Consumer
	*incarnation
}

func (c badConsumer) Messages(opts ...jetstream.PullMessagesOpt) (jetstream.MessagesContext, error) {
	it, err := c.Consumer.Messages(opts...)
	return &badMessages{MessagesContext: it, incarnation: c.incarnation}, err
}

// badMessages delivers late, twice, in another order or not at all. A message
// that is not delivered comes again after its AckWait.
type badMessages struct {
	jetstream.MessagesContext
	*incarnation
	held []jetstream.Msg
}

func (b *badMessages) Next(opts ...jetstream.NextOpt) (jetstream.Msg, error) {
	for {
		if len(b.held) > 0 {
			msg := b.held[0]
			b.held = b.held[1:]
			return msg, nil
		}
		msg, err := b.MessagesContext.Next(opts...)
		if err != nil {
			return msg, err
		}
		if b.dead() {
			return nil, errDead
		}
		msg = badMsg{msg, b.incarnation}
		point := "deliver " + msg.Subject()
		switch b.pick(point, lost, twice, swapped, late, crashBefore) {
		case lost:
			continue
		case twice:
			b.held = append(b.held, msg)
		case swapped:
			next, err := b.MessagesContext.Next(jetstream.NextMaxWait(2 * time.Second))
			if err == nil {
				b.held = append(b.held, msg)
				msg = badMsg{next, b.incarnation}
			}
		case late:
			if err := b.sleep(b.span(point, 5*time.Second)); err != nil {
				return nil, err
			}
		case crashBefore:
			b.kill()
			return nil, errDead
		}
		return msg, nil
	}
}

// badMsg is a message whose acknowledgement may be lost.
type badMsg struct {
	jetstream.Msg
	*incarnation
}

func (m badMsg) answer(send func() error) error {
	err := m.effect("answer "+m.Subject(), send, lost)
	if errors.Is(err, jetstream.ErrMsgAlreadyAckd) {
		return nil // it was delivered twice, or answered twice
	}
	return err
}

func (m badMsg) Ack() error { return m.answer(m.Msg.Ack) }
func (m badMsg) Nak() error { return m.answer(m.Msg.Nak) }
func (m badMsg) NakWithDelay(d time.Duration) error {
	return m.answer(func() error { return m.Msg.NakWithDelay(d) })
}

func (m badMsg) TermWithReason(reason string) error {
	return m.answer(func() error { return m.Msg.TermWithReason(reason) })
}
func (m badMsg) InProgress() error { return m.answer(m.Msg.InProgress) }
