package relay

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/relaymesh/relaymesh/internal/recent"
	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

const (
	maxConns = 512
	// maxRemembered is how many relays are remembered at least not to answer, or to
	// allow few subscriptions; of twice as many those that were used last.
	maxRemembered = 10_000

	idleTimeout = 2 * time.Minute
)

// Pool keeps one connection per relay, dialled when it is first asked for and
// closed when it has not been used for two minutes. A relay that does not
// answer is not dialled again for a while ([health.Dial]), or, if it is wanted, is
// dialled until it does ([Pool.Want]); asking for it meanwhile is an error at once.
// All methods may be called concurrently.
type Pool struct {
	opts Options
	ctx  context.Context //nolint:containedctx // ends with the pool
	stop context.CancelFunc

	running  sync.WaitGroup
	mu       sync.Mutex
	relays   map[string]*entry
	failures recent.Map[string, failure]
	allowed  recent.Map[string, int]       // subscriptions, where they are fewer than ours
	accounts recent.Map[string, *account]  // by host
	named    map[string]map[string]bool    // by purpose, see Want
	followed recent.Map[string, time.Time] // when a relay was last subscribed to
	resting  map[string]*rest
	onBack   func(url string)

	said   recent.Map[string, said]
	finder finder
}

// entry is a relay that is connected or being dialled.
type entry struct {
	dialled chan struct{} // closed when conn and err are set
	conn    *Conn
	err     error
}

// NewPool returns an empty pool. [Pool.Close] ends it.
func NewPool(o Options) *Pool {
	p := &Pool{
		opts: o.withDefaults(), relays: map[string]*entry{}, named: map[string]map[string]bool{}, resting: map[string]*rest{},
		failures: recent.Map[string, failure]{Size: maxRemembered}, allowed: recent.Map[string, int]{Size: maxRemembered},
		accounts: recent.Map[string, *account]{Size: maxRemembered},
	}
	p.followed.Size = maxRemembered
	p.said.Size = maxLimits
	p.finder.next = map[string]*finding{}
	p.ctx, p.stop = context.WithCancel(context.Background())
	p.running.Go(p.closeIdle)
	return p
}

