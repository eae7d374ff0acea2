package index

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/relaymesh/relaymesh/internal/health"
)

const (
	// pullEvery is how often an index takes over what others have, and pulled from how many of them; after pullSoon it goes on
	// where that has brought something.
	pullEvery = time.Minute
	pullSoon  = 20 * time.Second
	pulled    = 3
	// mostPulling is from how many it is pulled at a time.
	mostPulling = 12
	// verifyEvery is how often an index that is used shows anew that it is one.
	verifyEvery = time.Hour
	// pullTimeout bounds one sync.
	pullTimeout = 10 * time.Minute
	// met is how many indexes that others have named are reached each minute, and meetEvery how often an infohash is
	// looked up for those that nobody has named yet.
	met       = 3
	meetEvery = 4 * time.Minute
)

// Puller fills our index from others: every minute from a few at random, no two of one network, and sooner while there is
// something to take. One that takes long, or is silent by intent, delays no other. It goes on to meet others, however many it
// knows: what an index has that began after all others comes to nobody before one of them looks for it. Its fields are set
// before [Puller.Run].
type Puller struct {
	Resolver *Resolver
	// Pull takes over from an index what ours lacks of its kinds, and returns how many events came.
	Pull func(ctx context.Context, from Known) (events int, err error)
	Log  *slog.Logger

	begun time.Time
	meets time.Time // when it looks for others again

	brought atomic.Bool // something, since the round began

	mu      sync.Mutex
	pulling map[string]bool // URLs
}

// Run pulls until ctx ends.
func (p *Puller) Run(ctx context.Context) {
	p.begun, p.pulling = p.Resolver.Now(), map[string]bool{}
	p.meets = p.begun.Add(rand.N(meetEvery))
	var running sync.WaitGroup
	defer running.Wait()
	for ctx.Err() == nil {
		p.brought.Store(false)
		p.round(ctx, &running)
		about := 0.75 + rand.Float64()/2
		p.pause(ctx, time.Duration(about*float64(pullSoon)))
		if !p.brought.Load() {
			p.pause(ctx, time.Duration(about*float64(pullEvery-pullSoon)))
		}
	}
}

func (*Puller) pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// round begins to pull from a few.
func (p *Puller) round(ctx context.Context, running *sync.WaitGroup) {
	r := p.Resolver
	if len(r.choose(nil)) < askedMost && r.mayFindSince(p.begun) {
		if err := r.Find(ctx, askedMost); err != nil {
			p.Log.DebugContext(ctx, "found no list index", "err", err)
		}
	}
	look := !r.Now().Before(p.meets)
	if look {
		p.meets = r.Now().Add(meetEvery/2 + rand.N(meetEvery))
	}
	running.Go(func() { r.Meet(ctx, met, look) })
	for _, k := range p.choose() {
		running.Go(func() {
			p.pull(ctx, k)
			p.mu.Lock()
			delete(p.pulling, k.URL)
			p.mu.Unlock()
		})
	}
	if err := r.Save(); err != nil {
		p.Log.WarnContext(ctx, "what is known of list indexes was not saved", "err", err)
	}
}

// choose returns indexes from which nothing is being pulled, and notes that it is from now on.
func (p *Puller) choose() []Known {
	p.mu.Lock()
	defer p.mu.Unlock()
	rest := slices.DeleteFunc(p.Resolver.Known(), func(k Known) bool { return p.pulling[k.URL] })
	chosen := Choose(rest, min(pulled, mostPulling-len(p.pulling)), p.Resolver.Now(), rand.IntN)
	for _, k := range chosen {
		p.pulling[k.URL] = true
	}
	return chosen
}

func (p *Puller) pull(ctx context.Context, k Known) {
	r := p.Resolver
	if r.Now().Sub(time.Unix(k.Verified, 0)) >= verifyEvery {
		if _, err := r.verify(ctx, k.URL, k.Via); err != nil {
			return
		}
		r.learn(ctx, k.URL)
	}
	ctx, cancel := context.WithTimeout(ctx, pullTimeout)
	defer cancel()
	events, err := p.Pull(ctx, k)
	if events > 0 {
		p.brought.Store(true)
	}
	event := health.Answered
	if err != nil && ctx.Err() == nil {
		p.Log.InfoContext(ctx, "couldn't take over the lists of an index", "relay", k.URL, "err", err)
		event = health.Failed
	}
	r.update(k.URL, func(k Known) Known {
		if events > 0 {
			k = k.counted(Delivered)
		}
		return k.after(event, r.Now(), rand.Float64())
	})
}
