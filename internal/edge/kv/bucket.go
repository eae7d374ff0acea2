package kv

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/backoff"
	"github.com/relaymesh/relaymesh/internal/contract"
)

// tries bounds how often a lost race is run again. The waits between are random
// from zero on, so that dozens of workers on one key all get through.
const tries = 64

var betweenTries = backoff.Backoff{First: time.Millisecond, Most: 64 * time.Millisecond}

// requestWait bounds one request to the server. nats.go does that only for a
// context without any deadline, and a sync's is half an hour away: so long an
// answer would be waited for that got lost.
const requestWait = 5 * time.Second

// markerTTL is how long the marker of a removed key stays. Nobody reads it, and until
// then it takes as much room as a value: strangers can have us write and remove many.
const markerTTL = 10 * time.Second

// Bucket is a KV bucket whose values are the JSON of T. It is safe for
// concurrent use. A value that is read forgets its times that cannot be so, if
// *T has a method Believe of the time it is (see [contract.Believe]).
type Bucket[T any] struct {
	js   jetstream.JetStream
	kv   jetstream.KeyValue
	name string // that NATS has

	reads, writes failing
}

// Open binds to an existing bucket; it never makes one.
func Open[T any](ctx context.Context, js jetstream.JetStream, name string) (*Bucket[T], error) {
	kv, err := js.KeyValue(ctx, name)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return nil, fmt.Errorf("open bucket %s: %w: run relaymesh provision first", name, err)
	}
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", name, err)
	}
	return &Bucket[T]{js: js, kv: kv, name: kv.Bucket()}, nil
}

// Get returns the value of key and whether there is one. A value that is not
// the JSON of T is an error that names bucket and key.
func (b *Bucket[T]) Get(ctx context.Context, key string) (value T, exists bool, err error) {
	value, revision, err := b.read(ctx, key)
	return value, revision != 0, err
}

// Update writes what decide makes of the old value, unless decide declines,
// and returns the value that then stands. If another writer comes in between,
// decide is asked again with what that one wrote: decide must be pure. After
// an error the write may or may not have happened.
func (b *Bucket[T]) Update(ctx context.Context, key string, decide func(old T, exists bool) (value T, write bool)) (T, error) {
	var result T
	err := b.compareAndSet(ctx, key, func(ctx context.Context, old T, revision uint64) error {
		value, write := decide(old, revision != 0)
		if !write {
			result = old
			return nil
		}
		result = value
		data, err := json.Marshal(value)
		if err != nil {
			return err
		}
		if revision == 0 {
			_, err = b.kv.Create(ctx, key, data)
		} else {
			_, err = b.kv.Update(ctx, key, data, revision)
		}
		b.writes.note(err)
		return err
	})
	if err != nil {
		return result, fmt.Errorf("update %w", err)
	}
	return result, nil
}

// Add writes a value that expires after ttl, unless the key has one already,
// and reports whether it did.
func (b *Bucket[T]) Add(ctx context.Context, key string, value T, ttl time.Duration) (added bool, err error) {
	data, err := json.Marshal(value)
	if err != nil {
		return false, fmt.Errorf("add %w", b.failed(key, err))
	}
	contract.Waits(ctx)
	ctx, cancel := context.WithTimeout(ctx, requestWait)
	defer cancel()
	_, err = b.kv.Create(ctx, key, data, jetstream.KeyTTL(ttl))
	b.writes.note(err)
	switch {
	case errors.Is(err, jetstream.ErrKeyExists):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("add %w", b.failed(key, err))
	}
	return true, nil
}

// Remove deletes the key if it exists and decide agrees, and reports whether
// it did. Like [Bucket.Update], it asks again if another writer came first.
func (b *Bucket[T]) Remove(ctx context.Context, key string, decide func(old T) bool) (removed bool, err error) {
	err = b.compareAndSet(ctx, key, func(ctx context.Context, old T, revision uint64) error {
		removed = revision != 0 && decide(old)
		if !removed {
			return nil
		}
		err := b.kv.Purge(ctx, key, jetstream.LastRevision(revision), jetstream.PurgeTTL(markerTTL))
		b.writes.note(err)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("remove %w", err)
	}
	return removed, nil
}

// compareAndSet reads and tries until attempt has no other writer in between.
func (b *Bucket[T]) compareAndSet(ctx context.Context, key string, attempt func(ctx context.Context, old T, revision uint64) error) error {
	for try := range tries {
		old, revision, err := b.read(ctx, key)
		if err != nil {
			return err
		}
		one, cancel := context.WithTimeout(ctx, requestWait)
		err = attempt(one, old, revision)
		cancel()
		if err == nil {
			return nil
		}
		if !errors.Is(err, jetstream.ErrKeyExists) && !errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
			return b.failed(key, err)
		}
		wait := rand.N(betweenTries.After(try + 1))
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return b.failed(key, context.Cause(ctx))
		}
	}
	return b.failed(key, fmt.Errorf("lost %d races against other writers", tries))
}

// read returns the value and its revision; revision 0 means that there is none.
func (b *Bucket[T]) read(ctx context.Context, key string) (T, uint64, error) {
	var none T
	contract.Waits(ctx)
	ctx, cancel := context.WithTimeout(ctx, requestWait)
	defer cancel()
	entry, err := b.kv.Get(ctx, key)
	b.reads.note(err)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return none, 0, nil
	}
	if err != nil {
		return none, 0, b.failed(key, err)
	}
	value, err := b.decode(key, entry.Value())
	return value, entry.Revision(), err
}

func (b *Bucket[T]) decode(key string, data []byte) (T, error) {
	var value T
	if err := json.Unmarshal(data, &value); err != nil {
		return value, b.failed(key, fmt.Errorf("value is not the JSON of a %T: %w", value, err))
	}
	if dated, is := any(&value).(interface{ Believe(now int64) }); is {
		dated.Believe(time.Now().Unix())
	}
	return value, nil
}

func (b *Bucket[T]) failed(key string, err error) error {
	return fmt.Errorf("bucket %s key %s: %w", b.name, key, err)
}
