package sim_test

import (
	"context"
	"errors"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/relaymesh/relaymesh/internal/stage"
)

var errFault = errors.New("injected fault")

// faults lets one effect of a worker fail: the at-th of its KV writes and
// publishes, counting from 1. If happened is set the effect takes place all
// the same, as when the answer is lost on its way.
type faults struct {
	at       int
	happened bool

	mu    sync.Mutex
	count int
	dead  bool
}

// kill makes everything fail from now on, as when the process is killed: what
// it had begun out there goes on, but it reads and writes nothing any more.
func (f *faults) kill() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dead = true
}

// around runs an effect, or makes it fail.
func (f *faults) around(effect func() error) error {
	if f == nil {
		return effect()
	}
	f.mu.Lock()
	f.count++
	hit, dead := f.count == f.at, f.dead
	f.mu.Unlock()
	if hit && !f.happened || dead {
		return errFault
	}
	if err := effect(); err != nil {
		return err
	}
	if hit {
		return errFault
	}
	return nil
}

// fired reports whether the fault has occurred.
func (f *faults) fired() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count >= f.at
}

func (f *faults) killed() bool {
	if f == nil {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dead
}

// faultyJS passes publishes through faults.
type faultyJS struct {
	jetstream.JetStream
	faults *faults
}

func (j faultyJS) PublishMsg(ctx context.Context, msg *nats.Msg, opts ...jetstream.PublishOpt) (ack *jetstream.PubAck, err error) {
	err = j.faults.around(func() error {
		ack, err = j.JetStream.PublishMsg(ctx, msg, opts...)
		return err
	})
	return ack, err
}

// faultyStore passes writes through faults. A change that writes nothing is no
// effect, and reading is none.
type faultyStore[T any] struct {
	stage.Store[T]
	faults *faults
}

func faulty[T any](_ *world, f *faults, s stage.Store[T]) stage.Store[T] { return faultyStore[T]{s, f} }

func (s faultyStore[T]) Get(ctx context.Context, key string) (v T, found bool, err error) {
	if s.faults.killed() {
		return v, false, errFault
	}
	return s.Store.Get(ctx, key)
}

func (s faultyStore[T]) Update(ctx context.Context, key string, change func(old T, found bool) (T, bool)) (v T, err error) {
	old, found, err := s.Get(ctx, key)
	if err != nil {
		return v, err
	}
	if _, write := change(old, found); !write {
		return s.Store.Update(ctx, key, change)
	}
	err = s.faults.around(func() error {
		v, err = s.Store.Update(ctx, key, change)
		return err
	})
	return v, err
}

func (s faultyStore[T]) Remove(ctx context.Context, key string, decide func(old T) bool) (removed bool, err error) {
	err = s.faults.around(func() error {
		removed, err = s.Store.Remove(ctx, key, decide)
		return err
	})
	return removed, err
}
