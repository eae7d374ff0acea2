package kv

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// forgotten is when the server forgets who watches for keys and is gone.
	forgotten = time.Minute
	// maxMarkers bounds the removals that are remembered, in case their keys come again.
	maxMarkers = 1000
)

// Comings calls f with every key that matches a pattern and is made or removed from now
// on, until ctx ends; other changes of values it passes over. An error says that some may
// have gone untold.
func (b *Bucket[T]) Comings(ctx context.Context, pattern string, f func(key string)) error {
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
	markers := map[string]uint64{} // by key: the revision of its removal
	for delivered := uint64(0); ; {
		asking, cancel := context.WithTimeout(ctx, forgotten/2)
		batch, err := consumer.Fetch(page, jetstream.FetchContext(asking))
		if err == nil {
			for msg := range batch.Messages() {
				meta, broken := msg.Metadata()
				if delivered++; broken != nil || meta.Sequence.Consumer != delivered {
					err = errors.New("interrupted: the connection lost a part of the changes")
					break
				}
				key := msg.Subject()[len(prefix):]
				switch {
				case Removed(msg.Headers()):
					if len(markers) == maxMarkers {
						clear(markers)
					}
					markers[key] = meta.Sequence.Stream
				case !made(msg.Headers(), markers[key]):
					continue
				default:
					delete(markers, key)
				}
				f(key)
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

// made reports whether a message writes a key that was not there: behind nothing, or
// behind the marker of its removal.
func made(h nats.Header, marker uint64) bool {
	behind, err := strconv.ParseUint(h.Get(jetstream.ExpectedLastSubjSeqHeader), 10, 64)
	return err == nil && (behind == 0 || behind == marker)
}
