package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"
)

// recovery is how long it took after the end of a fault until the pipeline
// worked again.
type recovery struct {
	kind string
	took time.Duration
}

// recoveries gathers them.
type recoveries struct {
	mu   sync.Mutex
	list []recovery
}

func (r *recoveries) add(kind string, took time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, recovery{kind, took})
}

// of returns the times of one kind.
func (r *recoveries) of(kind string) (took []time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, one := range r.list {
		if one.kind == kind {
			took = append(took, one.took)
		}
	}
	return took
}

// recovered returns how long it takes until a probe passes the whole pipeline.
// There is a new probe every second, since one may meet the rest of a fault and
// wait for its second attempt.
func (w *load) recovered(ctx context.Context) (time.Duration, error) {
	begun := time.Now()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	passed := make(chan struct{})
	var once sync.Once
	for wait := time.Second; ; wait += wait / 10 {
		w.goes(func() error {
			if err := w.probe(ctx); err != nil {
				return err
			}
			once.Do(func() { close(passed) })
			return nil
		})
		select {
		case <-passed:
			return time.Since(begun), nil
		case <-time.After(wait):
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// probe lets a user of the home relay sign a first list and reply to a note
// that is not there, and returns when the list is on the DHT and the note at
// home: that takes every stage but the sync.
func (w *load) probe(ctx context.Context) error {
	newcomer, err := w.newAuthor(0)
	if err != nil {
		return err
	}
	sending := context.WithoutCancel(ctx) // what one half was sent of is sent
	onDHT, err := w.signList(sending, newcomer)
	if err != nil {
		return err
	}
	atHome, err := w.reply(sending, newcomer, w.strangers[rand.IntN(len(w.strangers))], w.atHome) //nolint:gosec // any will do
	if err != nil {
		return err
	}
	for _, done := range []<-chan struct{}{onDHT, atHome} {
		select {
		case <-done:
		case <-ctx.Done():
			return errors.New("not in time")
		}
	}
	return nil
}
