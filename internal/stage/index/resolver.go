package index

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/relaymesh/relaymesh/internal/health"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	// hedgeAfter is how long the indexes that were asked may be silent before the next is asked as well.
	hedgeAfter = 400 * time.Millisecond
	// askTimeout bounds one question.
	askTimeout = 5 * time.Second
	// maxEndings is how many deletions and requests to vanish of an author are read.
	maxEndings = 20
)

// ErrNoIndex means that no index could be asked. It says nothing of the author.
var ErrNoIndex = errors.New("no list index was reached")

// Resolver finds authors' lists at indexes, and remembers how these stand. Its fields are set before the first call; [Resolver.Open]
// must have succeeded. It is safe for concurrent use.
type Resolver struct {
	Network      Network // nil: no DHT; only indexes that are known are asked
	Relays       Relays
	Store        Store // nil: nothing is kept
	Named        []string
	Self         func(Statement) bool // tells our own index, which is not asked; nil: there is none
	Verified     func(nostr.Event)    // is told of announcements of indexes that were reached at the URL in it; may be nil
	AllowPrivate bool
	Now          func() time.Time
	Log          *slog.Logger

	mu      sync.Mutex
	known   map[string]Known
	changed bool
	found   time.Time // when Mainline was last asked for indexes
	finding *search

	running sync.WaitGroup  // questions and searches
	life    context.Context //nolint:containedctx // ends with Close
	end     func()
}

// Close ends all that calls have begun, and returns when nothing of it runs any more.
func (r *Resolver) Close() {
	r.end()
	r.running.Wait()
}

// detached is a context for what others may wait for as well, or what counts after the caller has gone: it ends with the time,
// or with the resolver.
func (r *Resolver) detached(ctx context.Context, most time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), most)
	stop := context.AfterFunc(r.life, cancel)
	return ctx, func() { stop(); cancel() }
}

// Open reads what the store has, and takes in the indexes that the operator named. Close must follow.
func (r *Resolver) Open() error {
	r.life, r.end = context.WithCancel(context.Background())
	r.known = map[string]Known{}
	if r.Store != nil {
		all, err := r.Store.Load()
		if err != nil {
			return err
		}
		all = slices.Clone(all)
		for i := range all {
			all[i].Believe(r.Now().Unix())
		}
		for _, k := range Bounded(all) {
			r.known[k.URL] = k
		}
	}
	for _, url := range r.Named {
		k := r.known[url]
		if k.URL == "" {
			k = Known{URL: url, FirstSeen: r.Now().Unix()}
		}
		k.Via = ViaConfig
		r.known[url] = k
	}
	return nil
}

// Save writes what changed to the store.
func (r *Resolver) Save() error {
	r.mu.Lock()
	all, changed := r.bounded(), r.changed
	r.changed = false
	r.mu.Unlock()
	if r.Store == nil || !changed {
		return nil
	}
	return r.Store.Save(all)
}

// bounded forgets what is not worth remembering, and returns the rest; mu is held.
func (r *Resolver) bounded() []Known {
	all := make([]Known, 0, len(r.known))
	for _, k := range r.known {
		all = append(all, k)
	}
	all = Bounded(all)
	clear(r.known)
	for _, k := range all {
		r.known[k.URL] = k
	}
	return all
}

// Known returns the indexes that are known, best first.
func (r *Resolver) Known() []Known {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bounded()
}

// Found is what a question for an author's lists came to.
type Found struct {
	Judgement

	Asked    []string // the indexes that were asked
	Answered int      // of them
	Proven   int      // of those that answered were proven before
}

// Why says for people how much a result without a list is worth, "" if there is nothing to say.
func (f Found) Why() string {
	switch {
	case len(f.Lists) > 0:
		return ""
	case len(f.Ended) > 0:
		return "the author has deleted the list"
	case f.Proven == 0:
		return fmt.Sprintf("%d list indexes answered and have no list; none of them has proved itself yet, so that says little", f.Answered)
	}
	return fmt.Sprintf("%d list indexes answered and have no list", f.Answered)
}

// Resolve asks indexes for an author's lists of some kinds. It asks those that are known, and others that it finds on Mainline
// if they are few or have nothing. The error is [ErrNoIndex] with what was tried, or the context's.
func (r *Resolver) Resolve(ctx context.Context, author string, kinds ...int) (Found, error) {
	var why error
	if len(r.choose(nil)) < asked {
		why = r.Find(ctx, asked)
	}
	found := r.ask(ctx, author, kinds, r.choose(nil))
	if len(found.Lists) == 0 && len(found.Ended) == 0 && ctx.Err() == nil && r.mayFind(findAgain) {
		why = r.Find(ctx, askedMost)
		if others := r.choose(found.Asked); len(others) > 0 {
			found = found.with(r.ask(ctx, author, kinds, others))
		}
	}
	if err := r.Save(); err != nil {
		r.Log.WarnContext(ctx, "what is known of list indexes was not saved", "err", err)
	}
	if found.Answered == 0 {
		if ctx.Err() != nil {
			return found, ctx.Err()
		}
		if why == nil {
			return found, ErrNoIndex
		}
		return found, fmt.Errorf("%w: %w", ErrNoIndex, why)
	}
	return found, nil
}

