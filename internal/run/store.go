package run

import (
	"context"
	"errors"
	"log/slog"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/edge/kv"
	"github.com/relaymesh/relaymesh/internal/stage"
)

// buckets opens the KV buckets that a stage needs, one after the other; err
// keeps what went wrong first, so that it is looked at once.
type buckets struct {
	ctx     context.Context //nolint:containedctx // lives for the start of a stage
	env     *Env
	failing []func() error
	err     error
}

// opened says what went wrong. From then on the process is ready only while all of them do what they
// are asked to.
func (b *buckets) opened(stageName string) error {
	b.env.addCheck("buckets of "+stageName, func() error {
		var errs []error
		for _, failing := range b.failing {
			errs = append(errs, failing())
		}
		return errors.Join(errs...)
	})
	return b.err
}

// open returns the bucket of that name as the port of a stage.
func open[T any](b *buckets, name string) stage.Store[T] {
	if b.err != nil {
		return nil // the others would fail for the same reason
	}
	s, err := OpenStore[T](b.ctx, b.env.JS, name, b.env.Log)
	if err != nil {
		b.err = err
		return nil
	}
	b.failing = append(b.failing, s.Failing)
	return s
}

// OpenStore opens the bucket of that name as the port of a stage.
func OpenStore[T any](ctx context.Context, js jetstream.JetStream, name string, log *slog.Logger) (Store[T], error) {
	bucket, err := kv.Open[T](ctx, js, name)
	return Store[T]{bucket, log}, err
}

// Store fits a bucket to the port: a listing passes over values that cannot be
// read, so that one broken value does not stop a whole slice.
type Store[T any] struct {
	*kv.Bucket[T]
	log *slog.Logger
}

// Each calls f for every key that matches the pattern, until f fails.
func (s Store[T]) Each(ctx context.Context, pattern string, f func(key string, value T) error) error {
	for entry, err := range s.List(ctx, pattern) {
		if err != nil {
			if entry.Key == "" {
				return err
			}
			s.log.ErrorContext(ctx, "passed over a value that cannot be read", "err", err)
			continue
		}
		if err := f(entry.Key, entry.Value); err != nil {
			return err
		}
	}
	return nil
}
