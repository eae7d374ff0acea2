package relay

import (
	"context"
	"sync"
	"time"

	"github.com/relaymesh/relaymesh/internal/reconcile"
)

// batcher answers "which of these keys are missing" for many callers with few
// questions: the keys of callers who come within [gather] are asked together.
type batcher struct {
	size int // how many keys one question may have
	ask  func(ctx context.Context, keys []string) (have map[string]bool, err error)

	mu   sync.Mutex
	open *batch // the one that still takes keys
}

// batch is one question.
type batch struct {
	keys []string
	seen map[string]bool
	done chan struct{} // closed when have and err are set
	have map[string]bool
	err  error
}

// askTimeout bounds a question, and before it the time for which the relay may be
// away: it belongs to several callers, so no single caller's context ends it.
const askTimeout = reconcile.MaxAway + 30*time.Second

func (b *batcher) missing(ctx context.Context, keys []string) ([]string, error) {
	in := b.join(keys)
	var missing []string
	for i, batch := range in {
		select {
		case <-batch.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if batch.err != nil {
			return nil, batch.err
		}
		if !batch.have[keys[i]] {
			missing = append(missing, keys[i])
		}
	}
	return missing, nil
}

// join puts every key into a batch and returns them in the order of the keys.
// A full batch is asked at once, the others after a moment.
func (b *batcher) join(keys []string) []*batch {
	if len(keys) == 0 {
		return nil
	}
	in := make([]*batch, len(keys))
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, key := range keys {
		if b.open == nil {
			opened := &batch{seen: map[string]bool{}, done: make(chan struct{})}
			b.open = opened
			time.AfterFunc(gather, func() { b.flush(opened) })
		}
		in[i] = b.open
		if !b.open.seen[key] {
			b.open.seen[key] = true
			b.open.keys = append(b.open.keys, key)
		}
		if len(b.open.keys) >= b.size {
			full := b.open
			b.open = nil
			go b.run(full)
		}
	}
	return in
}

// flush asks a batch whose time is up, unless it was full before.
func (b *batcher) flush(batch *batch) {
	b.mu.Lock()
	waiting := b.open == batch
	if waiting {
		b.open = nil
	}
	b.mu.Unlock()
	if waiting {
		b.run(batch)
	}
}

func (b *batcher) run(batch *batch) {
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	batch.have, batch.err = b.ask(ctx, batch.keys)
	close(batch.done)
}
