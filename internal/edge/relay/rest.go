package relay

import (
	"context"
	"errors"
	"time"

	"github.com/relaymesh/relaymesh/internal/health"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/internal/trouble"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// followedFor is how long after it was subscribed to a relay is wanted that nobody
// has named.
const followedFor = 24 * time.Hour

// rest is a relay that is wanted and cannot be reached. A goroutine dials it, and
// does nothing else with it, until it answers or is not wanted any more. mu guards
// the failure.
type rest struct {
	failure

	begun   time.Time
	back    chan struct{}   // closed at its end
	trouble trouble.Trouble // told of if the operator has named it
}

// Want has the pool take relays for wanted: when they go away they are dialled until
// they are back. Each purpose has its own relays, in place of those that it had
// before; a URL that is none is passed over. The local relay is always wanted, and so
// is one that was subscribed to within a day.
func (p *Pool) Want(purpose string, urls ...string) {
	set := map[string]bool{}
	for _, url := range urls {
		if normal, err := nostr.NormalizeRelayURL(url, p.opts.AllowPrivate); err == nil {
			set[normal] = true
			p.opts.Budget.Prove(normal)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.named[purpose] = set
}

// OnBack has a function told of each wanted relay, by its normalised URL, that was
// away and answers again. The pool waits for it when it is closed.
func (p *Pool) OnBack(tell func(url string)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.onBack = tell
}

// isNamed reports whether the operator has named a relay; mu is held.
func (p *Pool) isNamed(url string) bool {
	for _, set := range p.named {
		if set[url] {
			return true
		}
	}
	return p.opts.Local
}

// isWanted reports whether a relay is wanted; mu is held.
func (p *Pool) isWanted(url string) bool {
	followed, known := p.followed.Get(url)
	return p.isNamed(url) || known && time.Since(followed) < followedFor
}

// follows notes that a relay is subscribed to.
func (p *Pool) follows(url string) {
	if url, err := nostr.NormalizeRelayURL(url, p.opts.AllowPrivate); err == nil {
		p.followed.Put(url, time.Now())
	}
}

// use is the use of the pool's wanted relays.
func (p *Pool) use() health.Use {
	if p.opts.Local {
		return health.Local
	}
	return health.Wanted
}

// away lets a wanted relay that could not be dialled rest, unless it does so
// already, and returns what is to be told of it; mu is held.
func (p *Pool) away(url string, err error) *reconcile.AwayError {
	r := p.resting[url]
	if r == nil {
		r = &rest{begun: time.Now(), back: make(chan struct{})}
		// One that was back for a moment only goes on where it was.
		if f, _ := p.failures.Get(url); !f.back.IsZero() && !health.Wanted.Steady(time.Since(f.back)) {
			r.failure = f
		}
		r.next(p.use(), err)
		p.resting[url] = r
		r.trouble = trouble.Trouble{
			Log: p.opts.Log, Begins: "relay is away, and dialled until it is back", Ends: "relay is back",
		}
		p.tell(url, r, err)
		p.running.Go(func() { p.dialUntilBack(url, r) })
	}
	return &reconcile.AwayError{Since: r.begun, Back: r.back, Err: err}
}

// tell logs how a relay that the operator has named does, which is dialled; mu is held.
func (p *Pool) tell(url string, r *rest, err error) {
	if p.isNamed(url) {
		r.trouble.Note(p.ctx, err, "relay", url)
	}
}

// dialUntilBack ends the rest of a relay.
func (p *Pool) dialUntilBack(url string, r *rest) {
	for {
		p.mu.Lock()
		wait := time.NewTimer(time.Until(r.LeftAloneUntil))
		p.mu.Unlock()
		select {
		case <-wait.C:
		case <-p.ctx.Done():
			wait.Stop()
		}
		conn, err := Dial(p.ctx, url, p.options(url))
		if over, tell := p.redialled(url, r, conn, err); over {
			tell(url)
			return
		}
	}
}

// redialled takes in an attempt, and reports whether the rest is over and who is to
// be told of it.
func (p *Pool) redialled(url string, r *rest, conn *Conn, err error) (over bool, tell func(string)) {
	tell = func(string) {}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.ctx.Err() != nil:
		if conn != nil {
			p.running.Go(conn.Close)
		}
	case err == nil:
		p.failures.Put(url, failure{State: health.State{Failures: r.Failures, Since: r.Since}, back: time.Now()})
		e := &entry{dialled: make(chan struct{}), conn: conn}
		close(e.dialled)
		p.relays[url] = e
		conn.keepTo(p.allows(url))
		p.connected(url, e)
		p.tell(url, r, nil)
		if p.onBack != nil {
			tell = p.onBack
		}
	case p.isWanted(url):
		r.next(p.use(), err)
		p.tell(url, r, err)
		return false, nil
	default: // one of the others, from here on
		p.failures.Put(url, r.failure)
	}
	delete(p.resting, url)
	close(r.back)
	return true, tell
}

// reach is [Pool.Conn] that waits for the local relay, without which nothing can be
// done, for as long as [reconcile.AwayError.Wait] does.
func (p *Pool) reach(ctx context.Context, url string) (*Conn, error) {
	for {
		c, err := p.Conn(ctx, url)
		if away := reconcile.AwayOf(err); away == nil || !p.opts.Local || !away.Wait(ctx) {
			return c, err
		}
	}
}

// Tail is [Tail] with the options of the pool. The connection is its own, but the
// pool is told that there can be none: while a wanted relay is away it waits.
func (p *Pool) Tail(ctx context.Context, url string, f Follow) error {
	url, err := nostr.NormalizeRelayURL(url, p.opts.AllowPrivate)
	if err != nil {
		return err
	}
	p.mu.Lock()
	err = p.leftAlone(url)
	p.mu.Unlock()
	if away := reconcile.AwayOf(err); away != nil {
		select {
		case <-away.Back:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	err = Tail(ctx, url, p.options(url), f)
	if errors.As(err, new(*dialError)) && ctx.Err() == nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.failed(url, err)
	}
	return err
}