// Conn returns the connection to a relay; whoever needs one at the same time
// shares the dialling. The caller must not close it. That there is none is
// [reconcile.ErrInterrupted], with a [*reconcile.AwayError] if the relay is wanted,
// or [reconcile.ErrMisbehaving] for a while after its host did.
func (p *Pool) Conn(ctx context.Context, url string) (*Conn, error) {
	url, err := nostr.NormalizeRelayURL(url, p.opts.AllowPrivate)
	if err != nil {
		return nil, err
	}
	e, err := p.entry(url)
	if err != nil {
		return nil, unreachable(err)
	}
	select {
	case <-e.dialled:
		if e.err != nil {
			return nil, unreachable(e.err)
		}
		return e.conn, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// entry returns the relay's live entry, or starts to dial it.
func (p *Pool) entry(url string) (*entry, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx.Err() != nil {
		return nil, fmt.Errorf("relay %s: the pool is closed", url)
	}
	if e := p.relays[url]; e != nil && !e.dead() {
		return e, nil
	}
	if err := p.leftAlone(url); err != nil {
		return nil, err
	}
	if err := p.account(url).barred(url, time.Now()); err != nil && !p.opts.Local {
		return nil, err
	}
	if len(p.relays) >= maxConns {
		p.sweep(0)
	}
	if len(p.relays) >= maxConns {
		return nil, fmt.Errorf("relay %s: %d connections are in use already", url, maxConns)
	}
	e := &entry{dialled: make(chan struct{})}
	p.relays[url] = e
	// The dialling belongs to the pool, so that the first caller's impatience
	// does not spoil it for the others.
	p.running.Go(func() { p.dial(url, e) })
	return e, nil
}

// dead reports whether the entry's connection has ended or never came.
func (e *entry) dead() bool {
	select {
	case <-e.dialled:
		return e.err != nil || e.conn.Err() != nil
	default:
		return false
	}
}

// options are for a connection to a relay, at the cost of its host.
func (p *Pool) options(url string) Options {
	o := p.opts
	o.account = p.account(url)
	return o
}

func (p *Pool) dial(url string, e *entry) {
	e.conn, e.err = Dial(p.ctx, url, p.options(url))
	p.mu.Lock()
	if e.err != nil {
		delete(p.relays, url)
		e.err = p.failed(url, e.err)
	} else {
		p.failures.Delete(url)
		e.conn.keepTo(p.allows(url))
		p.connected(url, e)
	}
	p.mu.Unlock()
	close(e.dialled)
}

// closeIdle closes what is not in use any more.
func (p *Pool) closeIdle() {
	every := time.NewTicker(idleTimeout / 4)
	defer every.Stop()
	for {
		select {
		case <-p.ctx.Done():
			return
		case <-every.C:
			p.mu.Lock()
			p.sweep(idleTimeout)
			p.mu.Unlock()
		}
	}
}

// sweep drops entries whose connection has ended or has been idle; mu is held.
func (p *Pool) sweep(idle time.Duration) {
	for url, e := range p.relays {
		select {
		case <-e.dialled:
		default:
			continue
		}
		since, free := e.conn.idleSince()
		if e.dead() || (free && time.Since(since) >= idle) {
			delete(p.relays, url)
			p.running.Go(e.conn.Close)
		}
	}
}

// connected has the connection of an entry give way to others of its host while
// nothing waits on it.
func (p *Pool) connected(url string, e *entry) {
	e.conn.opts.lease.GiveWay(e.conn.idleSince, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if _, free := e.conn.idleSince(); free && p.relays[url] == e && p.ctx.Err() == nil {
			delete(p.relays, url)
			p.running.Go(e.conn.Close)
		}
	})
}

// request is [Conn.request] on the relay's connection.
func (p *Pool) request(ctx context.Context, url string, r request, take func(reconcile.Update) bool) error {
	return p.over(ctx, url, func(c *Conn) (begun bool, err error) {
		err = c.request(ctx, r, func(u reconcile.Update) bool {
			begun = true
			return take(u)
		})
		return begun, err
	})
}

// FetchInfo is [FetchInfo] with the pool's options; it uses no connection of
// the pool. From then on connections to the relay keep to the number of
// subscriptions that it allows. A pause that the relay has asked for holds here, too.
func (p *Pool) FetchInfo(ctx context.Context, url string) (Info, error) {
	url, err := nostr.NormalizeRelayURL(url, p.opts.AllowPrivate)
	if err != nil {
		return Info{}, err
	}
	p.mu.Lock()
	err = p.leftAlone(url)
	p.mu.Unlock()
	if reconcile.LaterOf(err) != nil {
		return Info{}, err
	}
	info, err := FetchInfo(ctx, url, p.opts)
	switch {
	case err == nil:
		p.keepTo(url, info.Limitation.MaxSubscriptions)
	case reconcile.LaterOf(err) != nil:
		p.mu.Lock()
		err = p.failed(url, err)
		p.mu.Unlock()
	}
	return info, err
}

// allows is how many subscriptions a relay allows, 0 if it does not say.
func (p *Pool) allows(url string) int {
	allowed, _ := p.allowed.Get(url)
	return allowed
}

// keepTo has the connections to a relay keep to a number of subscriptions.
func (p *Pool) keepTo(url string, allowed int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.allowed.Delete(url); allowed > 0 && allowed < maxSubscriptions {
		p.allowed.Put(url, allowed)
	}
	if e := p.relays[url]; e != nil {
		select {
		case <-e.dialled:
			if e.err == nil {
				e.conn.keepTo(allowed)
			}
		default: // dial sees it
		}
	}
}

// Close ends every connection and returns when all goroutines have ended.
func (p *Pool) Close() {
	p.stop()
	p.mu.Lock()
	entries := p.relays
	p.relays = map[string]*entry{}
	p.mu.Unlock()
	for _, e := range entries {
		<-e.dialled
		if e.conn != nil {
			e.conn.Close()
		}
	}
	p.running.Wait()
}