// with adds the result of a second round, in which others were asked since the first found nothing.
func (f Found) with(second Found) Found {
	second.Asked = append(f.Asked, second.Asked...)
	second.Answered += f.Answered
	second.Proven += f.Proven
	return second
}

// choose returns indexes to ask but for those that were.
func (r *Resolver) choose(but []string) []Known {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []Known
	for _, k := range r.known {
		if !slices.Contains(but, k.URL) {
			list = append(list, k)
		}
	}
	slices.SortFunc(list, func(a, b Known) int { return order(a.URL < b.URL, b.URL < a.URL) })
	return Choose(list, askedMost, r.Now(), rand.IntN)
}

// ask puts one question to indexes, three at first, the others as those are silent or have nothing. It returns when three have
// answered and one of them has something, or all have, or ctx ends. The questions are the resolver's: those that are answered
// later, or not at all, still count for how each stands.
func (r *Resolver) ask(ctx context.Context, author string, kinds []int, of []Known) Found {
	asking, cancel := r.detached(ctx, askTimeout)
	answers := make(chan Answer, len(of))
	next, waiting := 0, 0
	more := func() {
		if next < len(of) {
			url := of[next].URL
			next++
			waiting++
			go func() { answers <- r.question(asking, url, author, kinds) }()
		}
	}
	for range asked {
		more()
	}
	hedge := time.NewTicker(hedgeAfter)
	defer hedge.Stop()
	var got []Answer
	for enough := false; waiting > 0 && !enough && ctx.Err() == nil; {
		select {
		case a := <-answers:
			waiting--
			got = append(got, a)
			count, some := succeeded(got)
			if enough = count >= asked && some; !enough && (a.Failed || a.Lied || count >= asked) {
				more()
			}
		case <-hedge.C:
			more()
		case <-ctx.Done():
		}
	}
	found := r.judged(author, kinds, got)
	for _, k := range of[:next] {
		found.Asked = append(found.Asked, k.URL)
	}
	r.running.Go(func() {
		defer cancel()
		for range waiting {
			late := <-answers
			j := Judge(author, kinds, append(slices.Clone(got), late), r.Now().Unix())
			r.settle(late.URL, j.Outcomes[len(got)])
		}
	})
	return found
}

// succeeded counts the answers, and tells whether one of them has something.
func succeeded(answers []Answer) (count int, some bool) {
	for _, a := range answers {
		if !a.Failed && !a.Lied {
			count++
			some = some || len(a.Events) > 0
		}
	}
	return count, some
}

func (r *Resolver) question(ctx context.Context, url, author string, kinds []int) Answer {
	list, err := r.Relays.Ask(ctx, url, len(kinds)+maxEndings,
		nostr.Filter{Authors: []string{author}, Kinds: kinds, Limit: len(kinds)},
		nostr.Filter{Authors: []string{author}, Kinds: []int{nostr.KindDeletion, nostr.KindVanish}, Limit: maxEndings})
	if err != nil {
		r.Log.DebugContext(ctx, "a list index did not answer", "relay", url, "err", err)
	}
	return Answer{URL: url, Events: list, Failed: err != nil, Lied: errors.Is(err, reconcile.ErrMisbehaving)}
}

// judged compares answers, and writes down how those who gave them stand.
func (r *Resolver) judged(author string, kinds []int, answers []Answer) Found {
	f := Found{Judgement: Judge(author, kinds, answers, r.Now().Unix())}
	for i, a := range answers {
		if proven := r.settle(a.URL, f.Outcomes[i]); f.Outcomes[i] != Failed && f.Outcomes[i] != Lied {
			f.Answered++
			f.Proven += proven
		}
	}
	return f
}

// settle writes down how an index stands after an answer; proven is 1 if it was proven before.
func (r *Resolver) settle(url string, outcome Outcome) (proven int) {
	if outcome == Failed && r.life.Err() != nil {
		return 0 // it is we who did not wait
	}
	event := health.Answered
	switch outcome {
	case Failed:
		event = health.Failed
	case Lied:
		event = health.Refused
	}
	r.update(url, func(k Known) Known {
		if k.Proven() {
			proven = 1
		}
		return k.after(event, r.Now(), rand.Float64()).counted(outcome)
	})
	return proven
}

// update changes what is known of an index, if it still is.
func (r *Resolver) update(url string, change func(Known) Known) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if k, ok := r.known[url]; ok {
		r.known[url] = change(k)
		r.changed = true
	}
}
