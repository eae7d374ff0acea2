package relay

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/relaymesh/relaymesh/internal/health"
	"github.com/relaymesh/relaymesh/internal/reconcile"
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
	health.State
	err error
}

// leftAlone returns a [*BackoffError] while a relay is left alone; mu is held.
func (p *Pool) leftAlone(url string) error {
	if f, _ := p.failures.Get(url); f.LeftAlone(time.Now()) {
		return &BackoffError{URL: url, Until: f.LeftAloneUntil, Err: f.err}
	}
	return nil
}

// failed remembers a failure; mu is held. A relay's word on when it may be asked
// again comes before our own wait.
func (p *Pool) failed(url string, err error) {
	if p.ctx.Err() != nil {
		return
	}
	use := health.Dial
	if p.opts.Local {
		use = health.Local
	}
	f, _ := p.failures.Get(url)
	next := use.Next(f.State, health.Failed, time.Now(), rand.Float64())
	if later := reconcile.LaterOf(err); later != nil {
		next.LeftAloneUntil = later.Until
	}
	p.failures.Put(url, failure{next, err})
}
