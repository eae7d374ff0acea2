package index

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/relaymesh/relaymesh/internal/recent"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	// lookUps is how many authors are looked up at a time for those who ask an index; for more it does not wait.
	lookUps = 32
	// lookUpTimeout bounds one.
	lookUpTimeout = 10 * time.Second
	// absentFor is how long an author of whom nobody has a list is not looked up again.
	absentFor = 10 * time.Minute
)

// LookUp finds at other indexes what our own lacks when it is asked for it. Its fields are set before the first call. It is
// safe for concurrent use.
type LookUp struct {
	Resolver *Resolver
	Kinds    []int
	Keep     func(nostr.Event) // puts what was found into our index
	Now      func() time.Time
	Log      *slog.Logger

	mu      sync.Mutex
	running map[string]chan struct{}      // by author; closed at the end
	tried   recent.Map[string, time.Time] // when an author was looked up last
}

// Lacking looks up the authors of addresses that our index lacks, and returns when all have been, or ctx ends; then what is
// found later is kept all the same. Who was looked up lately, and more than can be at a time, are left out.
func (l *LookUp) Lacking(ctx context.Context, lacking []nostr.Address) {
	var ends []chan struct{}
	for _, a := range lacking {
		if end := l.begin(ctx, a.PubKey); end != nil {
			ends = append(ends, end)
		}
	}
	for _, end := range ends {
		select {
		case <-end:
		case <-ctx.Done():
			return
		}
	}
}

// begin starts to look an author up, or returns the end of a look-up that runs; nil if there is none.
func (l *LookUp) begin(ctx context.Context, author string) (end chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if end := l.running[author]; end != nil {
		return end
	}
	if at, known := l.tried.Get(author); known && l.Now().Sub(at) < absentFor || len(l.running) >= lookUps {
		return nil
	}
	if l.running == nil {
		l.running = map[string]chan struct{}{}
	}
	end = make(chan struct{})
	l.running[author] = end
	l.Resolver.running.Go(func() {
		defer close(end)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookUpTimeout)
		defer cancel()
		answered := l.resolve(ctx, author)
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.running, author)
		if answered {
			l.tried.Put(author, l.Now())
		}
	})
	return end
}

// resolve looks an author up and keeps what is found. answered is false if no index could be asked.
func (l *LookUp) resolve(ctx context.Context, author string) (answered bool) {
	found, err := l.Resolver.Resolve(ctx, author, l.Kinds...)
	if err != nil {
		l.Log.DebugContext(ctx, "couldn't look up lists at other indexes", "pubkey", author, "err", err)
		return false
	}
	for _, e := range found.Lists {
		l.Keep(e)
	}
	for _, e := range found.Endings {
		l.Keep(e)
	}
	return true
}
