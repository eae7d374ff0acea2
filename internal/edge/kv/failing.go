package kv

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// failingAfter is how long requests may fail before that is told.
const failingAfter = time.Minute

// failing is since when all requests of a kind have failed.
type failing struct {
	mu          sync.Mutex
	since, last time.Time // the first and the last one; zero for none
	why         error
}

// note takes in how a request ended. A bucket that has no such value, or keeps the one it has, lives; a
// caller that gives up says nothing.
func (f *failing) note(err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	switch {
	case err == nil, errors.Is(err, jetstream.ErrKeyNotFound), errors.Is(err, jetstream.ErrKeyExists),
		errors.Is(err, jetstream.ErrKeyRevisionMismatch):
		f.since = time.Time{}
		return
	case f.since.IsZero():
		f.since = now
	}
	f.last, f.why = now, err
}

func (f *failing) tell() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.since.IsZero() || f.last.Sub(f.since) < failingAfter {
		return nil
	}
	return fmt.Errorf("nothing for %s: %w", time.Since(f.since).Round(time.Second), f.why)
}

// Failing says whether the bucket gives or takes nothing any more, though it was asked to for a minute and
// longer; nil if that is not so.
func (b *Bucket[T]) Failing() error {
	var list []error
	for what, f := range map[string]*failing{"gives": &b.reads, "takes": &b.writes} {
		if err := f.tell(); err != nil {
			list = append(list, fmt.Errorf("bucket %s %s %w", b.name, what, err))
		}
	}
	return errors.Join(list...)
}
