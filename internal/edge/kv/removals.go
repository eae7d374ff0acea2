package kv

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// forgotten is when the server forgets who watches for removals and is gone.
const forgotten = time.Minute

// Removals calls f with every key that matches a pattern and is removed from now on,
// until ctx ends. An error says that some may have gone untold.
func (b *Bucket[T]) Removals(ctx context.Context, pattern string, f func(key string)) error {
	prefix, stream := b.subject(""), "KV_"+b.name
	making, cancel := context.WithTimeout(ctx, requestWait)
	defer cancel()
	consumer, err := b.js.CreateConsumer(making, stream, jetstream.ConsumerConfig{
		FilterSubject:     prefix + pattern,
		DeliverPolicy:     jetstream.DeliverNewPolicy,
		AckPolicy:         jetstream.AckNonePolicy,
		HeadersOnly:       true,
		MemoryStorage:     true,
		Replicas:          1,
		InactiveThreshold: forgotten,
	})
	if err != nil {
		return b.failed(pattern, err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestWait)
		defer cancel()
		_ = b.js.DeleteConsumer(ctx, stream, consumer.CachedInfo().Name) // else the server forgets it by itself
	}()
	for delivered := uint64(0); ; {
		asking, cancel := context.WithTimeout(ctx, forgotten/2)
		batch, err := consumer.Fetch(page, jetstream.FetchContext(asking))
		if err == nil {
			for msg := range batch.Messages() {
				meta, broken := msg.Metadata()
				if delivered++; broken != nil || meta.Sequence.Consumer != delivered {
					err = errors.New("interrupted: the connection lost a part of the removals")
					break
				}
				if Removed(msg.Headers()) {
					f(msg.Subject()[len(prefix):])
				}
			}
			if err == nil {
				err = batch.Error()
			}
		}
		cancel()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			return b.failed(pattern, err)
		}
	}
}
