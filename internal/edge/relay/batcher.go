package relay

import (
	"context"
	"sync"
	"time"

	"github.com/relaymesh/relaymesh/internal/reconcile"
)

// maxAsking is how many questions of a batcher are under way before those who come
// are gathered.
const maxAsking = 2

// batcher answers "which of these keys are missing" for many callers with few
// questions: a lone one is asked at once, and the keys of callers who come while
// others are asked are asked together.
type batcher struct {
	size int // how many keys one question may have
	ask  func(ctx context.Context, keys []string) (have map[string]bool, err error)

	mu     sync.Mutex
	open   *batch // the one that still takes keys
	asking int    // how many are asked
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
func (b *batcher) join(keys []string) []*batch {
	in := make([]*batch, len(keys))
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, key := range keys {
		if b.open == nil {
			b.open = &batch{seen: map[string]bool{}, done: make(chan struct{})}
		}
		in[i] = b.open
		if !b.open.seen[key] {
			b.open.seen[key] = true
			b.open.keys = append(b.open.keys, key)
		}
		if len(b.open.keys) >= b.size {
			b.start()
		}
	}
	if b.asking < maxAsking {
		b.start()
	}
	return in
}

// start asks what was gathered, if anything was; mu is held.
func (b *batcher) start() {
	if b.open == nil {
		return
	}
	go b.run(b.open)
	b.open = nil
	b.asking++
}

func (b *batcher) run(batch *batch) {
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	batch.have, batch.err = b.ask(ctx, batch.keys)
	close(batch.done)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.asking--; b.asking < maxAsking {
		b.start()
	}
}
