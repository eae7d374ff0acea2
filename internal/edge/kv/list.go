package kv

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/contract"
)

// page is how many values one request brings; it bounds memory.
const page = 256

const (
	pageWait = 5 * time.Second
	// idle is when the server forgets a listing that asks for nothing more,
	// which bounds how long the loop may work on one page.
	idle = 15 * time.Minute
)

// Entry is one key of a bucket with its value.
type Entry[T any] struct {
	Key   string
	Value T
}

// List iterates over the keys that match a pattern, such as 3f.* or *.pubkey,
// or > for all. A value that does not decode comes with an error and its key,
// and the iteration goes on; any other error ends it. A key that is written
// meanwhile may come twice; one that is not is never missed. The bucket may be
// changed inside the loop, and the loop may be left early; working on 256 values
// must not take longer than 15 minutes.
func (b *Bucket[T]) List(ctx context.Context, pattern string) iter.Seq2[Entry[T], error] {
	return func(yield func(Entry[T], error) bool) {
		err := b.few(ctx, pattern, yield)
		if errors.Is(err, errMany) {
			err = b.list(ctx, pattern, yield)
		}
		if err != nil && !errors.Is(err, errLeft) {
			yield(Entry[T]{}, fmt.Errorf("list %s of bucket %s: %w", pattern, b.name, err))
		}
	}
}

var (
	errLeft = errors.New("loop was left")
	errMany = errors.New("more than one question brings")
)

// few lists what one question brings, if the pattern ends in a name: such as *.pubkey, of
// which there are few. The server walks through the keys of the whole bucket for each
// consumer, once to count and once to deliver, but only once for a question.
func (b *Bucket[T]) few(ctx context.Context, pattern string, yield func(Entry[T], error) bool) error {
	if strings.HasSuffix(pattern, "*") || strings.HasSuffix(pattern, ">") {
		return errMany
	}
	asking, cancel := context.WithTimeout(ctx, requestWait)
	messages, err := b.last(asking, pattern)
	cancel()
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return errMany // the listing gets to the end, or says why not
	}
	for _, m := range messages {
		if Removed(m.Header) {
			continue
		}
		key := m.Subject[len(b.subject("")):]
		value, err := b.decode(key, m.Data)
		if !yield(Entry[T]{key, value}, err) {
			return errLeft
		}
	}
	return nil
}

// list pulls through a short-lived consumer of the bucket's stream. A KV
// watcher would be less code, but it pushes: it stalls for ever if a key
// expires at the wrong moment, and leaks a goroutine if the loop is left early.
func (b *Bucket[T]) list(ctx context.Context, pattern string, yield func(Entry[T], error) bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	contract.Waits(ctx)
	prefix := b.subject("")
	stream := "KV_" + b.name
	// Whoever loses patience meanwhile waits for the answer all the same: a consumer
	// that nobody knows of stays until it is idle for long, and a thousand of those are
	// all that a stream may have.
	making, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestWait)
	defer cancel()
	consumer, err := b.js.CreateConsumer(making, stream, jetstream.ConsumerConfig{
		FilterSubject:     prefix + pattern,
		DeliverPolicy:     jetstream.DeliverLastPerSubjectPolicy,
		AckPolicy:         jetstream.AckNonePolicy,
		MemoryStorage:     true,
		Replicas:          1,
		InactiveThreshold: idle,
	})
	if err != nil {
		return err
	}
	info := consumer.CachedInfo()
	defer func() {
		// Even for a caller whose context has ended; if it fails, the server
		// forgets the consumer by itself.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestWait)
		defer cancel()
		_ = b.js.DeleteConsumer(ctx, stream, info.Name)
	}()
	if err := ctx.Err(); err != nil {
		return err
	}

	var delivered uint64
	for left := info.NumPending; left > 0; {
		batch, err := consumer.Fetch(int(min(left, page)), jetstream.FetchMaxWait(pageWait))
		if err != nil {
			return err
		}
		before := delivered
		for msg := range batch.Messages() {
			meta, err := msg.Metadata()
			if err != nil {
				return err
			}
			if delivered++; meta.Sequence.Consumer != delivered {
				return errors.New("interrupted: the connection lost a part of the listing")
			}
			left = meta.NumPending
			if Removed(msg.Headers()) {
				continue
			}
			key := msg.Subject()[len(prefix):]
			value, err := b.decode(key, msg.Data())
			if !yield(Entry[T]{key, value}, err) {
				return errLeft
			}
		}
		if err := errors.Join(batch.Error(), ctx.Err()); err != nil {
			return err
		}
		if delivered == before {
			// Nothing came: the rest may have been removed or expired.
			asking, cancel := context.WithTimeout(ctx, requestWait)
			info, err := consumer.Info(asking)
			cancel()
			if err != nil {
				return err
			}
			if info.NumPending >= left {
				return errors.New("interrupted: the server sends nothing more")
			}
			left = info.NumPending
		}
	}
	return nil
}

// Removed reports whether a message is only the marker of a removed key.
func Removed(h nats.Header) bool {
	return h.Get(jetstream.MarkerReasonHeader) != "" || h.Get("KV-Operation") != ""
}
