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
	running map[string]*looking           // by author
	tried   recent.Map[string, time.Time] // when an author was looked up last
}

// Lacking looks up the authors of addresses that our index lacks, and returns when all have been, or ctx ends; then what is
// found later is kept all the same. Who was looked up lately is not again. all is false if an author has not been looked up:
// ctx has ended, no index could be asked, or more were asked for than are looked up at a time.
func (l *LookUp) Lacking(ctx context.Context, lacking []nostr.Address) (all bool) {
	all = true
	var begun []*looking
	for _, a := range lacking {
		author, lately := l.begin(ctx, a.PubKey)
		if author != nil {
			begun = append(begun, author)
		}
		all = all && (author != nil || lately)
	}
	for _, author := range begun {
		select {
		case <-author.done:
			all = all && author.answered
		case <-ctx.Done():
			return false
		}
	}
	return all
}

// looking is an author who is being looked up.
type looking struct {
	done     chan struct{} // closed when answered is set
	answered bool          // by some index
}

// begin starts to look an author up, or joins a look-up that runs. There is none for one who was lately, nor beyond lookUps.
func (l *LookUp) begin(ctx context.Context, author string) (at *looking, lately bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at := l.running[author]; at != nil {
		return at, false
	}
	tried, known := l.tried.Get(author)
	if lately = known && l.Now().Sub(tried) < absentFor; lately || len(l.running) >= lookUps {
		return nil, lately
	}
	if l.running == nil {
		l.running = map[string]*looking{}
	}
	at = &looking{done: make(chan struct{})}
	l.running[author] = at
	l.Resolver.running.Go(func() {
		defer close(at.done)
		ctx, cancel := l.Resolver.detached(ctx, lookUpTimeout)
		defer cancel()
		at.answered = l.resolve(ctx, author)
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.running, author)
		if at.answered {
			l.tried.Put(author, l.Now())
		}
	})
	return at, false
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
