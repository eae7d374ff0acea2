package relay

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/relaymesh/relaymesh/internal/reconcile"
	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// At returns the relay at a URL: each request goes over the pool's connection to
// it, which is dialled when there is none.
func (p *Pool) At(url string) reconcile.Relay {
	var once sync.Once
	var limits reconcile.Limits
	return reconcile.Through(func(ctx context.Context, q *reconcile.Request, ask reconcile.Ask) error {
		if q.Op == reconcile.OpLimits {
			once.Do(func() { limits = p.limits(ctx, url) })
			q.Limits = limits
			return nil
		}
		return p.over(ctx, url, func(c *Conn) (begun bool, err error) {
			if q.Op == reconcile.OpSubscribe {
				p.follows(url)
				defer p.follows(url)
			}
			err = ask(ctx, c)
			return q.Events > 0 || q.Op != reconcile.OpQuery && q.Op != reconcile.OpPublish, err
		})
	})
}

// over does something over the connection to a relay. A connection that ended
// while it lay in the pool is replaced once, unless something has begun.
func (p *Pool) over(ctx context.Context, url string, do func(*Conn) (begun bool, err error)) error {
	for again := true; ; again = false {
		c, err := p.reach(ctx, url)
		if err != nil {
			return err
		}
		if begun, err := do(c); begun || !again || !errors.Is(err, ErrConnClosed) {
			return err
		}
	}
}

const (
	// infoTimeout bounds how long a NIP-11 document is waited for. It is a hint,
	// so without it one goes on all the same.
	infoTimeout = 3 * time.Second
	// limitFor is how long a relay's word about its limits stands: a relay is
	// synced many times a day.
	limitFor = 6 * time.Hour
	// maxLimits is how many relays' words are kept at least.
	maxLimits = 5000
)

// said is what a relay has said of its limits.
type said struct {
	limits reconcile.Limits
	until  time.Time
}

// limits returns what a relay says of itself: nothing if it does not answer, and
// then it is asked again the next time. Requests follow, so the relay is dialled
// meanwhile.
func (p *Pool) limits(ctx context.Context, url string) reconcile.Limits {
	if known, _ := p.said.Get(url); time.Now().Before(known.until) {
		return known.limits
	}
	if normal, err := nostr.NormalizeRelayURL(url, p.opts.AllowPrivate); err == nil {
		_, _ = p.entry(normal) // the first request tells why it fails
	}
	ctx, cancel := context.WithTimeout(ctx, infoTimeout)
	defer cancel()
	info, err := p.FetchInfo(ctx, url)
	if err != nil {
		return reconcile.Limits{}
	}
	p.said.Put(url, said{info.limits(), time.Now().Add(limitFor)})
	return info.limits()
}

// Limits are not told on a connection, but by NIP-11, see [Pool.At].
func (c *Conn) Limits(context.Context) reconcile.Limits { return reconcile.Limits{} }

// unreachable marks that there is no connection, which may pass, unless the relay
// would misbehave again.
func unreachable(err error) error {
	if errors.Is(err, reconcile.ErrMisbehaving) {
		return err
	}
	return reconcile.Interrupted(err)
}
