package config

import (
	"bytes"
	"context"
	"sync/atomic"
	"time"
)

// lookEvery is how often a file is looked at. Reading a small file is cheap, and
// works where files are replaced by links, as on Kubernetes.
const lookEvery = 5 * time.Second

// watched is what a file says, which is read again when the file changes.
type watched[T any] struct {
	read func() (value T, data []byte, err error)
	now  atomic.Pointer[version[T]]
}

type version[T any] struct {
	data  []byte // of the file
	value T
}

// open reads it for the first time.
func (w *watched[T]) open() error {
	value, data, err := w.read()
	if err == nil {
		w.now.Store(&version[T]{data, value})
	}
	return err
}

// watch tells of changes until ctx ends or changed fails. A file that is wrong
// changes nothing, and wrong is told once. What is found twice in a row counts:
// editors write in pieces.
func (w *watched[T]) watch(ctx context.Context, wrong func(ctx context.Context, err error),
	changed func(ctx context.Context, value T) error,
) error {
	every := time.NewTicker(lookEvery)
	defer every.Stop()
	var complaint string
	seen := &w.now.Load().data
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-every.C:
		}
		value, data, err := w.read()
		if err != nil {
			if complaint != err.Error() {
				wrong(ctx, err)
			}
			complaint, seen = err.Error(), nil
			continue
		}
		again := seen != nil && bytes.Equal(data, *seen)
		if seen = &data; !again {
			continue
		}
		complaint = ""
		if bytes.Equal(data, w.now.Load().data) {
			continue
		}
		w.now.Store(&version[T]{data, value})
		if err := changed(ctx, value); err != nil {
			return err
		}
	}
}
