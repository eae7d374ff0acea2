package relay

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/relaymesh/relaymesh/pkg/nostr"
)

// BackoffError says that a relay failed lately and is not dialled before
// Until. It unwraps to the last failure.
type BackoffError struct {
	URL   string
	Until time.Time
	Err   error
}

func (e *BackoffError) Error() string {
	return fmt.Sprintf("relay %s: not dialled before %s, because of: %v", e.URL, e.Until.Format(time.TimeOnly), e.Err)
}

func (e *BackoffError) Unwrap() error { return e.Err }

// failure is what a pool remembers of a relay that could not be dialled.
type failure struct {
	count int
	until time.Time
	err   error
}

// failed remembers a failure; mu is held.
func (p *Pool) failed(url string, err error) {
	if p.ctx.Err() != nil {
		return
	}
	now := time.Now()
	if len(p.failures) >= maxFailures {
		for u, f := range p.failures {
			if now.After(f.until) {
				delete(p.failures, u)
			}
		}
	}
	f := p.failures[url]
	f.count++
	f.err, f.until = err, now.Add(p.jittered(url, f.count))
	if _, known := p.failures[url]; known || len(p.failures) < maxFailures {
		p.failures[url] = f
	}
}

// jittered is the wait after n failures in a row; the later half of it is
// random, so that those who failed together do not come back together.
func (p *Pool) jittered(url string, n int) time.Duration {
	d := backoff(n)
	if p.local[url] {
		d = min(d, maxLocalBackoff)
	}
	return d/2 + rand.N(d/2)
}

// backoff doubles from a second.
func backoff(n int) time.Duration { return min(maxBackoff, time.Second<<min(n-1, 20)) }

// keepTrying makes the wait for a relay short at all times: without the local
// relay there is nothing to do.
func (p *Pool) keepTrying(url string) {
	if normal, err := nostr.NormalizeRelayURL(url, p.opts.AllowPrivate); err == nil {
		url = normal
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.local[url] = true
}
